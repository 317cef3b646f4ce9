#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "disk.h"
#include "sqlite_world.h"
#include "store_world.h"
#include "unit.h"

/* What the store cannot write: how much of it fails, what is said of it, and what is found later.
 */

/* The whole batch fails, and with it what would have followed; everything else goes on. */
START_TEST(a_batch_that_finds_no_space_fails_as_a_whole)
{
    occupy();
    append_many("a", 1, STORE_BATCH - 2);
    registers(2, "h", false);
    append("b", 1);
    append_many("a", STORE_BATCH - 1, STORE_BATCH + 20); /* in the next batch */
    append("b", 2);
    append("c", 1);
    registers(3, "i", false);
    disk_set(DISK_FULL_ONCE);
    disk_let_go();
    expect(false, 1, STORE_COMMITTED);
    expect_appended(1, STORE_BATCH - 2, STORE_FULL);
    expect(true, 2, STORE_FULL);
    expect_appended(1, 1, STORE_FULL);
    expect_appended(STORE_BATCH - 1, STORE_BATCH + 20, STORE_FAILED);
    expect_appended(2, 2, STORE_FAILED);
    expect_appended(1, 1, STORE_COMMITTED);
    expect(true, 3, STORE_COMMITTED);
    append("a", 1); /* the offsets are used again */
    append("b", 1);
    expect_appended(1, 1, STORE_COMMITTED);
    expect_appended(1, 1, STORE_COMMITTED);
    ck_assert(!figures().is_failing);
    expect_kept(OCCUPIED "c 7:1\n  1 @10 body\na 7:1\n  1 @10 body\nb 7:1\n  1 @10 body\n"
                         "handler i\n");
}
END_TEST

START_TEST(nobody_knows_what_became_of_a_batch_that_was_not_synced)
{
    append("a", 1);
    expect_appended(1, 1, STORE_COMMITTED);
    disk_hold();
    append("a", 2);
    disk_wait_held();
    append_many("a", 3, 20);
    append("b", 1);
    registers(2, "h", false);
    disk_set(DISK_BROKEN_ONCE);
    disk_let_go();
    expect_appended(2, 2, STORE_DOUBTED);
    expect_appended(3, 20, STORE_FAILED);
    expect_appended(1, 1, STORE_COMMITTED);
    expect(true, 2, STORE_COMMITTED);
    append("a", 2);
    expect_appended(2, 2, STORE_COMMITTED);
    expect_kept("a 7:2\n  1 @10 body\n  2 @20 body\nb 7:1\n  1 @10 body\nhandler h\n");
}
END_TEST

static bool takes_place;

/* It dies after a doubt, or after something took the place of what is doubted. */
static int doubt_and_die(void)
{
    open_with(QUEUE_BYTES, PATIENCE_MS);
    append("a", 1);
    expect_appended(1, 1, STORE_COMMITTED);
    disk_set(DISK_BROKEN_ONCE);
    for (uint64_t offset = 2; offset <= 60; offset++)
        ck_assert(append_body(1000 + offset, "a", offset, "doubted"));
    for (uint64_t offset = 2; offset <= 60; offset++)
        if (next().outcome == STORE_COMMITTED)
            return 1;
    if (!takes_place)
        return 0;
    append("a", 2);
    expect_appended(2, 2, STORE_COMMITTED);
    return 0;
}

START_TEST(what_takes_the_place_of_a_doubted_batch_ends_the_doubt)
{
    store_destroy(&store);
    takes_place = true;
    ck_assert_int_eq(world_child(doubt_and_die), 0);
    open_with(QUEUE_BYTES, PATIENCE_MS);
    expect_kept("a 7:2\n  1 @10 body\n  2 @20 body\n");
}
END_TEST

static uint64_t last;

static bool see_stream(void *arg, struct span stream, uint64_t epoch, uint64_t offset)
{
    (void)arg, (void)stream, (void)epoch;
    last = offset;
    return true;
}

static bool see_message(void *arg, uint64_t offset, int64_t at_ms, struct span body)
{
    (void)at_ms, (void)body;
    uint64_t *seen = arg;
    ck_assert_uint_eq(offset, ++*seen);
    return true;
}

START_TEST(a_crash_may_find_a_doubted_batch_but_no_part_of_it)
{
    uint64_t seen = 0;
    store_destroy(&store);
    takes_place = false;
    ck_assert_int_eq(world_child(doubt_and_die), 0);
    open_with(QUEUE_BYTES, PATIENCE_MS);
    ck_assert(store_load(
        store, &(struct store_loader){.arg = &seen, .stream = see_stream, .message = see_message}));
    ck_assert_uint_eq(seen, last);
    ck_assert_uint_ge(last, 1);
    append("a", last + 1); /* it goes on from what was found */
    expect_appended(last + 1, last + 1, STORE_COMMITTED);
}
END_TEST

START_TEST(it_notices_by_itself_that_it_can_write_again)
{
    append("a", 1);
    expect_appended(1, 1, STORE_COMMITTED);
    ck_assert(!figures().is_failing);
    for (int round = 0; round < 2; round++) {
        disk_set(round ? DISK_BROKEN : DISK_FULL);
        append("a", 2);
        expect_appended(2, 2, round ? STORE_DOUBTED : STORE_FULL);
        ck_assert(figures().is_failing);
        disk_set(DISK_FINE);
        while (figures().is_failing) {
            ck_assert(is_readable(PATIENCE_MS));
            expect_nothing();
        }
    }
    expect_kept("a 7:1\n  1 @10 body\n");
}
END_TEST

