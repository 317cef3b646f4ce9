#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "disk.h"
#include "sqlite_world.h"
#include "store_world.h"
#include "unit.h"

/* --- what is kept --- */

START_TEST(registrations_survive)
{
    expect_nothing();
    registers(1, "a", false);
    registers(2, "b", false);
    registers(3, "c", false);
    registers(4, "b", true);
    registers(5, "a", false); /* again: changes nothing */
    for (uint64_t ticket = 1; ticket <= 5; ticket++)
        expect(true, ticket, STORE_COMMITTED);
    expect_nothing();
    expect_kept("handler a\nhandler c\n");
    registers(1, "a", true);
    registers(2, "never there", true);
    registers(3, "d", false);
    for (uint64_t ticket = 1; ticket <= 3; ticket++)
        expect(true, ticket, STORE_COMMITTED);
    expect_kept("handler c\nhandler d\n");
}
END_TEST

START_TEST(the_last_word_of_a_batch_counts)
{
    occupy();
    registers(1, "a", false);
    registers(2, "a", true);
    registers(3, "b", false);
    registers(4, "b", true);
    registers(5, "b", false);
    disk_let_go();
    expect(false, 1, STORE_COMMITTED);
    for (uint64_t ticket = 1; ticket <= 5; ticket++)
        expect(true, ticket, STORE_COMMITTED);
    ck_assert_uint_eq(figures().commits, 2);
    expect_kept(OCCUPIED "handler b\n");
}
END_TEST

static bool compare(void *arg, struct span key)
{
    ck_assert(span_equal(key, *(const struct span *)arg));
    return true;
}

START_TEST(a_key_is_any_bytes)
{
    uint8_t bytes[STORE_HANDLER_KEY_MAX + 1];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7);
    struct span longest = span_of(bytes, STORE_HANDLER_KEY_MAX);
    registers_bytes(1, longest, false);
    expect(true, 1, STORE_COMMITTED);
    ck_assert(!store_registration(
        store, &(struct store_registration){.ticket = 2, .key = span_of(bytes, sizeof bytes)}));
    expect_nothing();
    reopen();
    ck_assert(store_load(store, &(struct store_loader){.arg = &longest, .handler = compare}));

    registers_bytes(3, longest, true);
    registers_bytes(4, span_of(NULL, 0), false);
    expect(true, 3, STORE_COMMITTED);
    expect(true, 4, STORE_COMMITTED);
    expect_kept("handler \n");
}
END_TEST

START_TEST(all_of_an_append_survives)
{
    uint8_t mine[] = "a the body k";
    int64_t until_ms = clock_wall_ms() + 3600000;
    char kept[200];
    struct store_append what = {.ticket = 1,
                                .stream = span_of(mine, 1),
                                .epoch = UINT64_MAX,
                                .offset = 1,
                                .first = 1,
                                .at_ms = -5,
                                .body = span_of(mine + 2, 8),
                                .once = {span_of(mine + 11, 1), {5, UINT64_MAX}, until_ms}};
    ck_assert(store_append(store, &what));
    memset(mine, 'x', sizeof mine); /* spans are borrowed for the call */
    expect(false, 1, STORE_COMMITTED);
    snprintf(kept, sizeof kept,
             "a 18446744073709551615:1\n  1 @-5 the body\n"
             "key k 18446744073709551615:1 hash 5 18446744073709551615 until %lld\n",
             (long long)until_ms);
    expect_kept(kept);
}
END_TEST

START_TEST(notes_are_kept_and_not_reported)
{
    uint8_t name[] = "b";
    struct store_note what = {.kind = STORE_MADE, .stream = span_of(name, 1), .epoch = 8};
    occupy();
    store_note(store, &what);
    name[0] = 'x';
    append_many("a", 1, 3);
    append_many("c", 1, 1);
    store_note(store, &(struct store_note){STORE_TRIMMED, span_text("a"), 7, 3});
    store_note(store, &(struct store_note){STORE_ENDED, span_text("c"), 7, 0});
    registers(1, "h", false);
    disk_let_go();
    expect(false, 1, STORE_COMMITTED);
    expect_appended(1, 3, STORE_COMMITTED);
    expect_appended(1, 1, STORE_COMMITTED);
    expect(true, 1, STORE_COMMITTED);
    expect_nothing();
    ck_assert_uint_eq(figures().committed, 6);
    expect_kept(OCCUPIED "a 7:3\n  3 @30 body\nb 8:0\nhandler h\n"); /* notes come last */
}
END_TEST

