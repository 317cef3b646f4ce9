#include "gateway/duty.h"
#include "unit.h"

#define US UINT64_C(1000)
#define MS (1000 * US)

#define WINDOW  (5 * MS)
#define ALLOWED (WINDOW / DUTY_SHARE)

static struct duty duty;

static void setup(void)
{
    duty = (struct duty){.length_ns = WINDOW};
}

START_TEST(little_work_is_never_followed_by_a_rest)
{
    /* 15 us of work a millisecond, for a second. */
    for (uint64_t now = 100 * MS; now < 1100 * MS; now += MS)
        ck_assert_uint_eq(duty_rest(&duty, now, now + 15 * US), 0);
}
END_TEST

START_TEST(rare_work_is_not_followed_by_a_rest_into_the_next)
{
    /* 2 ms of work each 20 ms: the rest is over long before. */
    for (uint64_t now = 100 * MS; now < 1100 * MS; now += 20 * MS)
        ck_assert_uint_eq(duty_rest(&duty, now, now + 2 * MS), WINDOW - 2 * MS);
}
END_TEST

START_TEST(work_beyond_its_share_is_followed_by_a_rest_until_the_window_ends)
{
    uint64_t now = 100 * MS;
    ck_assert_uint_eq(duty_rest(&duty, now, now + ALLOWED), 0);
    ck_assert_uint_eq(duty_rest(&duty, now + 2 * MS, now + 2 * MS + 1), WINDOW - 2 * MS - 1);
}
END_TEST

START_TEST(a_window_begins_with_work)
{
    uint64_t now = 100 * MS;
    ck_assert_uint_gt(duty_rest(&duty, now, now + MS), 0);
    now += WINDOW - 1;
    ck_assert_uint_eq(duty_rest(&duty, now, now + 1), 0); /* the old one ends here */
    now += 1;
    ck_assert_uint_eq(duty_rest(&duty, now, now + US), 0);
    ck_assert_uint_eq(duty_rest(&duty, now + MS, now + 2 * MS), WINDOW - 2 * MS);
}
END_TEST

START_TEST(work_that_fills_the_window_has_no_rest)
{
    uint64_t now = 100 * MS;
    ck_assert_uint_eq(duty_rest(&duty, now, now + WINDOW), 0);
    now += WINDOW;
    ck_assert_uint_eq(duty_rest(&duty, now, now + 10 * WINDOW), 0);
}
END_TEST

START_TEST(a_window_of_nothing_means_never)
{
    duty.length_ns = 0;
    for (uint64_t now = 100 * MS; now < 200 * MS; now += MS)
        ck_assert_uint_eq(duty_rest(&duty, now, now + MS / 2), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("duty");
    TCase *tests = tcase_create("duty");
    tcase_add_checked_fixture(tests, setup, NULL);
    tcase_add_test(tests, little_work_is_never_followed_by_a_rest);
    tcase_add_test(tests, rare_work_is_not_followed_by_a_rest_into_the_next);
    tcase_add_test(tests, work_beyond_its_share_is_followed_by_a_rest_until_the_window_ends);
    tcase_add_test(tests, a_window_begins_with_work);
    tcase_add_test(tests, work_that_fills_the_window_has_no_rest);
    tcase_add_test(tests, a_window_of_nothing_means_never);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
