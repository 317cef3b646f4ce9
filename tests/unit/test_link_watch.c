#include "gateway/link_watch.h"
#include "unit.h"

#define NOW 5000

static struct link_watch watch;

static void setup(void)
{
    watch = (struct link_watch){0};
}

START_TEST(a_link_that_was_never_lost_needs_nothing)
{
    ck_assert_int_eq(link_watch_due(&watch, NOW), -1);
    link_watch_take(&watch, LINK_TRIED, NOW);
    ck_assert_int_eq(link_watch_due(&watch, NOW + 10 * LINK_WATCH_MS), -1);
}
END_TEST

START_TEST(a_loss_that_an_attempt_follows_needs_nothing)
{
    link_watch_take(&watch, LINK_LOST, NOW);
    link_watch_take(&watch, LINK_TRIED, NOW + 1);
    ck_assert_int_eq(link_watch_due(&watch, NOW + 10 * LINK_WATCH_MS), -1);
}
END_TEST

START_TEST(a_loss_that_no_attempt_follows_is_due_after_a_while)
{
    link_watch_take(&watch, LINK_LOST, NOW);
    ck_assert_int_eq(link_watch_due(&watch, NOW), LINK_WATCH_MS);
    ck_assert_int_eq(link_watch_due(&watch, NOW + LINK_WATCH_MS - 1), 1);
    ck_assert_int_eq(link_watch_due(&watch, NOW + LINK_WATCH_MS), 0);
    ck_assert_int_eq(link_watch_due(&watch, NOW + 2 * LINK_WATCH_MS), 0);
}
END_TEST

START_TEST(it_is_due_once_for_each_loss)
{
    link_watch_take(&watch, LINK_LOST, NOW);
    link_watch_take(&watch, LINK_TRIED, NOW + LINK_WATCH_MS); /* by us */
    ck_assert_int_eq(link_watch_due(&watch, NOW + 9 * LINK_WATCH_MS), -1);
    link_watch_take(&watch, LINK_LOST, NOW + 9 * LINK_WATCH_MS);
    ck_assert_int_eq(link_watch_due(&watch, NOW + 9 * LINK_WATCH_MS), LINK_WATCH_MS);
}
END_TEST

START_TEST(a_loss_that_is_said_twice_counts_from_the_first)
{
    link_watch_take(&watch, LINK_LOST, NOW);
    link_watch_take(&watch, LINK_LOST, NOW + LINK_WATCH_MS / 2);
    ck_assert_int_eq(link_watch_due(&watch, NOW + LINK_WATCH_MS), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("link_watch");
    TCase *tests = tcase_create("link_watch");
    tcase_add_checked_fixture(tests, setup, NULL);
    tcase_add_test(tests, a_link_that_was_never_lost_needs_nothing);
    tcase_add_test(tests, a_loss_that_an_attempt_follows_needs_nothing);
    tcase_add_test(tests, a_loss_that_no_attempt_follows_is_due_after_a_while);
    tcase_add_test(tests, it_is_due_once_for_each_loss);
    tcase_add_test(tests, a_loss_that_is_said_twice_counts_from_the_first);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
