#include <stdio.h>
#include <string.h>

#include "common/streams.h"
#include "unit.h"

/* Streams that were there before the start, and what whoever keeps a copy of them is told. */

#define HEADER_MS 10000
#define AGE_MS    1000
#define COST      (10 + STREAM_MESSAGE_COST)

static uint64_t numbers;
static struct streams_settings settings;
static streams_t *streams;
static char told[10000];

static uint64_t next_number(void *arg)
{
    (void)arg;
    return ++numbers;
}

/* The channel name is the last part but one, and here one letter long. "a+1": made, with this
 * epoch; "a>3": it begins with the third message; "a-": ended. */
static void tell(void *arg, enum streams_change change, const stream_header_t *header)
{
    ck_assert_ptr_eq(arg, &told);
    char name = (char)header->key[header->key_size - 3];
    size_t size = strlen(told);
    if (change == STREAMS_MADE) {
        ck_assert_uint_eq(header->stream.offset, 0);
        snprintf(told + size, sizeof told - size, "%c+%llu ", name,
                 (unsigned long long)header->stream.epoch);
    } else if (change == STREAMS_TRIMMED) {
        snprintf(told + size, sizeof told - size, "%c>%llu ", name,
                 (unsigned long long)stream_first(&header->stream));
    } else {
        snprintf(told + size, sizeof told - size, "%c- ", name);
    }
}

static void again(void)
{
    streams_destroy(&streams);
    told[0] = '\0';
    numbers = 0;
    streams = streams_new(&settings, 0);
    ck_assert_ptr_nonnull(streams);
}

static void setup(void)
{
    settings =
        (struct streams_settings){.rule = {{100, 1 << 20, AGE_MS}, true, PRESENCE_OFF, false},
                                  .total_bytes = 1 << 20,
                                  .headers = 1000,
                                  .header_ms = HEADER_MS,
                                  .random = next_number,
                                  .changed = tell,
                                  .changed_arg = &told};
    again();
}

static void teardown(void)
{
    streams_destroy(&streams);
}

/* --- steps --- */

static struct span key_of(const char *channel, struct address *address)
{
    static uint8_t key[ADDRESS_KEY_MAX];
    *address = (struct address){
        .view = VIEW_LIVE, .site = span_text("site"), .channel = span_text(channel)};
    return span_of(key, address_encode(address, key));
}

static stream_header_t *use(const char *channel, int64_t now_ms)
{
    struct address address;
    struct span key = key_of(channel, &address);
    return streams_use(streams, key, &address, now_ms);
}

static stream_header_t *restore(const char *channel, uint64_t epoch)
{
    struct address address;
    struct span key = key_of(channel, &address);
    return streams_restore(streams, key, &address, epoch, 0);
}

static payload_t *new_body(void)
{
    payload_t *body = payload_new(10);
    memset(body->data, 0, 10);
    return body;
}

static void restore_messages(stream_header_t *header, uint64_t first, uint64_t last, int64_t at_ms)
{
    for (uint64_t offset = first; offset <= last; offset++) {
        payload_t *body = new_body();
        streams_restore_message(streams, header, offset, &body, at_ms);
        ck_assert_ptr_null(body);
    }
}

/* With its messages from `first` to `last`, and its position. */
static stream_header_t *restore_all(const char *channel, uint64_t first, uint64_t last,
                                    uint64_t offset)
{
    stream_header_t *header = restore(channel, 9);
    ck_assert_ptr_nonnull(header);
    restore_messages(header, first, last, 0);
    streams_restored(streams, header, offset, 0);
    return header;
}

static void commit(stream_header_t *header, int64_t now_ms)
{
    payload_t *body = new_body();
    streams_assign(header);
    streams_commit(streams, header, &body, now_ms);
}

static void expect_stream(const stream_header_t *header, uint64_t first, uint64_t offset)
{
    ck_assert_uint_eq(header->stream.epoch, 9);
    ck_assert_uint_eq(stream_first(&header->stream), first);
    ck_assert_uint_eq(header->stream.offset, offset);
}

static void expect_told(const char *expected)
{
    ck_assert_str_eq(told, expected);
    told[0] = '\0';
}

/* --- what is told --- */

START_TEST(made_and_ended)
{
    use("a", 0);
    use("b", 0);
    use("a", 5);
    expect_told("a+1 b+2 ");
    streams_tick(streams, 5 + HEADER_MS + DEADLINE_SLOT_MS, 1);
    streams_tick(streams, 5 + HEADER_MS + DEADLINE_SLOT_MS, 100);
    ck_assert_uint_eq(streams_count(streams), 0);
    ck_assert(strcmp(told, "a- b- ") == 0 || strcmp(told, "b- a- ") == 0);
    told[0] = '\0';
    use("a", 3 * HEADER_MS);
    expect_told("a+3 ");
    streams_destroy(&streams); /* not an end of any stream */
    expect_told("");
}
END_TEST

