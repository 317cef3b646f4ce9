#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "disk.h"
#include "records_world.h"
#include "store_world.h"
#include "unit.h"

static void setup(void)
{
    disk_insert();
    world_setup();
    open_records();
}

static void teardown(void)
{
    close_records();
    world_teardown();
}

/* --- steps --- */

static bool write_append(const struct store_append *append)
{
    bool follows;
    ck_assert(store_records_append(records, append, &follows));
    return follows;
}

/* Bodies are "<offset>", at 10 times the offset. */
static bool append_first(const char *stream, uint64_t epoch, uint64_t offset, uint64_t first)
{
    char body[24];
    snprintf(body, sizeof body, "<%llu>", (unsigned long long)offset);
    return write_append(&(struct store_append){.stream = span_text(stream),
                                               .epoch = epoch,
                                               .offset = offset,
                                               .first = first,
                                               .at_ms = (int64_t)offset * 10,
                                               .body = span_text(body)});
}

static bool append(const char *stream, uint64_t epoch, uint64_t offset)
{
    return append_first(stream, epoch, offset, 1);
}

static void append_many(const char *stream, uint64_t epoch, uint64_t count)
{
    for (uint64_t offset = 1; offset <= count; offset++)
        ck_assert(append(stream, epoch, offset));
}

static bool append_key(uint64_t offset, const char *key, int64_t until_ms)
{
    return write_append(&(struct store_append){
        .stream = span_text("a"),
        .epoch = 7,
        .offset = offset,
        .first = offset + 1,
        .once = {.key = span_text(key), .hash = {5, 6}, .until_ms = until_ms}});
}

static void note(enum store_note_kind kind, const char *stream, uint64_t epoch, uint64_t first)
{
    ck_assert(store_records_note(
        records, &(struct store_note){
                     .kind = kind, .stream = span_text(stream), .epoch = epoch, .first = first}));
}

static void expect_kept(const char *expected)
{
    struct buffer got = {0};
    struct store_loader loader = world_teller(&got);
    uint64_t damaged = 99;
    ck_assert(store_records_load(records, &loader, &damaged));
    ck_assert_uint_eq(damaged, 0);
    world_compare(&got, expected);
}

/* In the same transaction, after it, and in another life. */
static void commit_and_expect(const char *expected)
{
    expect_kept(expected);
    commit();
    expect_kept(expected);
    close_records();
    open_records();
    expect_kept(expected);
}

/* --- appends --- */

START_TEST(appends_follow_each_other)
{
    begin();
    ck_assert(append("a", 7, 1));
    ck_assert(append("b", 8, 1));
    ck_assert(append("a", 7, 2));
    commit_and_expect("a 7:2\n  1 @10 <1>\n  2 @20 <2>\nb 8:1\n  1 @10 <1>\n");
    begin();
    ck_assert(append("a", 7, 3));
    commit_and_expect("a 7:3\n  1 @10 <1>\n  2 @20 <2>\n  3 @30 <3>\nb 8:1\n  1 @10 <1>\n");
}
END_TEST

START_TEST(what_does_not_follow_is_not_written)
{
    static const struct {
        const char *stream;
        uint64_t epoch, offset;
    } cases[] = {{"a", 7, 1}, {"a", 7, 2}, {"a", 7, 4},   {"a", 7, 0},  {"a", 8, 3},
                 {"a", 8, 2}, {"b", 7, 2}, {"A", 7, 3},   {"aa", 7, 3}, {"", 7, 3},
                 {"a", 0, 3}, {"a", 7, 5}, {"a", 7, 1000}};
    begin();
    append_many("a", 7, 2);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        ck_assert_msg(!append(cases[i].stream, cases[i].epoch, cases[i].offset), "case %zu", i);
    bool follows = true;
    struct store_append with_key = {.stream = span_text("a"),
                                    .epoch = 7,
                                    .offset = 9,
                                    .first = 9,
                                    .once = {.key = span_text("k"), .until_ms = 1}};
    ck_assert(store_records_append(records, &with_key, &follows));
    ck_assert(!follows);
    ck_assert(append("a", 7, 3)); /* nothing was lost by it */
    commit_and_expect("a 7:3\n  1 @10 <1>\n  2 @20 <2>\n  3 @30 <3>\n");
}
END_TEST

