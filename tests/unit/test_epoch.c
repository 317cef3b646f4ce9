#include "proto/epoch.h"

#include "bytes.h"
#include "unit.h"

START_TEST(an_epoch_reads_back)
{
    const uint64_t epochs[] = {0, 1, 0x0123456789abcdef, UINT64_MAX};
    for (size_t i = 0; i < sizeof epochs / sizeof epochs[0]; i++) {
        char text[EPOCH_TEXT_BYTES];
        uint64_t epoch = 42;
        epoch_write(text, epochs[i]);
        ck_assert(epoch_parse(span_of(text, sizeof text), &epoch));
        ck_assert_uint_eq(epoch, epochs[i]);
    }
}
END_TEST

START_TEST(the_text_is_padded_and_lower_case)
{
    char text[EPOCH_TEXT_BYTES];
    epoch_write(text, 0xABC);
    assert_text(span_of(text, sizeof text), "0000000000000abc");
}
END_TEST

START_TEST(nothing_else_is_an_epoch)
{
    static const char *const texts[] = {
        "",
        "_",
        "0123456789abcde",
        "0123456789abcdef0",
        "0123456789ABCDEF",
        "0123456789abcdeg",
        " 123456789abcdef",
        "+123456789abcdef",
        "0x23456789abcdef",
        "0123456789abcde:",
        "0123456789abcde`",
        "0123456789abcde/",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        uint64_t epoch = 42;
        ck_assert_msg(!epoch_parse(span_text(texts[i]), &epoch), "%s", texts[i]);
        ck_assert_uint_eq(epoch, 42);
    }
    uint64_t epoch;
    ck_assert(!epoch_parse(BYTES("0123456789abcde\0"), &epoch));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("epoch");
    TCase *tests = tcase_create("all");
    tcase_add_test(tests, an_epoch_reads_back);
    tcase_add_test(tests, the_text_is_padded_and_lower_case);
    tcase_add_test(tests, nothing_else_is_an_epoch);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