START_TEST(trimmed_by_age)
{
    stream_header_t *a = use("a", 0);
    commit(a, 0);
    commit(a, 100);
    commit(a, 100);
    expect_told("a+1 ");
    use("a", AGE_MS - 1);
    expect_told("");
    use("a", AGE_MS);
    expect_told("a>2 ");
    use("a", AGE_MS);
    expect_told("");
    streams_tick(streams, AGE_MS + 100 + DEADLINE_SLOT_MS, 100);
    expect_told("a>4 ");
}
END_TEST

/* The next append tells as much. */
START_TEST(not_by_its_own_limits)
{
    settings.rule.limits.messages = 2;
    again();
    stream_header_t *a = use("a", 0);
    for (int i = 0; i < 5; i++)
        commit(a, 0);
    ck_assert_uint_eq(stream_first(&a->stream), 4);
    expect_told("a+1 ");
}
END_TEST

START_TEST(trimmed_for_others)
{
    settings.total_bytes = 3 * COST;
    again();
    stream_header_t *a = use("a", 0), *b = use("b", 0);
    commit(a, 0);
    commit(a, 0);
    commit(b, 0);
    expect_told("a+1 b+2 ");
    commit(b, 0);
    commit(b, 0);
    commit(b, 0);
    expect_told("a>2 a>3 b>2 ");
}
END_TEST

/* However many go at once. */
START_TEST(trimmed_for_others_once)
{
    stream_header_t *a = use("a", 0);
    for (int i = 0; i < 5; i++)
        commit(a, 0);
    commit(use("b", 0), 0);
    expect_told("a+1 b+2 ");
    settings.total_bytes = 3 * COST;
    bool checks;
    ck_assert(streams_configure(streams, &settings, 0, &checks));
    ck_assert_uint_eq(streams_evicted(streams), 3);
    expect_told("a>4 ");
    settings.total_bytes = 0;
    ck_assert(streams_configure(streams, &settings, 0, &checks));
    expect_told("a>6 b>2 ");
}
END_TEST

START_TEST(a_new_epoch_is_told_and_failures_are_not)
{
    stream_header_t *a = use("a", 0);
    commit(a, 0);
    streams_assign(a);
    streams_fail(streams, a, 1, 0);
    streams_restart(streams, a, 0);
    streams_set_interest(streams, a, true, 0);
    expect_told("a+1 a- a+2 ");
}
END_TEST

START_TEST(cut_for_others)
{
    settings.headers = 2;
    again();
    for (const char *name = "abcd"; *name; name++)
        ck_assert_ptr_nonnull(use((char[]){*name, '\0'}, 0));
    expect_told("a+1 b+2 a- c+3 b- d+4 ");
}
END_TEST

START_TEST(what_finds_no_room_is_not_told)
{
    settings.headers = 1;
    again();
    commit(use("a", 0), 0);
    ck_assert_ptr_null(use("b", 0));
    expect_told("a+1 ");
}
END_TEST

/* --- what is restored --- */

START_TEST(a_restored_stream_goes_on)
{
    stream_header_t *a = restore_all("a", 3, 5, 5);
    expect_stream(a, 3, 5);
    ck_assert_uint_eq(streams_count(streams), 1);
    ck_assert_uint_eq(streams_bytes(streams), 3 * COST);
    ck_assert_ptr_eq(use("a", 0), a);
    ck_assert_uint_eq(streams_assign(a), 6);
    payload_t *body = new_body();
    streams_commit(streams, a, &body, 0);
    expect_stream(a, 3, 6);
    ck_assert_uint_eq(streams_bytes(streams), 4 * COST);
    expect_told("");
}
END_TEST