START_TEST(another_epoch_begins_without_what_was_before)
{
    begin();
    append_many("a", 7, 3);
    append_many("b", 7, 2);
    ck_assert(append("a", 8, 1));
    ck_assert(!append("a", 7, 4));
    ck_assert(append("a", 8, 2));
    commit_and_expect("a 8:2\n  1 @10 <1>\n  2 @20 <2>\nb 7:2\n  1 @10 <1>\n  2 @20 <2>\n");
    begin();
    ck_assert(append("a", 7, 1)); /* even one that was there before */
    commit_and_expect("a 7:1\n  1 @10 <1>\nb 7:2\n  1 @10 <1>\n  2 @20 <2>\n");
}
END_TEST

START_TEST(messages_in_front_of_the_first_go)
{
    begin();
    append_many("a", 7, 5);
    append_many("b", 7, 2);
    ck_assert(append_first("a", 7, 6, 4));
    expect_kept("a 7:6\n  4 @40 <4>\n  5 @50 <5>\n  6 @60 <6>\nb 7:2\n  1 @10 <1>\n  2 @20 <2>\n");
    ck_assert(append_first("a", 7, 7, 7)); /* nothing but itself is kept */
    commit_and_expect("a 7:7\n  7 @70 <7>\nb 7:2\n  1 @10 <1>\n  2 @20 <2>\n");
    begin();
    ck_assert(append_first("a", 7, 8, 9)); /* not even that */
    commit_and_expect("a 7:8\nb 7:2\n  1 @10 <1>\n  2 @20 <2>\n");
    begin();
    ck_assert(append_first("a", 8, 1, 1));
    commit_and_expect("a 8:1\n  1 @10 <1>\nb 7:2\n  1 @10 <1>\n  2 @20 <2>\n");
}
END_TEST

START_TEST(any_bytes_and_any_numbers)
{
    static const uint8_t name[] = {0, 1, 0, 0xff, 0}, other[] = {0, 1, 0, 0xff};
    struct store_append what = {.stream = span_of(name, sizeof name),
                                .epoch = UINT64_MAX - 1,
                                .offset = 1,
                                .first = 1,
                                .at_ms = -1,
                                .body = span_of(name, sizeof name),
                                .once = {.key = span_of(name, sizeof name),
                                         .hash = {UINT64_MAX, 1ull << 63},
                                         .until_ms = INT64_MAX}};
    begin();
    ck_assert(write_append(&what));
    what.stream = span_of(other, sizeof other);
    what.body = (struct span){0};
    what.once.key = (struct span){0};
    ck_assert(write_append(&what));
    struct buffer got = {0}, expected = {0};
    struct store_loader loader = world_teller(&got);
    uint64_t damaged;
    ck_assert(store_records_load(records, &loader, &damaged));
    ck_assert_uint_eq(damaged, 0);
    loader = world_teller(&expected);
    what.once.key = span_of(name, sizeof name);
    loader.stream(&expected, span_of(name, sizeof name), UINT64_MAX - 1, 1);
    loader.message(&expected, 1, -1, span_of(name, sizeof name));
    loader.stream(&expected, span_of(other, sizeof other), UINT64_MAX - 1, 1);
    loader.message(&expected, 1, -1, (struct span){0});
    loader.key(&expected, &what.once, UINT64_MAX - 1, 1);
    ck_assert(span_equal(buffer_span(&got), buffer_span(&expected)));
    buffer_free(&got);
    buffer_free(&expected);
    commit();
}
END_TEST

/* --- notes --- */

START_TEST(a_stream_is_made)
{
    begin();
    note(STORE_MADE, "a", 7, 0);
    expect_kept("a 7:0\n");
    ck_assert(!append("a", 7, 2));
    ck_assert(!append("a", 8, 2));
    ck_assert(append("a", 7, 1));
    note(STORE_MADE, "a", 7, 0); /* it is there already */
    commit_and_expect("a 7:1\n  1 @10 <1>\n");
    begin();
    ck_assert(append("a", 10, 1));
    commit_and_expect("a 10:1\n  1 @10 <1>\n");
}
END_TEST

/* Its stream has begun again before it came. */
START_TEST(a_note_of_another_epoch_does_nothing)
{
    begin();
    append_many("a", 7, 2);
    note(STORE_MADE, "a", 6, 0);
    note(STORE_TRIMMED, "a", 6, 2);
    note(STORE_ENDED, "a", 6, 0);
    commit_and_expect("a 7:2\n  1 @10 <1>\n  2 @20 <2>\n");
}
END_TEST

