#include "broker/lag.h"

#include "unit.h"

#define MINUTE 60000

static struct lag lag;

static void setup(void)
{
    lag = (struct lag){0};
}

START_TEST(the_quickest_message_counts)
{
    ck_assert_int_eq(lag_of(&lag, 500000, 1000), 0); /* nothing is known yet */
    ck_assert_int_eq(lag_of(&lag, 501000, 2030), 30);
    ck_assert_int_eq(lag_of(&lag, 502000, 2990), 0);
    ck_assert_int_eq(lag_of(&lag, 503000, 4000), 10);
    ck_assert_int_eq(lag_of(&lag, 504000, 65000), 60010);
}
END_TEST

START_TEST(clocks_that_do_not_go_alike_are_followed)
{
    int64_t worst = 0;
    for (int64_t now = 0; now < 1000 * MINUTE; now += 1000) { /* ours gains 0.1 per mille */
        int64_t found = lag_of(&lag, (uint64_t)(now - now / 10000), now);
        if (found > worst)
            worst = found;
    }
    ck_assert_int_le(worst, 13);
}
END_TEST

START_TEST(a_window_without_messages_keeps_what_was_known)
{
    (void)lag_of(&lag, 0, 100);
    ck_assert_int_eq(lag_of(&lag, 1000, 10 * MINUTE), 10 * MINUTE - 1100);
    ck_assert_int_eq(lag_of(&lag, 10 * MINUTE, 10 * MINUTE + 100), 0);
}
END_TEST

START_TEST(what_is_too_old_is_forgotten)
{
    (void)lag_of(&lag, 0, 100);
    ck_assert_int_eq(lag_of(&lag, 1000, 31 * MINUTE), 0);
}
END_TEST

START_TEST(any_number_is_taken)
{
    ck_assert_int_eq(lag_of(&lag, 0, 1000), 0);
    ck_assert_int_ge(lag_of(&lag, UINT64_MAX, 1000), 0);
    ck_assert_int_ge(lag_of(&lag, (uint64_t)INT64_MAX + 1000, 1000), 0);
    ck_assert_int_ge(lag_of(&lag, (uint64_t)INT64_MAX + 1001, 1000), 0);
    ck_assert_int_ge(lag_of(&lag, 0, INT64_MAX / 2), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("lag");
    TCase *tests = tcase_create("lag");
    tcase_add_checked_fixture(tests, setup, NULL);
    tcase_add_test(tests, the_quickest_message_counts);
    tcase_add_test(tests, clocks_that_do_not_go_alike_are_followed);
    tcase_add_test(tests, a_window_without_messages_keeps_what_was_known);
    tcase_add_test(tests, what_is_too_old_is_forgotten);
    tcase_add_test(tests, any_number_is_taken);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
