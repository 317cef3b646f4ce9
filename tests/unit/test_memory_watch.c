#include "gateway/memory_watch.h"

#include "unit.h"

START_TEST(some_of_what_is_allowed_is_kept_for_those_who_are_there)
{
    ck_assert_uint_eq(memory_watch_share(0), 0);
    ck_assert_uint_eq(memory_watch_share(1000), 800);
    ck_assert_uint_eq(memory_watch_share(UINT64_MAX), UINT64_MAX / 5 * 4);
}
END_TEST

START_TEST(it_is_short_from_the_limit_on_until_some_is_free)
{
    struct memory_watch watch = {0};
    ck_assert(!memory_watch_look(&watch, 1600, 1599));
    ck_assert(!watch.is_short);
    ck_assert(memory_watch_look(&watch, 1600, 1600));
    ck_assert(watch.is_short);
    ck_assert(!memory_watch_look(&watch, 1600, 1700));
    ck_assert(!memory_watch_look(&watch, 1600, 1500));
    ck_assert(watch.is_short);
    ck_assert(memory_watch_look(&watch, 1600, 1499));
    ck_assert(!watch.is_short);
    ck_assert(!memory_watch_look(&watch, 1600, 1599));
}
END_TEST

START_TEST(another_limit_counts_at_once)
{
    struct memory_watch watch = {0};
    ck_assert(!memory_watch_look(&watch, 0, UINT64_MAX));
    ck_assert(memory_watch_look(&watch, 10, 11));
    ck_assert(memory_watch_look(&watch, 0, 11));
    ck_assert(!watch.is_short);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("memory_watch");
    TCase *tests = tcase_create("memory_watch");
    tcase_add_test(tests, some_of_what_is_allowed_is_kept_for_those_who_are_there);
    tcase_add_test(tests, it_is_short_from_the_limit_on_until_some_is_free);
    tcase_add_test(tests, another_limit_counts_at_once);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
