#include "gateway/memory_watch.h"

#include "unit.h"

START_TEST(the_setting_comes_before_what_the_kernel_allows)
{
    ck_assert_uint_eq(memory_watch_limit(0, 0), 0);
    ck_assert_uint_eq(memory_watch_limit(0, 1000), 800);
    ck_assert_uint_eq(memory_watch_limit(950, 1000), 950);
    ck_assert_uint_eq(memory_watch_limit(950, 0), 950);
    ck_assert_uint_eq(memory_watch_limit(0, UINT64_MAX), UINT64_MAX / 5 * 4);
}
END_TEST

START_TEST(it_is_short_from_the_limit_on_until_some_is_free)
{
    struct memory_watch watch = {.limit_bytes = 1600};
    ck_assert(!memory_watch_look(&watch, 1599));
    ck_assert(!watch.is_short);
    ck_assert(memory_watch_look(&watch, 1600));
    ck_assert(watch.is_short);
    ck_assert(!memory_watch_look(&watch, 1700));
    ck_assert(!memory_watch_look(&watch, 1500));
    ck_assert(watch.is_short);
    ck_assert(memory_watch_look(&watch, 1499));
    ck_assert(!watch.is_short);
    ck_assert(!memory_watch_look(&watch, 1599));
}
END_TEST

START_TEST(another_limit_counts_at_the_next_look)
{
    struct memory_watch watch = {0};
    ck_assert(!memory_watch_look(&watch, UINT64_MAX));
    watch.limit_bytes = 10;
    ck_assert(memory_watch_look(&watch, 11));
    watch.limit_bytes = 0;
    ck_assert(memory_watch_look(&watch, 11));
    ck_assert(!watch.is_short);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("memory_watch");
    TCase *tests = tcase_create("memory_watch");
    tcase_add_test(tests, the_setting_comes_before_what_the_kernel_allows);
    tcase_add_test(tests, it_is_short_from_the_limit_on_until_some_is_free);
    tcase_add_test(tests, another_limit_counts_at_the_next_look);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