START_TEST(a_stream_is_trimmed)
{
    begin();
    append_many("a", 7, 4);
    append_many("b", 7, 1);
    note(STORE_TRIMMED, "a", 7, 1);
    note(STORE_TRIMMED, "none", 7, 5);
    note(STORE_TRIMMED, "a", 7, 4);
    expect_kept("a 7:4\n  4 @40 <4>\nb 7:1\n  1 @10 <1>\n");
    note(STORE_TRIMMED, "a", 7, 2); /* what is gone does not come back */
    note(STORE_TRIMMED, "a", 7, 5);
    commit_and_expect("a 7:4\nb 7:1\n  1 @10 <1>\n");
    begin();
    ck_assert(append_first("a", 7, 5, 5)); /* the position stays */
    commit_and_expect("a 7:5\n  5 @50 <5>\nb 7:1\n  1 @10 <1>\n");
}
END_TEST

START_TEST(a_stream_ends)
{
    begin();
    append_many("a", 7, 2);
    append_many("b", 7, 2);
    note(STORE_ENDED, "none", 7, 0);
    note(STORE_ENDED, "b", 7, 3);
    note(STORE_ENDED, "b", 7, 3);
    commit_and_expect("a 7:2\n  1 @10 <1>\n  2 @20 <2>\n");
    begin();
    ck_assert(!append("b", 7, 3));
    note(STORE_MADE, "c", 8, 0); /* whatever number it gets: nothing of another one is its own */
    note(STORE_MADE, "b", 8, 0);
    commit_and_expect("a 7:2\n  1 @10 <1>\n  2 @20 <2>\nc 8:0\nb 8:0\n");
}
END_TEST

/* --- keys --- */

START_TEST(keys_come_with_their_appends)
{
    begin();
    ck_assert(append_key(1, "k", 99));
    ck_assert(append_first("a", 7, 2, 3));
    ck_assert(append_key(3, "l", 98));
    ck_assert(!append_key(3, "m", 100));
    commit_and_expect("a 7:3\n"
                      "key k 7:1 hash 5 6 until 99\n"
                      "key l 7:3 hash 5 6 until 98\n");
    begin();
    note(STORE_ENDED, "a", 7, 0); /* who asks again gets the same answer all the same */
    commit_and_expect("key k 7:1 hash 5 6 until 99\nkey l 7:3 hash 5 6 until 98\n");
}
END_TEST

START_TEST(keys_go_when_their_time_is_over)
{
    begin();
    ck_assert(append_key(1, "k", 10));
    ck_assert(append_key(2, "l", 20));
    ck_assert(append_key(3, "m", 15)); /* the clock was set back */
    ck_assert(append_key(4, "n", 30));
    ck_assert(store_records_expire(records, 9));
    expect_kept("a 7:4\n"
                "key k 7:1 hash 5 6 until 10\n"
                "key l 7:2 hash 5 6 until 20\n"
                "key m 7:3 hash 5 6 until 15\n"
                "key n 7:4 hash 5 6 until 30\n");
    ck_assert(store_records_expire(records, 10));
    expect_kept("a 7:4\n"
                "key l 7:2 hash 5 6 until 20\n"
                "key m 7:3 hash 5 6 until 15\n"
                "key n 7:4 hash 5 6 until 30\n");
    ck_assert(store_records_expire(records, 20));
    expect_kept("a 7:4\nkey n 7:4 hash 5 6 until 30\n");
    ck_assert(store_records_expire(records, 1000));
    ck_assert(store_records_expire(records, 1000));
    commit_and_expect("a 7:4\n");
}
END_TEST

/* The clock was far ahead when it gave them their time: they may not keep those behind them. */
START_TEST(keys_that_would_stay_too_long_go_at_once)
{
    const int64_t day_ms = 86400000;
    begin();
    ck_assert(append_key(1, "k", INT64_MAX));
    ck_assert(append_key(2, "l", 1000 + day_ms + 1));
    ck_assert(append_key(3, "m", 1000 + day_ms));
    ck_assert(append_key(4, "n", 15));
    ck_assert(store_records_expire(records, 1000));
    commit_and_expect("a 7:4\nkey m 7:3 hash 5 6 until 86401000\n");
}
END_TEST

START_TEST(more_keys_go_at_once_than_a_transaction_adds)
{
    begin();
    for (uint64_t offset = 1; offset <= 5 * STORE_BATCH; offset++)
        ck_assert(append_key(offset, "k", (int64_t)offset));
    int64_t left = 5 * STORE_BATCH;
    while (left > 0) {
        ck_assert(store_records_expire(records, 5000));
        int64_t now = world_number(db, "SELECT count(*) FROM keys");
        ck_assert(now == 0 || left - now > STORE_BATCH);
        ck_assert_int_lt(left - now, 1000); /* but not all at once */
        left = now;
    }
    commit();
}
END_TEST