/* Small ones that find room do not mean that a large one would. */
START_TEST(it_fails_until_there_is_room_for_what_has_failed)
{
    static char large[100001];
    struct stat about;
    memset(large, 'x', sizeof large - 1);
    append("a", 1);
    expect_appended(1, 1, STORE_COMMITTED);
    ck_assert_int_eq(stat(world_log, &about), 0);
    disk_limit(about.st_size + 60000);
    ck_assert(append_body(1002, "a", 2, large));
    expect_appended(2, 2, STORE_FULL);
    ck_assert(figures().is_failing);
    append("a", 2);
    expect_appended(2, 2, STORE_COMMITTED);
    ck_assert(figures().is_failing);
    append("a", 3);
    expect_appended(3, 3, STORE_COMMITTED);
    ck_assert(figures().is_failing);
    disk_set(DISK_FINE);
    ck_assert(append_body(1004, "a", 4, large));
    expect_appended(4, 4, STORE_COMMITTED);
    ck_assert(!figures().is_failing);
    ck_assert_uint_eq(figures().commits, 4);
}
END_TEST

START_TEST(while_it_fails_everything_that_is_tried_fails)
{
    append("a", 1);
    expect_appended(1, 1, STORE_COMMITTED);
    disk_set(DISK_FULL);
    for (int i = 0; i < 100; i++) {
        append("a", 2);
        expect_appended(2, 2, STORE_FULL);
    }
    registers(1, "h", false);
    expect(true, 1, STORE_FULL);
    ck_assert(figures().is_failing);
    ck_assert_uint_eq(figures().failed, 101);
    disk_set(DISK_FINE);
    append("a", 2);
    expect_appended(2, 2, STORE_COMMITTED);
    ck_assert(!figures().is_failing);
    expect_kept("a 7:2\n  1 @10 body\n  2 @20 body\n");
}
END_TEST

START_TEST(the_end_does_not_wait_for_a_disk_that_is_full)
{
    append("a", 1);
    expect_appended(1, 1, STORE_COMMITTED);
    disk_set(DISK_FULL);
    append_many("a", 2, 1000);
    store_destroy(&store);
    disk_set(DISK_FINE);
    open_with(QUEUE_BYTES, PATIENCE_MS);
    expect_kept("a 7:1\n  1 @10 body\n");
}
END_TEST

/* Files may grow no more. */
static void limit_files(rlim_t bytes)
{
    struct rlimit limit;
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

START_TEST(a_file_that_may_not_grow)
{
    struct stat about;
    append("a", 1);
    expect_appended(1, 1, STORE_COMMITTED);
    ck_assert_int_eq(stat(world_log, &about), 0);
    signal(SIGXFSZ, SIG_IGN);
    limit_files((rlim_t)about.st_size);
    append("a", 2);
    registers(3, "b", false);
    struct store_completion first = next(), second = next();
    limit_files(RLIM_INFINITY);
    ck_assert(!first.is_registration && second.is_registration);
    ck_assert_int_eq(first.outcome, STORE_FULL); /* no doubt: there is no room for it */
    ck_assert_int_eq(second.outcome, STORE_FULL);
    expect_nothing(); /* nothing is tried again by itself */

    append("a", 2);
    registers(5, "c", false);
    expect_appended(2, 2, STORE_COMMITTED);
    expect(true, 5, STORE_COMMITTED);
    expect_kept("a 7:2\n  1 @10 body\n  2 @20 body\nhandler c\n");
}
END_TEST

START_TEST(a_disk_that_hangs_shows)
{
    store_destroy(&store);
    open_with(QUEUE_BYTES, 1);
    occupy();
    while (!figures().is_failing) /* until a millisecond is over */
        ;
    ck_assert(append_body(2, "a", 1, "")); /* it may go on at any time */
    disk_let_go();
    expect(false, 1, STORE_COMMITTED);
    expect(false, 2, STORE_COMMITTED);
    while (figures().is_failing) /* should the writer be about to begin with nothing */
        ;
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store_faults");
    TCase *tests = tcase_create("store_faults");
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, sqlite_setup, sqlite_teardown);
    tcase_add_test(tests, a_batch_that_finds_no_space_fails_as_a_whole);
    tcase_add_test(tests, nobody_knows_what_became_of_a_batch_that_was_not_synced);
    tcase_add_test(tests, what_takes_the_place_of_a_doubted_batch_ends_the_doubt);
    tcase_add_test(tests, a_crash_may_find_a_doubted_batch_but_no_part_of_it);
    tcase_add_test(tests, it_notices_by_itself_that_it_can_write_again);
    tcase_add_test(tests, it_fails_until_there_is_room_for_what_has_failed);
    tcase_add_test(tests, while_it_fails_everything_that_is_tried_fails);
    tcase_add_test(tests, the_end_does_not_wait_for_a_disk_that_is_full);
    tcase_add_test(tests, a_file_that_may_not_grow);
    tcase_add_test(tests, a_disk_that_hangs_shows);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
