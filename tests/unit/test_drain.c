#include "gateway/drain.h"
#include "unit.h"

#define BEGAN 7000

static const struct drain ten = {.began_ms = BEGAN, .length_ms = 10000, .sessions = 10};

START_TEST(clients_go_one_by_one_at_equal_distances)
{
    for (size_t gone = 1; gone <= 10; gone++) {
        int64_t at_ms = BEGAN + 1000 * (int64_t)(gone - 1);
        ck_assert_uint_eq(drain_keep(&ten, at_ms), 10 - gone);
        ck_assert_uint_eq(drain_keep(&ten, at_ms + 999), 10 - gone);
    }
    ck_assert_uint_eq(drain_keep(&ten, BEGAN + 60000), 0);
}
END_TEST

START_TEST(without_time_all_go_at_once)
{
    struct drain none = {.began_ms = BEGAN, .length_ms = 0, .sessions = 10};
    ck_assert_uint_eq(drain_keep(&none, BEGAN), 0);
    struct drain nobody = {.began_ms = BEGAN, .length_ms = 10000, .sessions = 0};
    ck_assert_uint_eq(drain_keep(&nobody, BEGAN), 0);
}
END_TEST

START_TEST(it_is_over_when_nobody_is_left)
{
    ck_assert(drain_is_over(&ten, 0, 0, BEGAN));
    ck_assert(!drain_is_over(&ten, 1, 1, BEGAN + 9999));
    /* Handshakes get a second. */
    ck_assert(!drain_is_over(&ten, 0, 1, BEGAN + 999));
    ck_assert(drain_is_over(&ten, 0, 1, BEGAN + 1000));
}
END_TEST

START_TEST(it_is_over_some_time_after_its_end_whoever_is_left)
{
    ck_assert(!drain_is_over(&ten, 1, 1, BEGAN + 14999));
    ck_assert(drain_is_over(&ten, 1, 1, BEGAN + 15000));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("drain");
    TCase *tests = tcase_create("drain");
    tcase_add_test(tests, clients_go_one_by_one_at_equal_distances);
    tcase_add_test(tests, without_time_all_go_at_once);
    tcase_add_test(tests, it_is_over_when_nobody_is_left);
    tcase_add_test(tests, it_is_over_some_time_after_its_end_whoever_is_left);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