START_TEST(what_is_accepted_at_the_end_is_written)
{
    append_many("a", 1, 2000);
    store_note(store, &(struct store_note){STORE_TRIMMED, span_text("a"), 7, 2000});
    registers(1, "h", false);
    expect_kept("a 7:2000\n  2000 @20000 body\nhandler h\n");
}
END_TEST

static bool refuse(void *arg, struct span stream, uint64_t epoch, uint64_t offset)
{
    (void)arg, (void)stream, (void)epoch, (void)offset;
    return false;
}

START_TEST(the_loader_may_say_no)
{
    append("a", 1);
    expect_appended(1, 1, STORE_COMMITTED);
    reopen();
    ck_assert(!store_load(store, &(struct store_loader){.stream = refuse}));
    expect_kept("a 7:1\n  1 @10 body\n");
}
END_TEST

/* --- many at once --- */

START_TEST(nothing_is_reported_before_it_is_on_the_disk)
{
    disk_hold();
    append("a", 1);
    disk_wait_held();
    expect_nothing();
    ck_assert(!is_readable(0));
    disk_let_go();
    ck_assert(is_readable(PATIENCE_MS));
    expect_appended(1, 1, STORE_COMMITTED);
    expect_nothing();
    ck_assert(!is_readable(0));
}
END_TEST

START_TEST(what_came_while_it_was_writing_is_one_commit)
{
    occupy();
    append_many("a", 1, STORE_BATCH);
    append_many("a", STORE_BATCH + 1, 2 * STORE_BATCH);
    append_many("a", 2 * STORE_BATCH + 1, 2 * STORE_BATCH + 1);
    size_t before = disk_syncs();
    disk_let_go();
    expect(false, 1, STORE_COMMITTED);
    expect_appended(1, 2 * STORE_BATCH + 1, STORE_COMMITTED);
    expect_nothing();
    ck_assert_uint_eq(figures().commits, 4);
    ck_assert_uint_eq(figures().committed, 2 * STORE_BATCH + 2);
    ck_assert_uint_eq(disk_syncs() - before, 3);
}
END_TEST

START_TEST(completions_come_in_the_order_of_everything)
{
    char name[16];
    for (uint64_t i = 0; i < 3000; i++) {
        snprintf(name, sizeof name, "%llu", (unsigned long long)i % 7);
        if (i % 3 == 0)
            registers(i, name, i % 2);
        else
            ck_assert(append_body(i, name, 1, "")); /* only the first of each follows */
    }
    for (uint64_t i = 0; i < 3000; i++) {
        struct store_completion got = next();
        ck_assert_uint_eq(got.ticket, i);
        ck_assert_int_eq(got.is_registration, i % 3 == 0);
        if (i % 100 == 0)
            registers(3000 + i / 100, "late", false);
    }
    for (uint64_t i = 0; i < 30; i++)
        expect(true, 3000 + i, STORE_COMMITTED);
    expect_nothing();
    ck_assert_uint_eq(figures().committed, 1000 + 7 + 30);
    ck_assert_uint_eq(figures().failed, 2000 - 7);
}
END_TEST

START_TEST(it_is_readable_when_there_is_something_new)
{
    for (uint64_t offset = 1; offset <= 100; offset++) {
        append("a", offset);
        ck_assert(is_readable(PATIENCE_MS));
        ck_assert(is_readable(0)); /* until somebody takes it */
        expect_appended(offset, offset, STORE_COMMITTED);
        expect_nothing();
        ck_assert(!is_readable(0));
    }
}
END_TEST

/* --- bounds --- */

