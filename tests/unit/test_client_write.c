#include <stdio.h>
#include <string.h>

#include "bytes.h"
#include "proto/client_codec.h"
#include "proto/json_doc.h"
#include "proto/limits.h"
#include "unit.h"

static struct buffer why, out;

static void teardown(void)
{
    buffer_free(&why);
    buffer_free(&out);
}

static void expect_written(const char *expected)
{
    ck_assert(!out.failed);
    assert_text(buffer_span(&out), expected);
    json_doc_t *doc = json_doc_parse(buffer_span(&out), 20, &why);
    ck_assert_msg(doc != NULL, "%.*s", (int)why.size, (const char *)why.data);
    json_doc_destroy(&doc);
    buffer_reset(&out);
}

START_TEST(the_connect_reply)
{
    client_write_connected(&out, 37,
                           &(struct client_connected){.client = span_text("a\"b"),
                                                      .version = span_text("millrace 1"),
                                                      .ping_seconds = 25});
    expect_written("{\"id\":37,\"connect\":{\"client\":\"a\\\"b\",\"version\":\"millrace 1\","
                   "\"ping\":25,\"pong\":true}}");
    client_write_connected(&out, 1,
                           &(struct client_connected){.client = span_text("c"),
                                                      .version = span_text("m"),
                                                      .ping_seconds = 25,
                                                      .gateway = span_text("gateway-1")});
    expect_written("{\"id\":1,\"connect\":{\"client\":\"c\",\"version\":\"m\",\"ping\":25,"
                   "\"pong\":true,\"data\":{\"gateway\":\"gateway-1\"}}}");
    client_write_connected(&out, 1,
                           &(struct client_connected){.client = span_text("a"),
                                                      .version = span_text("m"),
                                                      .ping_seconds = 25,
                                                      .ttl_seconds = 60});
    expect_written("{\"id\":1,\"connect\":{\"client\":\"a\",\"version\":\"m\",\"expires\":true,"
                   "\"ttl\":60,\"ping\":25,\"pong\":true}}");
}
END_TEST

START_TEST(the_connect_reply_of_a_stream)
{
    struct client_connected result = {.client = span_text("c"),
                                      .version = span_text("m"),
                                      .ping_seconds = 25,
                                      .session = span_text("s-1"),
                                      .node = span_text("n-1")};
    client_write_connected(&out, 1, &result);
    expect_written("{\"id\":1,\"connect\":{\"client\":\"c\",\"version\":\"m\",\"ping\":25,"
                   "\"pong\":true,\"session\":\"s-1\",\"node\":\"n-1\"}}");
    result.gateway = span_text("g");
    result.ttl_seconds = 60;
    client_write_connected(&out, 1, &result);
    expect_written("{\"id\":1,\"connect\":{\"client\":\"c\",\"version\":\"m\",\"expires\":true,"
                   "\"ttl\":60,\"ping\":25,\"pong\":true,\"session\":\"s-1\",\"node\":\"n-1\","
                   "\"data\":{\"gateway\":\"g\"}}}");
    client_write_refreshed(&out, 3, &result); /* which does not say it again */
    expect_written("{\"id\":3,\"refresh\":{\"client\":\"c\",\"version\":\"m\",\"expires\":true,"
                   "\"ttl\":60}}");
}
END_TEST

START_TEST(the_refresh_reply)
{
    struct client_connected result = {.client = span_text("a"), .version = span_text("m")};
    client_write_refreshed(&out, 3, &result);
    expect_written("{\"id\":3,\"refresh\":{\"client\":\"a\",\"version\":\"m\"}}");
    result.ttl_seconds = 7;
    client_write_refreshed(&out, 4, &result);
    expect_written("{\"id\":4,\"refresh\":{\"client\":\"a\",\"version\":\"m\",\"expires\":true,"
                   "\"ttl\":7}}");
}
END_TEST

START_TEST(the_subscribe_reply)
{
    struct client_subscribed result = {0};
    client_write_subscribed(&out, 2, &result);
    expect_written("{\"id\":2,\"subscribe\":{}}");

    result.recoverable = result.positioned = true;
    result.epoch = 0xabcdef;
    client_write_subscribed(&out, 2, &result);
    expect_written("{\"id\":2,\"subscribe\":{\"recoverable\":true,\"positioned\":true,"
                   "\"epoch\":\"0000000000abcdef\",\"offset\":0}}");

    result.was_recovering = true;
    result.offset = 7;
    client_write_subscribed(&out, 2, &result);
    expect_written("{\"id\":2,\"subscribe\":{\"recoverable\":true,\"positioned\":true,"
                   "\"was_recovering\":true,\"epoch\":\"0000000000abcdef\",\"offset\":7}}");

    result.recovered = true;
    client_write_subscribed(&out, 2, &result);
    expect_written("{\"id\":2,\"subscribe\":{\"recoverable\":true,\"positioned\":true,"
                   "\"was_recovering\":true,\"recovered\":true,\"epoch\":\"0000000000abcdef\","
                   "\"offset\":7,\"publications\":[]}}");

    result.publications = span_text("{\"data\":{},\"offset\":8}");
    client_write_subscribed(&out, 2, &result);
    expect_written("{\"id\":2,\"subscribe\":{\"recoverable\":true,\"positioned\":true,"
                   "\"was_recovering\":true,\"recovered\":true,\"epoch\":\"0000000000abcdef\","
                   "\"offset\":7,\"publications\":[{\"data\":{},\"offset\":8}]}}");

    result = (struct client_subscribed){.positioned = true, .epoch = 1, .offset = 3};
    client_write_subscribed(&out, 2, &result);
    expect_written("{\"id\":2,\"subscribe\":{\"positioned\":true,"
                   "\"epoch\":\"0000000000000001\",\"offset\":3}}");
}
END_TEST

