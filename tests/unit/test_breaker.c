#include "broker/breaker.h"
#include "unit.h"

static struct breaker breaker;

static void setup(void)
{
    breaker = (struct breaker){0};
}

static void fail_times(int times, int64_t now_ms)
{
    for (int i = 0; i < times; i++)
        breaker_failed(&breaker, now_ms, now_ms);
}

START_TEST(it_opens_after_failures_in_a_row)
{
    fail_times(4, 100);
    ck_assert(breaker_admits(&breaker, 100));
    breaker_succeeded(&breaker, 100);
    fail_times(4, 200);
    ck_assert(breaker_admits(&breaker, 200));
    fail_times(1, 200);
    ck_assert(breaker.is_open);
    ck_assert(!breaker_admits(&breaker, 200));
}
END_TEST

START_TEST(probes_come_after_one_two_four_and_at_most_thirty_seconds)
{
    int64_t now_ms = 1000;
    fail_times(5, now_ms);
    for (int i = 0; i < 8; i++) {
        int64_t wait_ms = 1000 << i < 30000 ? 1000 << i : 30000;
        ck_assert(!breaker_admits(&breaker, now_ms + wait_ms - 1));
        now_ms += wait_ms;
        ck_assert(breaker_admits(&breaker, now_ms));
        ck_assert(!breaker_admits(&breaker, now_ms)); /* one */
        fail_times(1, now_ms);
    }
}
END_TEST

START_TEST(what_was_under_way_when_it_opened_is_no_probe)
{
    for (int i = 0; i < 256; i++)
        breaker_failed(&breaker, 1000, 4000); /* one pause, many messages */
    ck_assert(!breaker_admits(&breaker, 4999));
    ck_assert(breaker_admits(&breaker, 5000));
}
END_TEST

START_TEST(a_success_closes_it)
{
    fail_times(5, 1000);
    ck_assert(breaker_admits(&breaker, 2000));
    breaker_succeeded(&breaker, 2001);
    ck_assert(breaker_admits(&breaker, 2001));
    fail_times(4, 2002);
    ck_assert(breaker_admits(&breaker, 2002)); /* and counts anew */
}
END_TEST

START_TEST(failures_older_than_a_success_do_not_count)
{
    breaker_succeeded(&breaker, 1000);
    for (int i = 0; i < 100; i++)
        breaker_failed(&breaker, 999, 4000);
    ck_assert(breaker_admits(&breaker, 4000));
}
END_TEST

START_TEST(somebody_new_need_not_wait_long)
{
    fail_times(5, 1000);
    for (int i = 0; i < 6; i++) {
        ck_assert(breaker_admits(&breaker, 100000 * (i + 1)));
        fail_times(1, 100000 * (i + 1));
    }
    ck_assert(!breaker_admits(&breaker, 601000));
    breaker_hurry(&breaker);
    ck_assert(breaker_admits(&breaker, 601000));
}
END_TEST

/* Up and down five times a second for a minute, and it never answers. */
START_TEST(flapping_costs_a_probe_a_second)
{
    int admitted = 0;
    for (int64_t now_ms = 0; now_ms < 60000; now_ms += 10) {
        if (now_ms % 400 == 0)
            breaker_hurry(&breaker);
        if (!breaker_admits(&breaker, now_ms))
            continue;
        admitted++;
        fail_times(1, now_ms);
    }
    ck_assert_int_le(admitted, 5 + 60);
    ck_assert_int_ge(admitted, 5 + 50);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("breaker");
    TCase *cases = tcase_create("all");
    tcase_add_checked_fixture(cases, setup, NULL);
    tcase_add_test(cases, it_opens_after_failures_in_a_row);
    tcase_add_test(cases, probes_come_after_one_two_four_and_at_most_thirty_seconds);
    tcase_add_test(cases, what_was_under_way_when_it_opened_is_no_probe);
    tcase_add_test(cases, a_success_closes_it);
    tcase_add_test(cases, failures_older_than_a_success_do_not_count);
    tcase_add_test(cases, somebody_new_need_not_wait_long);
    tcase_add_test(cases, flapping_costs_a_probe_a_second);
    suite_add_tcase(suite, cases);
    return unit_run(suite);
}
