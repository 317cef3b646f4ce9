#include "sqlite_world.h"
#include "asserts.h"

#include <poll.h>

#include "disk.h"
#include "store_world.h"

store_t *store;

void open_with(size_t queue_bytes, int64_t hang_ms)
{
    struct buffer why = {0};
    store = store_sqlite_new(world_path, queue_bytes, hang_ms, &why);
    ck_assert_msg(store, "%.*s", SPAN_ARG(buffer_span(&why)));
}

void reopen(void)
{
    store_destroy(&store);
    ck_assert_ptr_null(store);
    open_with(QUEUE_BYTES, PATIENCE_MS);
}

void sqlite_setup(void)
{
    disk_insert();
    world_setup();
    open_with(QUEUE_BYTES, PATIENCE_MS);
}

void sqlite_teardown(void)
{
    disk_set(DISK_FINE);
    disk_let_go();
    store_destroy(&store);
    world_teardown();
}

/* --- steps --- */

bool append_body(uint64_t ticket, const char *stream, uint64_t offset, const char *body)
{
    return store_append(store, &(struct store_append){.ticket = ticket,
                                                      .stream = span_text(stream),
                                                      .epoch = 7,
                                                      .offset = offset,
                                                      .first = 1,
                                                      .at_ms = (int64_t)offset * 10,
                                                      .body = span_text(body)});
}

void append(const char *stream, uint64_t offset)
{
    ck_assert(append_body(1000 + offset, stream, offset, "body"));
}

void append_many(const char *stream, uint64_t first, uint64_t last)
{
    for (uint64_t offset = first; offset <= last; offset++)
        append(stream, offset);
}

void registers_bytes(uint64_t ticket, struct span key, bool removed)
{
    struct store_registration what = {.ticket = ticket, .key = key, .removed = removed};
    ck_assert(store_registration(store, &what));
}

void registers(uint64_t ticket, const char *key, bool removed)
{
    registers_bytes(ticket, span_text(key), removed);
}

bool is_readable(int timeout_ms)
{
    struct pollfd wait = {.fd = store_fd(store), .events = POLLIN};
    return poll(&wait, 1, timeout_ms) == 1;
}

struct store_completion next(void)
{
    struct store_completion completion;
    while (!store_next(store, &completion))
        ck_assert(is_readable(PATIENCE_MS));
    return completion;
}

void expect(bool is_registration, uint64_t ticket, enum store_outcome outcome)
{
    struct store_completion got = next();
    ck_assert_int_eq(got.is_registration, is_registration);
    ck_assert_uint_eq(got.ticket, ticket);
    ck_assert_int_eq(got.outcome, outcome);
}

void expect_appended(uint64_t first, uint64_t last, enum store_outcome outcome)
{
    for (uint64_t offset = first; offset <= last; offset++)
        expect(false, 1000 + offset, outcome);
}

void expect_nothing(void)
{
    struct store_completion completion;
    ck_assert(!store_next(store, &completion));
}

void expect_kept(const char *expected)
{
    struct buffer got = {0};
    struct store_loader loader = world_teller(&got);
    reopen();
    ck_assert(store_load(store, &loader));
    world_compare(&got, expected);
}

struct store_figures figures(void)
{
    struct store_figures now;
    store_measure(store, &now);
    return now;
}

void occupy(void)
{
    disk_hold();
    ck_assert(append_body(1, "occupied", 1, ""));
    disk_wait_held();
}
