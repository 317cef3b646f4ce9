#include "gateway/tidy.h"

#include "unit.h"

static struct tidy tidy;

static void setup(void)
{
    tidy = (struct tidy){.last_ms = 1000, .came_total = 7};
}

START_TEST(many_who_came_are_a_reason)
{
    int64_t now_ms = 1000 + TIDY_MS;
    ck_assert(!tidy_is_due(&tidy, false, 6 + TIDY_CONNECTIONS, now_ms));
    ck_assert(tidy_is_due(&tidy, false, 7 + TIDY_CONNECTIONS, now_ms));
    ck_assert(!tidy_is_due(&tidy, false, 7 + TIDY_CONNECTIONS, now_ms + TIDY_MS));
}
END_TEST

START_TEST(memory_that_is_short_is_one_but_not_all_the_time)
{
    int64_t now_ms = 1000 + TIDY_MS;
    ck_assert(!tidy_is_due(&tidy, true, 7, now_ms - 1));
    ck_assert(tidy_is_due(&tidy, true, 7, now_ms));
    ck_assert(!tidy_is_due(&tidy, true, 7, now_ms + TIDY_MS - 1));
    ck_assert(tidy_is_due(&tidy, true, 7, now_ms + TIDY_MS));
}
END_TEST

START_TEST(without_newcomers_it_is_done_now_and_then)
{
    int64_t now_ms = 1000 + TIDY_ANYWAY_MS;
    ck_assert(!tidy_is_due(&tidy, false, 7, now_ms - 1));
    ck_assert(tidy_is_due(&tidy, false, 7, now_ms));
    ck_assert(!tidy_is_due(&tidy, false, 7, now_ms + TIDY_ANYWAY_MS - 1));
    ck_assert(tidy_is_due(&tidy, false, 7, now_ms + TIDY_ANYWAY_MS));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tidy");
    TCase *tests = tcase_create("tidy");
    tcase_add_checked_fixture(tests, setup, NULL);
    tcase_add_test(tests, many_who_came_are_a_reason);
    tcase_add_test(tests, memory_that_is_short_is_one_but_not_all_the_time);
    tcase_add_test(tests, without_newcomers_it_is_done_now_and_then);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