START_TEST(empty_results_are_objects)
{
    client_write_empty(&out, 3, CLIENT_UNSUBSCRIBE);
    expect_written("{\"id\":3,\"unsubscribe\":{}}");
    client_write_empty(&out, 4294967295, CLIENT_SUB_REFRESH);
    expect_written("{\"id\":4294967295,\"sub_refresh\":{}}");
}
END_TEST

START_TEST(the_history_reply_has_everything_always)
{
    client_write_history(&out, 3, span_of(NULL, 0), 0xff, 0);
    expect_written("{\"id\":3,\"history\":{\"publications\":[],"
                   "\"epoch\":\"00000000000000ff\",\"offset\":0}}");
    client_write_history(&out, 3, span_text("{\"data\":{},\"offset\":8}"), 0xff, 8);
    expect_written("{\"id\":3,\"history\":{\"publications\":[{\"data\":{},\"offset\":8}],"
                   "\"epoch\":\"00000000000000ff\",\"offset\":8}}");
}
END_TEST

START_TEST(the_presence_replies_have_everything_always)
{
    client_write_presence(&out, 3, span_of(NULL, 0));
    expect_written("{\"id\":3,\"presence\":{\"presence\":{}}}");
    struct buffer member = {0};
    client_write_presence_client(&member, span_text("c-1"), span_text("say \"u\""));
    client_write_presence(&out, 4, buffer_span(&member));
    buffer_free(&member);
    expect_written("{\"id\":4,\"presence\":{\"presence\":{\"c-1\":{\"client\":\"c-1\",\"user\":"
                   "\"say \\\"u\\\"\"}}}}");
    client_write_presence_stats(&out, 5, 0, 0);
    expect_written("{\"id\":5,\"presence_stats\":{\"num_clients\":0,\"num_users\":0}}");
}
END_TEST

START_TEST(errors)
{
    client_write_error(&out, 9, CLIENT_ERROR_INTERNAL, NULL);
    expect_written("{\"id\":9,\"error\":{\"code\":100,\"message\":\"internal error\","
                   "\"temporary\":true}}");
    client_write_error(&out, 9, CLIENT_ERROR_PERMISSION_DENIED, NULL);
    expect_written("{\"id\":9,\"error\":{\"code\":103,\"message\":\"permission denied\"}}");
    client_write_error(&out, 9, CLIENT_ERROR_BAD_INPUT, "channel: \"x\"\n");
    expect_written("{\"id\":9,\"error\":{\"code\":400,\"message\":\"channel: \\\"x\\\"\\n\"}}");
    client_write_error(&out, 9, CLIENT_ERROR_UNAVAILABLE, NULL);
    expect_written("{\"id\":9,\"error\":{\"code\":503,\"message\":\"permission handler "
                   "unavailable\"}}");
    client_write_temporary_error(&out, 9, CLIENT_ERROR_UNAVAILABLE, "later");
    expect_written("{\"id\":9,\"error\":{\"code\":503,\"message\":\"later\",\"temporary\":true}}");
}
END_TEST

START_TEST(the_unsubscribe_push)
{
    client_write_unsubscribe(&out, span_text("a\"b"), CLIENT_UNSUBSCRIBE_INSUFFICIENT_STATE);
    expect_written("{\"push\":{\"channel\":\"a\\\"b\",\"unsubscribe\":{\"code\":2500,"
                   "\"reason\":\"insufficient state\"}}}");
}
END_TEST

START_TEST(the_disconnect_push)
{
    client_write_disconnect(&out, CLIENT_CLOSE_SLOW, span_text("slow"));
    expect_written("{\"push\":{\"disconnect\":{\"code\":3008,\"reason\":\"slow\"}}}");
    client_write_disconnect(&out, 4294967295, span_text("by \"x\":\n\xc3\xa4"));
    expect_written("{\"push\":{\"disconnect\":{\"code\":4294967295,"
                   "\"reason\":\"by \\\"x\\\":\\n\xc3\xa4\"}}}");
    client_write_disconnect(&out, 3501, BYTES("\xff"));
    ck_assert(out.failed);
}
END_TEST