START_TEST(no_more_waits_than_may)
{
    store_destroy(&store);
    open_with(100 + 10 * STORE_COST, PATIENCE_MS);
    occupy();
    for (uint64_t offset = 1; offset <= 9; offset++)
        ck_assert(append_body(1000 + offset, "a", offset, "123456789"));
    ck_assert(!append_body(2, "a", 10, "1234567890")); /* one byte more than there is room for */
    ck_assert_uint_eq(figures().queued_bytes, 90 + 9 * STORE_COST);
    ck_assert(append_body(1010, "a", 10, "123456789"));
    ck_assert_uint_eq(figures().queued_bytes, 100 + 10 * STORE_COST);
    ck_assert(!append_body(2, "a", 11, ""));
    ck_assert(
        !store_registration(store, &(struct store_registration){.key = span_text("handler")}));
    store_note(store, &(struct store_note){STORE_ENDED, span_text("a"), 7, 0}); /* is lost */
    disk_let_go();
    expect(false, 1, STORE_COMMITTED);
    expect_appended(1, 10, STORE_COMMITTED);
    expect_nothing();
    ck_assert_uint_eq(figures().queued_bytes, 0);
    ck_assert(append_body(3, "a", 11, "123456789"));
    expect(false, 3, STORE_COMMITTED);
    ck_assert_uint_eq(figures().failed, 0);
}
END_TEST

START_TEST(its_limits_may_change)
{
    occupy();
    store_configure(store, &(struct store_limits){10 + STORE_COST, PATIENCE_MS});
    ck_assert(append_body(1001, "a", 1, "123456789"));
    ck_assert(!append_body(2, "a", 2, "123456789"));
    store_configure(store, &(struct store_limits){20 + 2 * STORE_COST, PATIENCE_MS});
    ck_assert(append_body(1002, "a", 2, "123456789"));
    store_configure(store, &(struct store_limits){QUEUE_BYTES, 1});
    while (!figures().is_failing) /* until a millisecond is over */
        ;
    disk_let_go();
    expect(false, 1, STORE_COMMITTED);
    expect_appended(1, 2, STORE_COMMITTED);
}
END_TEST

START_TEST(notes_leave_room_for_what_somebody_waits_for)
{
    store_destroy(&store);
    open_with(4 * STORE_COST + 8, PATIENCE_MS);
    occupy();
    for (int i = 0; i < 4; i++) /* the third and fourth are lost */
        store_note(store, &(struct store_note){STORE_MADE, span_text("n"), 7, 0});
    ck_assert_uint_eq(figures().notes_lost, 2);
    ck_assert_uint_eq(figures().queued_bytes, 2 * (STORE_COST + 1));
    ck_assert(append_body(1001, "a", 1, ""));
    ck_assert(append_body(1002, "a", 2, ""));
    ck_assert(!append_body(1003, "a", 3, ""));
    disk_let_go();
    expect(false, 1, STORE_COMMITTED);
    expect_appended(1, 2, STORE_COMMITTED);
}
END_TEST

static void trimmed(uint64_t first)
{
    store_note(store, &(struct store_note){STORE_TRIMMED, span_text("a"), 7, first});
}

/* Publishers that always have more than one transaction on its way. */
START_TEST(notes_keep_up_with_what_somebody_waits_for)
{
    static const uint64_t waiting = 2 * STORE_BATCH, count = 20000;
    store_destroy(&store);
    open_with((size_t)1 << 20, PATIENCE_MS);
    for (uint64_t offset = 1; offset <= count; offset++) {
        if (offset > waiting)
            expect_appended(offset - waiting, offset - waiting, STORE_COMMITTED);
        append("a", offset);
        trimmed(offset > waiting ? offset - waiting : 1);
        trimmed(offset > waiting ? offset - waiting + 1 : 1);
    }
    expect_appended(count - waiting + 1, count, STORE_COMMITTED);
    ck_assert_uint_eq(figures().notes_lost, 0);
}
END_TEST

START_TEST(notes_do_not_overtake_what_was_accepted_before_them)
{
    occupy();
    append_many("a", 1, STORE_BATCH + 1);
    trimmed(STORE_BATCH + 1); /* none of them was committed yet, so this is of the test alone */
    disk_let_go();
    expect(false, 1, STORE_COMMITTED);
    expect_appended(1, STORE_BATCH + 1, STORE_COMMITTED);
    expect_kept(OCCUPIED "a 7:257\n  257 @2570 body\n");
}
END_TEST

