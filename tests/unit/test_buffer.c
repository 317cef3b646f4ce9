#include "proto/buffer.h"

#include "bytes.h"
#include "unit.h"

START_TEST(a_zeroed_buffer_is_empty_and_can_be_freed)
{
    struct buffer buffer = {0};
    ck_assert_uint_eq(buffer_span(&buffer).size, 0);
    buffer_put(&buffer, NULL, 0);
    ck_assert_ptr_null(buffer.data);
    buffer_free(&buffer);
}
END_TEST

START_TEST(what_is_put_is_appended)
{
    struct buffer buffer = {0};
    buffer_put_text(&buffer, "ab");
    buffer_put_byte(&buffer, 'c');
    buffer_put_span(&buffer, BYTES("d\0e"));
    buffer_printf(&buffer, "-%s-%d", "f", 7);
    assert_bytes(buffer_span(&buffer), BYTES("abcd\0e-f-7"));
    buffer_free(&buffer);
}
END_TEST

START_TEST(numbers_are_big_endian)
{
    struct buffer buffer = {0};
    buffer_put_u16(&buffer, 0x0102);
    buffer_put_u32(&buffer, 0x03040506);
    buffer_put_u64(&buffer, 0x0708090a0b0c0d0e);
    assert_bytes(buffer_span(&buffer), BYTES("\1\2\3\4\5\6\7\x8\x9\xa\xb\xc\xd\xe"));
    buffer_free(&buffer);
}
END_TEST

START_TEST(numbers_as_text)
{
    struct buffer buffer = {0};
    buffer_put_u64_text(&buffer, 0);
    buffer_put_byte(&buffer, ' ');
    buffer_put_u64_text(&buffer, 9007199254740993);
    buffer_put_byte(&buffer, ' ');
    buffer_put_u64_text(&buffer, UINT64_MAX);
    assert_text(buffer_span(&buffer), "0 9007199254740993 18446744073709551615");
    buffer_free(&buffer);
}
END_TEST

START_TEST(it_grows_byte_by_byte_without_losing_any)
{
    struct buffer buffer = {0};
    for (unsigned i = 0; i < 100000; i++)
        buffer_put_byte(&buffer, (uint8_t)(i * 7));
    ck_assert_uint_eq(buffer.size, 100000);
    for (unsigned i = 0; i < 100000; i++)
        ck_assert_uint_eq(buffer.data[i], (uint8_t)(i * 7));
    buffer_free(&buffer);
}
END_TEST

START_TEST(reserved_bytes_count_only_after_advance)
{
    struct buffer buffer = {0};
    uint8_t *to = buffer_reserve(&buffer, 1000);
    ck_assert_ptr_nonnull(to);
    memset(to, 'x', 1000);
    ck_assert_uint_eq(buffer.size, 0);
    buffer_advance(&buffer, 3);
    assert_text(buffer_span(&buffer), "xxx");
    buffer_free(&buffer);
}
END_TEST

START_TEST(a_failed_buffer_keeps_what_it_had_until_it_is_reset)
{
    struct buffer buffer = {0};
    buffer_put_text(&buffer, "kept");
    ck_assert_ptr_null(buffer_reserve(&buffer, SIZE_MAX / 2));
    ck_assert(buffer.failed);
    buffer_put_text(&buffer, "ignored");
    buffer_printf(&buffer, "%d", 1);
    assert_text(buffer_span(&buffer), "kept");
    buffer_reset(&buffer);
    buffer_put_text(&buffer, "again");
    ck_assert(!buffer.failed);
    assert_text(buffer_span(&buffer), "again");
    buffer_free(&buffer);
}
END_TEST

START_TEST(reset_keeps_the_memory)
{
    struct buffer buffer = {0};
    buffer_put_text(&buffer, "one");
    const uint8_t *data = buffer.data;
    buffer_reset(&buffer);
    buffer_put_text(&buffer, "two");
    ck_assert_ptr_eq(buffer.data, data);
    assert_text(buffer_span(&buffer), "two");
    buffer_free(&buffer);
    ck_assert_ptr_null(buffer.data);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("buffer");
    TCase *tests = tcase_create("all");
    tcase_add_test(tests, a_zeroed_buffer_is_empty_and_can_be_freed);
    tcase_add_test(tests, what_is_put_is_appended);
    tcase_add_test(tests, numbers_are_big_endian);
    tcase_add_test(tests, numbers_as_text);
    tcase_add_test(tests, it_grows_byte_by_byte_without_losing_any);
    tcase_add_test(tests, reserved_bytes_count_only_after_advance);
    tcase_add_test(tests, a_failed_buffer_keeps_what_it_had_until_it_is_reset);
    tcase_add_test(tests, reset_keeps_the_memory);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