START_TEST(only_what_leads_to_the_position_counts)
{
    static const struct {
        uint64_t spans[2][2], offset, first;
    } cases[] = {
        {{{0}}, 0, 1},
        {{{0}}, 7, 8},
        {{{1, 3}}, 3, 1},
        {{{2, 3}}, 3, 2},
        {{{1, 2}}, 3, 4},
        {{{1, 1}, {3, 4}}, 4, 3},
        {{{1, 1}, {3, 4}}, 5, 6},
        {{{1, 5}}, 4, 5}, /* beyond the position: none of it can be right */
        {{{UINT64_MAX - 2, UINT64_MAX - 1}}, UINT64_MAX - 1, UINT64_MAX - 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        again();
        stream_header_t *a = restore("a", 9);
        for (int j = 0; j < 2; j++)
            if (cases[i].spans[j][0])
                restore_messages(a, cases[i].spans[j][0], cases[i].spans[j][1], 0);
        streams_restored(streams, a, cases[i].offset, 0);
        expect_stream(a, cases[i].first, cases[i].offset);
        ck_assert_uint_eq(streams_bytes(streams), a->stream.count * COST);
        for (uint64_t at = cases[i].first; at <= cases[i].offset; at++)
            ck_assert_ptr_nonnull(stream_at(&a->stream, at));
        expect_told("");
    }
}
END_TEST

START_TEST(nothing_is_restored_twice_or_without_room)
{
    settings.headers = 2;
    again();
    restore_all("a", 1, 1, 1);
    ck_assert_ptr_null(restore("a", 8));
    use("b", 0);
    ck_assert_ptr_null(restore("b", 8));
    expect_told("b+1 ");
    restore_all("c", 1, 1, 1); /* b has never been published to */
    expect_told("b- ");
    ck_assert_ptr_null(restore("d", 8));
    expect_stream(use("a", 0), 1, 1);
}
END_TEST

START_TEST(restored_messages_keep_to_the_limits)
{
    settings.rule.limits.messages = 2;
    settings.total_bytes = 3 * COST;
    again();
    stream_header_t *a = restore_all("a", 1, 4, 4);
    expect_stream(a, 3, 4);
    stream_header_t *b = restore_all("b", 1, 2, 2);
    expect_stream(b, 1, 2);
    expect_stream(a, 4, 4);
    ck_assert_uint_eq(streams_bytes(streams), 3 * COST);
    ck_assert_uint_eq(streams_evicted(streams), 1);
    expect_told("a>4 ");

    settings.total_bytes = 0;
    again();
    expect_stream(restore_all("a", 1, 4, 4), 5, 4);
    settings.rule.limits.age_ms = 0;
    again();
    expect_stream(restore_all("a", 1, 4, 4), 5, 4);
    ck_assert_uint_eq(streams_bytes(streams), 0);
}
END_TEST

START_TEST(restored_messages_go_in_their_time)
{
    stream_header_t *a = restore("a", 9);
    restore_messages(a, 1, 1, -AGE_MS); /* over already */
    restore_messages(a, 2, 2, -AGE_MS + 500);
    restore_messages(a, 3, 3, -1);
    streams_restored(streams, a, 3, 0);
    use("a", 0);
    expect_stream(a, 2, 3);
    expect_told("a>2 ");
    streams_tick(streams, 500 + DEADLINE_SLOT_MS, 100);
    expect_stream(a, 3, 3);
    streams_tick(streams, AGE_MS + DEADLINE_SLOT_MS, 100);
    expect_stream(a, 4, 3);
    expect_told("a>3 a>4 ");
    streams_tick(streams, 2 * HEADER_MS, 100);
    ck_assert_uint_eq(streams_count(streams), 0);
    expect_told("a- ");
}
END_TEST

START_TEST(a_restored_stream_that_nobody_uses_ends)
{
    restore_all("a", 1, 0, 0);
    restore_all("b", 1, 0, 7);
    streams_tick(streams, HEADER_MS - DEADLINE_SLOT_MS, 100);
    ck_assert_uint_eq(streams_count(streams), 2);
    streams_tick(streams, HEADER_MS + DEADLINE_SLOT_MS, 100);
    ck_assert_uint_eq(streams_count(streams), 0);
}
END_TEST

static void count(const stream_header_t *header, void *arg)
{
    (void)header;
    ++*(size_t *)arg;
}

START_TEST(what_was_restored_was_not_published_just_now)
{
    size_t visited = 0;
    restore_all("a", 1, 2, 2);
    streams_visit_recent(streams, INT64_MIN, count, &visited);
    ck_assert_uint_eq(visited, 0);
    commit(use("a", 0), 0);
    streams_visit_recent(streams, 0, count, &visited);
    ck_assert_uint_eq(visited, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("streams_restore");
    TCase *tests = tcase_create("streams_restore");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, made_and_ended);
    tcase_add_test(tests, trimmed_by_age);
    tcase_add_test(tests, not_by_its_own_limits);
    tcase_add_test(tests, trimmed_for_others);
    tcase_add_test(tests, trimmed_for_others_once);
    tcase_add_test(tests, a_new_epoch_is_told_and_failures_are_not);
    tcase_add_test(tests, cut_for_others);
    tcase_add_test(tests, what_finds_no_room_is_not_told);
    tcase_add_test(tests, a_restored_stream_goes_on);
    tcase_add_test(tests, only_what_leads_to_the_position_counts);
    tcase_add_test(tests, nothing_is_restored_twice_or_without_room);
    tcase_add_test(tests, restored_messages_keep_to_the_limits);
    tcase_add_test(tests, restored_messages_go_in_their_time);
    tcase_add_test(tests, a_restored_stream_that_nobody_uses_ends);
    tcase_add_test(tests, what_was_restored_was_not_published_just_now);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
