#include "broker/give_back.h"

#include "unit.h"

#define MB ((size_t)1 << 20)

static struct give_back give_back;

static void setup(void)
{
    give_back = (struct give_back){.last_ms = 1000};
}

START_TEST(much_that_is_free_is_given_back)
{
    ck_assert(!give_back_is_due(&give_back, 100 * MB, 1000));
    ck_assert(!give_back_is_due(&give_back, 69 * MB, 1000 + GIVE_BACK_LOOK_MS));
    ck_assert(give_back_is_due(&give_back, 68 * MB, 1000 + 2 * GIVE_BACK_LOOK_MS));
    ck_assert(!give_back_is_due(&give_back, 60 * MB, 1000 + 3 * GIVE_BACK_LOOK_MS));
    ck_assert(give_back_is_due(&give_back, 36 * MB, 1000 + 4 * GIVE_BACK_LOOK_MS));
}
END_TEST

START_TEST(it_is_not_looked_for_all_the_time)
{
    ck_assert(!give_back_is_due(&give_back, 100 * MB, 1000));
    ck_assert(!give_back_is_due(&give_back, 0, 1000 + GIVE_BACK_LOOK_MS - 1));
    ck_assert(give_back_is_due(&give_back, 0, 1000 + GIVE_BACK_LOOK_MS));
}
END_TEST

START_TEST(a_little_is_given_back_now_and_then)
{
    ck_assert(!give_back_is_due(&give_back, 10 * MB, 1000 + GIVE_BACK_ANYWAY_MS - 1));
    int64_t at_ms = 1000 + GIVE_BACK_ANYWAY_MS - 1 + GIVE_BACK_LOOK_MS;
    ck_assert(give_back_is_due(&give_back, 10 * MB, at_ms));
    ck_assert(!give_back_is_due(&give_back, 10 * MB, at_ms + GIVE_BACK_ANYWAY_MS - 1));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("give_back");
    TCase *tests = tcase_create("give_back");
    tcase_add_checked_fixture(tests, setup, NULL);
    tcase_add_test(tests, much_that_is_free_is_given_back);
    tcase_add_test(tests, it_is_not_looked_for_all_the_time);
    tcase_add_test(tests, a_little_is_given_back_now_and_then);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