/* --- handlers --- */

static void registered(const char *key, bool removed)
{
    ck_assert(store_records_register(records, span_text(key), removed));
}

START_TEST(handlers_are_registered_and_removed)
{
    begin();
    registered("b", false);
    registered("a", false);
    registered("c", false);
    registered("b", true);
    registered("a", false);
    registered("never there", true);
    registered("", false);
    commit_and_expect("handler \nhandler a\nhandler c\n");
    begin();
    registered("", true);
    registered("c", true);
    registered("c", false);
    commit_and_expect("handler a\nhandler c\n");
}
END_TEST

/* --- transactions --- */

START_TEST(rollback_leaves_nothing)
{
    begin();
    append_many("a", 7, 2);
    registered("h", false);
    commit();
    begin();
    ck_assert(append_first("a", 7, 3, 3));
    ck_assert(append("b", 8, 1));
    ck_assert(append_key(4, "k", 99));
    note(STORE_MADE, "c", 9, 0);
    note(STORE_ENDED, "a", 7, 0);
    registered("h", true);
    registered("i", false);
    store_records_rollback(records);
    expect_kept("a 7:2\n  1 @10 <1>\n  2 @20 <2>\nhandler h\n");
    store_records_rollback(records); /* when there is nothing to take back */
    begin();
    ck_assert(append("a", 7, 3));
    commit_and_expect("a 7:3\n  1 @10 <1>\n  2 @20 <2>\n  3 @30 <3>\nhandler h\n");
}
END_TEST

START_TEST(a_full_disk_is_sure_and_a_broken_one_is_not)
{
    bool is_sure = true;
    begin();
    append_many("a", 7, 1);
    commit();
    for (int i = 0; i < 6; i++) {
        disk_set(i % 2 ? DISK_FULL : DISK_BROKEN);
        begin();
        ck_assert(append("a", 7, 2));
        ck_assert(!store_records_commit(records, &is_sure));
        ck_assert_int_eq(is_sure, i % 2);
        store_records_rollback(records);
        disk_set(DISK_FINE);
        expect_kept("a 7:1\n  1 @10 <1>\n");
    }
    begin();
    ck_assert(append("a", 7, 2));
    commit_and_expect("a 7:2\n  1 @10 <1>\n  2 @20 <2>\n");
}
END_TEST

START_TEST(every_commit_is_synced)
{
    for (uint64_t offset = 1; offset <= 20; offset++) {
        size_t before = disk_syncs();
        begin();
        ck_assert(append("a", 7, offset));
        ck_assert_uint_eq(disk_syncs(), before);
        commit();
        ck_assert_uint_gt(disk_syncs(), before);
    }
}
END_TEST

START_TEST(a_probe_writes_and_takes_it_back)
{
    begin();
    for (uint64_t offset = 1; offset <= 1500; offset++) /* more than expire at once */
        ck_assert(append_key(offset, "k", 1000));
    commit();
    for (size_t bytes = 0; bytes <= 1000000; bytes = bytes * 10 + 1) {
        size_t before = disk_syncs();
        ck_assert(store_records_probe(records, bytes));
        ck_assert_uint_gt(disk_syncs(), before);
        ck_assert_int_eq(world_number(db, "SELECT count(*) FROM keys"), 1500);
    }
    for (enum disk_state state = DISK_FULL; state <= DISK_BROKEN_ONCE; state++) {
        disk_set(state);
        ck_assert(!store_records_probe(records, 1));
        store_records_rollback(records);
        disk_set(DISK_FINE);
        ck_assert_int_eq(world_number(db, "SELECT count(*) FROM keys"), 1500);
    }
    ck_assert(store_records_probe(records, 1));
}
END_TEST

/* Wherever the room ends. */
START_TEST(a_probe_that_finds_no_room_leaves_nothing)
{
    struct stat about;
    size_t failed = 0;
    begin();
    ck_assert(append_key(1, "k", 99));
    commit();
    for (long room = 0; room < 100000; room += 2000) {
        ck_assert_int_eq(stat(world_log, &about), 0);
        disk_limit(about.st_size + room);
        bool done = store_records_probe(records, 20000);
        failed += !done;
        ck_assert(done || store_records_is_full(records));
        store_records_rollback(records);
        disk_set(DISK_FINE);
        ck_assert_int_le(world_number(db, "SELECT count(*) FROM keys"), 2);
        expect_kept("a 7:1\nkey k 7:1 hash 5 6 until 99\n"); /* a probe is no key */
        ck_assert(store_records_probe(records, 20000));
        ck_assert_int_eq(world_number(db, "SELECT count(*) FROM keys"), 1);
    }
    ck_assert_uint_gt(failed, 3);
    ck_assert_uint_lt(failed, 50);
    expect_kept("a 7:1\nkey k 7:1 hash 5 6 until 99\n");
}
END_TEST