START_TEST(the_publication_push_has_the_announced_size)
{
    static const uint64_t offsets[] = {0,         1, 9, 10, 99, 100, 9999999999, UINT64_C(1) << 53,
                                       UINT64_MAX};
    client_write_push_head(&out, span_text("chat:\n"));
    assert_text(buffer_span(&out), "{\"push\":{\"channel\":\"chat:\\n\",\"pub\":{");
    struct span body = span_text("\"data\":{\"a\":1}");
    for (size_t i = 0; i < sizeof offsets / sizeof offsets[0]; i++) {
        char expected[200];
        snprintf(
            expected, sizeof expected,
            "{\"push\":{\"channel\":\"chat:\\n\",\"pub\":{\"data\":{\"a\":1},\"offset\":%ju}}}",
            (uintmax_t)offsets[i]);
        size_t size = client_push_size(buffer_span(&out), body, offsets[i]);
        uint8_t *push = malloc(size);
        ck_assert_ptr_nonnull(push);
        uint8_t *end = client_write_push(push, buffer_span(&out), body, offsets[i]);
        ck_assert_ptr_eq(end, push + size);
        assert_text(span_of(push, size), expected);
        free(push);
    }
}
END_TEST

START_TEST(what_is_missed_has_the_announced_size)
{
    static const struct {
        uint32_t missed;
        const char *text;
    } cases[] = {{0, ""},
                 {1, "\"tags\":{\"missed\":\"1\"},"},
                 {9, "\"tags\":{\"missed\":\"9\"},"},
                 {10, "\"tags\":{\"missed\":\"10\"},"},
                 {UINT32_MAX, "\"tags\":{\"missed\":\"4294967295\"},"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t text[64];
        uint8_t *end = client_write_missed(text, cases[i].missed);
        assert_text(span_of(text, (size_t)(end - text)), cases[i].text);
        ck_assert_uint_eq(client_missed_size(cases[i].missed), (size_t)(end - text));
    }
}
END_TEST

START_TEST(a_publication_in_a_list)
{
    client_write_publication(&out, span_text("\"data\":{}"), 12);
    expect_written("{\"data\":{},\"offset\":12}");
}
END_TEST

START_TEST(broken_text_never_reaches_a_client)
{
    client_write_push_head(&out, BYTES("\xff"));
    ck_assert(out.failed);
}
END_TEST

/* --- codes --- */

static const struct {
    enum client_close code;
    const char *text;
} closes[] = {
#define CLIENT_CLOSE(NAME, code, text) {CLIENT_CLOSE_##NAME, text},
#include "proto/client_codes.def"
#undef CLIENT_CLOSE
};

START_TEST(close_reasons_are_safe_for_the_sdk)
{
    const char *text = client_close_text(closes[_i].code);
    ck_assert_str_eq(text, closes[_i].text);
    ck_assert_uint_gt(strlen(text), 0);
    ck_assert_uint_le(strlen(text), LIMIT_CLOSE_REASON_BYTES);
    ck_assert_ptr_null(json_doc_parse(span_text(text), 10, &why));
}
END_TEST

START_TEST(unknown_codes_have_texts_too)
{
    ck_assert_uint_gt(strlen(client_close_text((enum client_close)4999)), 0);
    ck_assert_uint_gt(strlen(client_error_text((enum client_error)1999)), 0);
    ck_assert(!client_error_temporary((enum client_error)1999));
    ck_assert(client_error_temporary(CLIENT_ERROR_TOO_MANY_REQUESTS));
    ck_assert_str_eq(client_method_word(CLIENT_PONG), "");
    ck_assert_str_eq(client_method_word(CLIENT_PRESENCE_STATS), "presence_stats");
}
END_TEST

static TCase *replies(void)
{
    TCase *tests = tcase_create("replies");
    tcase_add_checked_fixture(tests, NULL, teardown);
    tcase_add_test(tests, the_connect_reply);
    tcase_add_test(tests, the_connect_reply_of_a_stream);
    tcase_add_test(tests, the_refresh_reply);
    tcase_add_test(tests, the_subscribe_reply);
    tcase_add_test(tests, empty_results_are_objects);
    tcase_add_test(tests, the_history_reply_has_everything_always);
    tcase_add_test(tests, the_presence_replies_have_everything_always);
    tcase_add_test(tests, errors);
    tcase_add_test(tests, the_unsubscribe_push);
    tcase_add_test(tests, the_disconnect_push);
    tcase_add_test(tests, the_publication_push_has_the_announced_size);
    tcase_add_test(tests, a_publication_in_a_list);
    tcase_add_test(tests, what_is_missed_has_the_announced_size);
    tcase_add_test(tests, broken_text_never_reaches_a_client);
    tcase_add_loop_test(tests, close_reasons_are_safe_for_the_sdk, 0,
                        sizeof closes / sizeof closes[0]);
    tcase_add_test(tests, unknown_codes_have_texts_too);
    return tests;
}

int main(void)
{
    Suite *suite = suite_create("client_write");
    suite_add_tcase(suite, replies());
    return unit_run(suite);
}
