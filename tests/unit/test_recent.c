#include "gateway/recent.h"
#include "unit.h"

static struct recent_total total = {.max_bytes = 1 << 20};

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
    recent_t *recent = recent_new(100, &total);
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
    recent_t *recent = recent_new(20, &total);
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
    recent_t *recent = recent_new(8, &total);
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

START_TEST(all_together_are_bounded)
{
    struct recent_total few = {.max_bytes = 3 * (RECENT_ENTRY_BYTES + 1)};
    recent_t *one = recent_new(2, &few), *two = recent_new(8, &few);
    put(one, 1, 1, RECENT_OK);
    put(one, 1, 2, RECENT_OK);
    put(two, 1, 1, RECENT_OK);
    ck_assert_uint_eq(few.bytes, few.max_bytes);
    put(two, 1, 2, RECENT_NO_ROOM);
    put(one, 1, 3, RECENT_NO_ROOM); /* the oldest stays */
    expect(one, 0, 1, 1);
    recent_keep_epoch(one, 2);
    put(two, 2, 2, RECENT_OK);
    recent_destroy(&one);
    ck_assert_uint_eq(few.bytes, 2 * (RECENT_ENTRY_BYTES + 1));
    recent_destroy(&two);
    ck_assert_uint_eq(few.bytes, 0);
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
    tcase_add_test(tests, all_together_are_bounded);
    tcase_add_test(tests, none_is_empty);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
