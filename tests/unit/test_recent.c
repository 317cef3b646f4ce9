#include "gateway/recent.h"
#include "unit.h"

static void put(recent_t *recent, uint64_t epoch, uint64_t offset, enum recent_result expected)
{
    uint8_t body[1] = {(uint8_t)offset};
    ck_assert_int_eq(recent_put(recent, epoch, offset, span_of(body, 1)), expected);
}

static void expect(const recent_t *recent, uint32_t index, uint64_t epoch, uint64_t offset)
{
    const struct recent_entry *entry = recent_at(recent, index);
    ck_assert_uint_eq(entry->epoch, epoch);
    ck_assert_uint_eq(entry->offset, offset);
    ck_assert_uint_eq(entry->body->data[0], (uint8_t)offset);
}

START_TEST(keeps_the_order_in_which_they_came)
{
    recent_t *recent = recent_new(100);
    put(recent, 1, 5, RECENT_OK);
    put(recent, 1, 4, RECENT_OK);
    put(recent, 2, 1, RECENT_OK);
    ck_assert_uint_eq(recent_count(recent), 3);
    expect(recent, 0, 1, 5);
    expect(recent, 1, 1, 4);
    expect(recent, 2, 2, 1);
    recent_destroy(&recent);
    ck_assert_ptr_null(recent);
}
END_TEST

START_TEST(forgets_the_oldest_when_full)
{
    recent_t *recent = recent_new(20);
    for (uint64_t i = 1; i <= 20; i++)
        put(recent, 1, i, RECENT_OK);
    for (uint64_t i = 21; i <= 50; i++)
        put(recent, 1, i, RECENT_OVERFLOW);
    ck_assert_uint_eq(recent_count(recent), 20);
    for (uint32_t i = 0; i < 20; i++)
        expect(recent, i, 1, 31 + i);
    recent_destroy(&recent);
}
END_TEST

START_TEST(keeps_one_epoch_also_across_the_end_of_the_ring)
{
    recent_t *recent = recent_new(8);
    for (uint64_t i = 1; i <= 13; i++)
        put(recent, i % 2, i, i <= 8 ? RECENT_OK : RECENT_OVERFLOW);
    recent_keep_epoch(recent, 1);
    ck_assert_uint_eq(recent_count(recent), 4);
    for (uint32_t i = 0; i < 4; i++)
        expect(recent, i, 1, 7 + 2 * i);
    put(recent, 3, 14, RECENT_OK);
    expect(recent, 4, 3, 14);
    recent_destroy(&recent);
}
END_TEST

START_TEST(none_is_empty)
{
    ck_assert_uint_eq(recent_count(NULL), 0);
    recent_keep_epoch(NULL, 1);
    recent_t *none = NULL;
    recent_destroy(&none);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("recent");
    TCase *tests = tcase_create("recent");
    tcase_add_test(tests, keeps_the_order_in_which_they_came);
    tcase_add_test(tests, forgets_the_oldest_when_full);
    tcase_add_test(tests, keeps_one_epoch_also_across_the_end_of_the_ring);
    tcase_add_test(tests, none_is_empty);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