START_TEST(keys_that_are_over_do_not_pile_up)
{
    occupy();
    for (uint64_t offset = 1; offset <= 64 * STORE_BATCH; offset++)
        ck_assert(store_append(
            store, &(struct store_append){.ticket = 1000 + offset,
                                          .stream = span_text("a"),
                                          .epoch = 7,
                                          .offset = offset,
                                          .first = offset,
                                          .once = {.key = span_text("k"), .until_ms = 1}}));
    disk_let_go();
    expect(false, 1, STORE_COMMITTED);
    expect_appended(1, 64 * STORE_BATCH, STORE_COMMITTED);
    store_destroy(&store);
    ck_assert_int_lt(world_number(NULL, "SELECT count(*) FROM keys"), 32 * STORE_BATCH);
    open_with(QUEUE_BYTES, PATIENCE_MS);
}
END_TEST

/* --- figures --- */

START_TEST(it_is_measured)
{
    struct stat file, log;
    ck_assert_uint_eq(figures().commits + figures().committed + figures().failed, 0);
    append_many("a", 1, 2);
    expect_appended(1, 2, STORE_COMMITTED);
    append("a", 2);
    expect_appended(2, 2, STORE_FAILED);
    struct store_figures now = figures();
    ck_assert_uint_ge(now.commits, 2);
    ck_assert_uint_le(now.commits, 3);
    ck_assert_uint_eq(now.committed, 2);
    ck_assert_uint_eq(now.failed, 1);
    ck_assert_uint_eq(now.damaged, 0);
    ck_assert(!now.is_failing);
    ck_assert_int_eq(stat(world_path, &file), 0);
    ck_assert_int_eq(stat(world_log, &log), 0);
    ck_assert_uint_eq(now.file_bytes, (uint64_t)file.st_size + (uint64_t)log.st_size);
}
END_TEST

START_TEST(damage_is_measured)
{
    append_many("a", 1, 3);
    expect_appended(1, 3, STORE_COMMITTED);
    store_destroy(&store);
    world_sql(NULL, "UPDATE messages SET at = 0 WHERE offset = 2;"
                    "INSERT INTO streams VALUES (9, x'62', 1, 0, 0)");
    open_with(QUEUE_BYTES, PATIENCE_MS);
    ck_assert_uint_eq(figures().damaged, 0);
    expect_kept("a 7:3\n  1 @10 body\n  3 @30 body\n");
    ck_assert_uint_eq(figures().damaged, 2);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store_sqlite");
    TCase *tests = tcase_create("store_sqlite");
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, sqlite_setup, sqlite_teardown);
    tcase_add_test(tests, registrations_survive);
    tcase_add_test(tests, the_last_word_of_a_batch_counts);
    tcase_add_test(tests, a_key_is_any_bytes);
    tcase_add_test(tests, all_of_an_append_survives);
    tcase_add_test(tests, notes_are_kept_and_not_reported);
    tcase_add_test(tests, what_is_accepted_at_the_end_is_written);
    tcase_add_test(tests, the_loader_may_say_no);
    tcase_add_test(tests, nothing_is_reported_before_it_is_on_the_disk);
    tcase_add_test(tests, what_came_while_it_was_writing_is_one_commit);
    tcase_add_test(tests, completions_come_in_the_order_of_everything);
    tcase_add_test(tests, it_is_readable_when_there_is_something_new);
    tcase_add_test(tests, no_more_waits_than_may);
    tcase_add_test(tests, its_limits_may_change);
    tcase_add_test(tests, notes_leave_room_for_what_somebody_waits_for);
    tcase_add_test(tests, notes_keep_up_with_what_somebody_waits_for);
    tcase_add_test(tests, notes_do_not_overtake_what_was_accepted_before_them);
    tcase_add_test(tests, keys_that_are_over_do_not_pile_up);
    tcase_add_test(tests, it_is_measured);
    tcase_add_test(tests, damage_is_measured);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