/* --- loading --- */

START_TEST(streams_then_keys_then_handlers)
{
    begin();
    registered("h", false);
    ck_assert(append_key(1, "k", 99));
    note(STORE_MADE, "empty", 8, 0);
    append_many("c", 9, 11);
    ck_assert(append_first("a", 7, 2, 2));
    ck_assert(append_first("c", 9, 12, 9));
    commit_and_expect("a 7:2\n  2 @20 <2>\nempty 8:0\n"
                      "c 9:12\n  9 @90 <9>\n  10 @100 <10>\n  11 @110 <11>\n  12 @120 <12>\n"
                      "key k 7:1 hash 5 6 until 99\nhandler h\n");
}
END_TEST

START_TEST(nothing_is_loaded_from_nothing)
{
    expect_kept("");
}
END_TEST

/* A loader that says no when it is called for the n-th time. */
static int calls_left;

static bool call(void)
{
    return calls_left-- > 0;
}

static bool stream(void *arg, struct span key, uint64_t epoch, uint64_t offset)
{
    return (void)arg, (void)key, (void)epoch, (void)offset, call();
}

static bool message(void *arg, uint64_t offset, int64_t at_ms, struct span body)
{
    return (void)arg, (void)offset, (void)at_ms, (void)body, call();
}

static bool key(void *arg, const struct store_key *what, uint64_t epoch, uint64_t offset)
{
    return (void)arg, (void)what, (void)epoch, (void)offset, call();
}

static bool handler(void *arg, struct span what)
{
    return (void)arg, (void)what, call();
}

START_TEST(the_loader_may_say_no)
{
    struct store_loader loader = {NULL, stream, message, key, handler, NULL};
    uint64_t damaged;
    begin();
    append_many("a", 7, 2);
    append_many("b", 7, 1);
    ck_assert(append_key(3, "k", 99));
    registered("h", false);
    commit();
    /* a, whose messages are gone, b, its message, k, h */
    for (int calls = 0; calls < 5; calls++) {
        calls_left = calls;
        ck_assert(!store_records_load(records, &loader, &damaged));
        ck_assert_int_eq(calls_left, -1); /* and is not asked again */
    }
    calls_left = 5;
    ck_assert(store_records_load(records, &loader, &damaged));
    ck_assert_int_eq(calls_left, 0);
    expect_kept("a 7:3\nb 7:1\n  1 @10 <1>\nkey k 7:3 hash 5 6 until 99\nhandler h\n");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store_records");
    TCase *tests = tcase_create("store_records");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, appends_follow_each_other);
    tcase_add_test(tests, what_does_not_follow_is_not_written);
    tcase_add_test(tests, another_epoch_begins_without_what_was_before);
    tcase_add_test(tests, messages_in_front_of_the_first_go);
    tcase_add_test(tests, any_bytes_and_any_numbers);
    tcase_add_test(tests, a_stream_is_made);
    tcase_add_test(tests, a_note_of_another_epoch_does_nothing);
    tcase_add_test(tests, a_stream_is_trimmed);
    tcase_add_test(tests, a_stream_ends);
    tcase_add_test(tests, keys_come_with_their_appends);
    tcase_add_test(tests, keys_go_when_their_time_is_over);
    tcase_add_test(tests, keys_that_would_stay_too_long_go_at_once);
    tcase_add_test(tests, more_keys_go_at_once_than_a_transaction_adds);
    tcase_add_test(tests, handlers_are_registered_and_removed);
    tcase_add_test(tests, rollback_leaves_nothing);
    tcase_add_test(tests, a_full_disk_is_sure_and_a_broken_one_is_not);
    tcase_add_test(tests, every_commit_is_synced);
    tcase_add_test(tests, a_probe_writes_and_takes_it_back);
    tcase_add_test(tests, a_probe_that_finds_no_room_leaves_nothing);
    tcase_add_test(tests, streams_then_keys_then_handlers);
    tcase_add_test(tests, nothing_is_loaded_from_nothing);
    tcase_add_test(tests, the_loader_may_say_no);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
