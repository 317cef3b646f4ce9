#include <string.h>

#include "bench/herd_line.h"
#include "unit.h"

static struct herd_line line;

static enum herd_line_kind read(const char *text)
{
    herd_line_free(&line);
    herd_line_read(&line, text, strlen(text));
    return line.kind;
}

static void teardown(void)
{
    herd_line_free(&line);
}

#define ck_text(text, expected)                                                                    \
    do {                                                                                           \
        struct herd_text given = text;                                                             \
        ck_assert_uint_eq(given.size, strlen(expected));                                           \
        if (given.size > 0)                                                                        \
            ck_assert_mem_eq(given.bytes, expected, given.size);                                   \
    } while (0)

static void expect_publication(const char *channel, uint64_t offset, uint64_t number,
                               const char *about)
{
    ck_assert_int_eq(line.kind, HERD_LINE_PUBLICATION);
    ck_text(line.channel, channel);
    ck_assert_uint_eq(line.publication.offset, offset);
    ck_assert_uint_eq(line.publication.number, number);
    ck_text(line.publication.about, about);
}

START_TEST(publication_as_the_gateway_writes_it)
{
    read("{\"push\":{\"channel\":\"a:1\",\"pub\":{\"data\":{\"n\":7,\"a\":\"a:1\",\"x\":[1]},"
         "\"offset\":12}}}");
    expect_publication("a:1", 12, 7, "a:1");
    ck_assert_ptr_null(line.document);
}
END_TEST

START_TEST(publication_that_says_nothing_about_itself)
{
    read("{\"push\":{\"channel\":\"a\",\"pub\":{\"data\":{\"text\":\"\\\"n\\\":3\"},"
         "\"info\":{\"client\":\"\",\"user\":\"u\"},\"offset\":1}}}");
    expect_publication("a", 1, 0, "");
}
END_TEST

START_TEST(publication_in_any_other_form)
{
    read("{ \"push\" : {\"pub\":{\"offset\":12,\"data\":{\"a\":\"b\",\"n\":7}},"
         "\"channel\":\"a\\u003a1\"}}");
    expect_publication("a:1", 12, 7, "b");
}
END_TEST

START_TEST(an_offset_inside_the_payload_is_not_the_position)
{
    read("{\"push\":{\"channel\":\"a\",\"pub\":{\"data\":{\"n\":1,\"offset\":5}}}}");
    expect_publication("a", 0, 1, "");
}
END_TEST

START_TEST(replies_and_other_pushes)
{
    ck_assert_int_eq(read("{}"), HERD_LINE_PING);
    ck_assert_int_eq(read("{\"id\":3,\"connect\":{\"client\":\"x\",\"ping\":25,\"pong\":true}}"),
                     HERD_LINE_CONNECTED);
    ck_assert_uint_eq(line.id, 3);
    ck_assert_uint_eq(line.ping_seconds, 25);
    ck_assert_int_eq(
        read("{\"push\":{\"channel\":\"a\",\"unsubscribe\":{\"code\":2500,\"reason\":\"x\"}}}"),
        HERD_LINE_UNSUBSCRIBED);
    ck_assert_uint_eq(line.code, 2500);
    ck_text(line.channel, "a");
    ck_assert_int_eq(
        read("{\"id\":4,\"error\":{\"code\":100,\"message\":\"x\",\"temporary\":true}}"),
        HERD_LINE_ERROR);
    ck_assert_uint_eq(line.code, 100);
    ck_assert(line.is_temporary);
    ck_assert_int_eq(read("{\"push\":{\"channel\":\"a\",\"join\":{}}}"), HERD_LINE_OTHER);
}
END_TEST

START_TEST(subscribe_reply_with_publications)
{
    struct herd_publication publication;
    ck_assert_int_eq(read("{\"id\":2,\"subscribe\":{\"recoverable\":true,\"was_recovering\":true,"
                          "\"recovered\":true,\"epoch\":\"e1\",\"offset\":5,\"publications\":["
                          "{\"data\":{\"n\":6},\"offset\":6},{\"data\":{\"n\":7},\"offset\":7}]}}"),
                     HERD_LINE_SUBSCRIBED);
    ck_assert(line.was_recovering && line.recovered);
    ck_text(line.epoch, "e1");
    ck_assert_uint_eq(line.offset, 5);
    for (uint64_t n = 6; n <= 7; n++) {
        ck_assert(herd_line_publication(&line, &publication));
        ck_assert_uint_eq(publication.offset, n);
        ck_assert_uint_eq(publication.number, n);
    }
    ck_assert(!herd_line_publication(&line, &publication));
}
END_TEST

START_TEST(what_no_client_could_use)
{
    static const char *const bad[] = {
        "",
        "{",
        "[]",
        "{\"connect\":{\"client\":\"x\"}}",
        "{\"id\":1,\"connect\":{}}",
        "{\"push\":{\"channel\":\"a\",\"pub\":{\"offset\":1}}}",
        "{\"push\":{\"channel\":\"a\",\"pub\":{\"data\":{},\"offset\":1}}",
        "{}{}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_msg(read(bad[i]) == HERD_LINE_MALFORMED, "%s", bad[i]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("herd_line");
    TCase *tests = tcase_create("herd_line");
    tcase_add_checked_fixture(tests, NULL, teardown);
    tcase_add_test(tests, publication_as_the_gateway_writes_it);
    tcase_add_test(tests, publication_that_says_nothing_about_itself);
    tcase_add_test(tests, publication_in_any_other_form);
    tcase_add_test(tests, an_offset_inside_the_payload_is_not_the_position);
    tcase_add_test(tests, replies_and_other_pushes);
    tcase_add_test(tests, subscribe_reply_with_publications);
    tcase_add_test(tests, what_no_client_could_use);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
