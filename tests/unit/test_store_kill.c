#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "store_world.h"
#include "unit.h"

/* A process that appends, and says what was committed, is killed wherever it is. Afterwards all of
 * that is there, without a hole, and the next one goes on from it. */

#define KILLS   20
#define STREAMS 5
#define KEPT    200 /* messages of each stream */
#define WINDOW  300 /* appends on their way */

/* A stream's name is its letter. */
static struct place {
    uint64_t offset; /* known to be committed */
    uint64_t loaded, next;
} places[STREAMS];

static store_t *store;
static uint64_t state;

static uint32_t chance(uint32_t limit)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33) % limit;
}

static struct place *place_of(struct span stream)
{
    ck_assert_uint_eq(stream.size, 1);
    ck_assert(stream.data[0] >= 'a' && stream.data[0] < 'a' + STREAMS);
    return &places[stream.data[0] - 'a'];
}

/* --- what is there --- */

static struct place *loading;
static size_t keys;

static bool load_stream(void *arg, struct span stream, uint64_t epoch, uint64_t offset)
{
    (void)arg;
    if (loading) /* the messages reach as far as the position */
        ck_assert_uint_eq(loading->next, loading->loaded + 1);
    loading = place_of(stream);
    ck_assert_uint_eq(epoch, 7);
    ck_assert_uint_ge(offset, loading->offset);
    loading->loaded = loading->offset = offset;
    loading->next = 0;
    return true;
}

/* Bodies are of many sizes, and say what they are. */
static size_t write_body(char body[4096], size_t stream, uint64_t offset)
{
    size_t size = 16 + offset * 7919 % 4000;
    memset(body, (int)('a' + stream), size);
    snprintf(body, 16, "%llu", (unsigned long long)offset);
    return size;
}

static bool load_message(void *arg, uint64_t offset, int64_t at_ms, struct span body)
{
    (void)arg;
    char expected[4096];
    size_t size = write_body(expected, (size_t)(loading - places), offset);
    ck_assert(span_equal(body, span_of(expected, size)));
    ck_assert_int_eq(at_ms, (int64_t)offset);
    uint64_t first = loading->loaded < KEPT ? 1 : loading->loaded - KEPT + 1;
    ck_assert_uint_eq(offset, loading->next ? loading->next : first);
    loading->next = offset + 1;
    return true;
}

static bool load_key(void *arg, const struct store_key *key, uint64_t epoch, uint64_t offset)
{
    (void)arg;
    ck_assert_uint_eq(epoch, 7);
    ck_assert_uint_le(offset, place_of(key->key)->offset);
    ck_assert_uint_eq(offset % 10, 0);
    ck_assert_uint_eq(key->hash[0], offset);
    keys++;
    return true;
}

static size_t expected_keys(void)
{
    size_t count = 0;
    for (size_t i = 0; i < STREAMS; i++)
        count += places[i].offset / 10;
    return count;
}

static void open_and_check(void)
{
    struct buffer why = {0};
    struct store_figures figures;
    struct store_loader loader = {NULL, load_stream, load_message, load_key, NULL, NULL};
    store = store_sqlite_new(world_path, (size_t)64 << 20, 60000, &why);
    ck_assert_msg(store, "%.*s", SPAN_ARG(buffer_span(&why)));
    loading = NULL;
    keys = 0;
    ck_assert(store_load(store, &loader));
    if (loading)
        ck_assert_uint_eq(loading->next, loading->loaded + 1);
    for (size_t i = 0; i < STREAMS; i++)
        ck_assert_uint_eq(places[i].loaded, places[i].offset);
    ck_assert_uint_eq(keys, expected_keys());
    store_measure(store, &figures);
    ck_assert_uint_eq(figures.damaged, 0);
}

/* --- the process --- */

static bool append(size_t stream)
{
    char body[4096], name = (char)('a' + stream);
    uint64_t offset = places[stream].next++;
    struct store_append what = {.ticket = stream << 32 | offset,
                                .stream = span_of(&name, 1),
                                .epoch = 7,
                                .offset = offset,
                                .first = offset < KEPT ? 1 : offset - KEPT + 1,
                                .at_ms = (int64_t)offset,
                                .body = span_of(body, write_body(body, stream, offset))};
    if (offset % 10 == 0)
        what.once = (struct store_key){span_of(&name, 1), {offset, 0}, clock_wall_ms() + 3600000};
    return store_append(store, &what);
}

/* Goes on for ever; tells every ticket that is committed. */
static void append_on(int to)
{
    size_t on_the_way = 0;
    open_and_check();
    for (size_t i = 0; i < STREAMS; i++)
        places[i].next = places[i].offset + 1;
    for (;;) {
        struct store_completion completion;
        while (on_the_way < WINDOW && chance(20) > 0)
            on_the_way += append(chance(STREAMS));
        while (store_next(store, &completion)) {
            if (completion.outcome != STORE_COMMITTED ||
                write(to, &completion.ticket, sizeof completion.ticket) < 0)
                _exit(1);
            on_the_way--;
        }
        struct pollfd wait = {.fd = store_fd(store), .events = POLLIN};
        poll(&wait, 1, on_the_way < WINDOW ? 0 : -1);
    }
}

/* False: it will tell nothing any more. */
static bool hear(int from)
{
    uint64_t ticket;
    if (read(from, &ticket, sizeof ticket) != (ssize_t)sizeof ticket)
        return false;
    struct place *place = &places[ticket >> 32];
    ck_assert_uint_eq(ticket & UINT32_MAX, place->offset + 1);
    place->offset++;
    return true;
}

static void run_and_kill(uint32_t told)
{
    int pipe_ends[2], status;
    ck_assert_int_eq(pipe(pipe_ends), 0);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        close(pipe_ends[0]);
        append_on(pipe_ends[1]);
    }
    close(pipe_ends[1]);
    while (told-- > 0)
        ck_assert(hear(pipe_ends[0]));
    ck_assert_int_eq(kill(pid, SIGKILL), 0);
    while (hear(pipe_ends[0]))
        ;
    close(pipe_ends[0]);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

START_TEST(what_was_reported_survives_a_kill_without_a_hole)
{
    memset(places, 0, sizeof places);
    uint64_t told = 0, kept = 0;
    for (int i = 0; i < KILLS; i++) {
        state = (uint64_t)i;
        uint32_t count = chance(3) ? chance(100) : chance(3000);
        run_and_kill(count);
        told += count;
        open_and_check();
        store_destroy(&store);
    }
    for (size_t i = 0; i < STREAMS; i++)
        kept += places[i].offset;
    ck_assert_uint_ge(kept, told);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store_kill");
    TCase *tests = tcase_create("store_kill");
    tcase_set_timeout(tests, 300);
    tcase_add_checked_fixture(tests, world_setup, world_teardown);
    tcase_add_test(tests, what_was_reported_survives_a_kill_without_a_hole);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
