#include "common/log.h"
#include "proto/json_doc.h"
#include "unit.h"

#include <stdio.h>

static struct buffer line;

/* One line of these fields, zero-terminated, at 2026-01-31T12:00:00.007Z. */
static const char *formatted(const struct log_field *fields, size_t count)
{
    struct log_line in = {LOG_LEVEL_INFO, "broker", "started", fields, count};
    buffer_reset(&line);
    log_format(&line, INT64_C(1769860800007), &in);
    ck_assert_uint_le(line.size, LOG_LINE_BYTES);
    ck_assert_uint_eq(line.data[line.size - 1], '\n');
    ck_assert_ptr_eq(memchr(line.data, '\n', line.size), line.data + line.size - 1);
    buffer_put_byte(&line, '\0');
    return (const char *)line.data;
}

#define HEAD                                                                                       \
    "{\"time\":\"2026-01-31T12:00:00.007Z\",\"level\":\"info\",\"process\":\"broker\","            \
    "\"event\":\"started\""

START_TEST(writes_every_type)
{
    ck_assert_str_eq(
        formatted(LOG_FIELDS(LOG_UINT("port", 7400), LOG_INT("change", -3), LOG_BOOL("ready", true),
                             LOG_BOOL("late", false), LOG_TEXT("site", "acme"))),
        HEAD ",\"port\":7400,\"change\":-3,\"ready\":true,\"late\":false,"
             "\"site\":\"acme\"}\n");
    ck_assert_str_eq(formatted(NULL, 0), HEAD "}\n");
}
END_TEST

START_TEST(escapes_what_could_break_the_line_or_a_terminal)
{
    ck_assert_str_eq(formatted(LOG_FIELDS(LOG_TEXT("channel", "x\n{\"level\":\"admin\"}\t\\"))),
                     HEAD ",\"channel\":\"x\\u000a{\\\"level\\\":\\\"admin\\\"}\\u0009\\\\\"}\n");
    ck_assert_str_eq(formatted(LOG_FIELDS(LOG_TEXT("channel", "\x1b[31m\x7f"))),
                     HEAD ",\"channel\":\"\\u001b[31m\\u007f\"}\n");
    ck_assert_str_eq(
        formatted(LOG_FIELDS(LOG_TEXT("channel", "\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaa"))),
        HEAD ",\"channel\":\"\\u2028\\u2029\xe2\x80\xaa\"}\n");
    ck_assert_str_eq(formatted(LOG_FIELDS(LOG_SPAN("channel", span_of("a\0b", 3)))),
                     HEAD ",\"channel\":\"a\\u0000b\"}\n");
}
END_TEST

START_TEST(replaces_invalid_utf8)
{
    ck_assert_str_eq(formatted(LOG_FIELDS(LOG_TEXT("a", "\xff"
                                                        "b\xc3"))),
                     HEAD ",\"a\":\"\xef\xbf\xbd"
                          "b\xef\xbf\xbd\"}\n");
    ck_assert_str_eq(formatted(LOG_FIELDS(LOG_TEXT("a", "\xc3\xa9\xf0\x9f\x98\x80"))),
                     HEAD ",\"a\":\"\xc3\xa9\xf0\x9f\x98\x80\"}\n");
}
END_TEST

START_TEST(cuts_long_values_between_characters)
{
    char text[301];
    memset(text, 'a', 300);
    text[300] = '\0';
    const char *got = formatted(LOG_FIELDS(LOG_TEXT("a", text)));
    ck_assert_uint_eq(strlen(got), strlen(HEAD ",\"a\":\"\"}\n") + LOG_VALUE_BYTES);

    memcpy(text + LOG_VALUE_BYTES - 1, "\xc3\xa9", 2);
    got = formatted(LOG_FIELDS(LOG_TEXT("a", text)));
    ck_assert_uint_eq(strlen(got), strlen(HEAD ",\"a\":\"\"}\n") + LOG_VALUE_BYTES - 1);
}
END_TEST

START_TEST(a_line_stays_below_its_limit)
{
    char text[LOG_VALUE_BYTES];
    memset(text, 1, sizeof text); /* six bytes each when escaped */
    struct span value = span_of(text, sizeof text);
    const char *got = formatted(LOG_FIELDS(LOG_SPAN("a", value), LOG_SPAN("b", value),
                                           LOG_SPAN("c", value), LOG_UINT("d", 4)));
    ck_assert_ptr_nonnull(strstr(got, "\"b\":"));
    ck_assert_ptr_null(strstr(got, "\"c\":"));
    ck_assert_str_eq(got + strlen(got) - 19, ",\"truncated\":true}\n");
}
END_TEST

/* Whatever the bytes are, the line is one JSON object. */
START_TEST(any_bytes_stay_one_json_object)
{
    uint8_t bytes[40];
    uint32_t random = (uint32_t)_i;
    for (size_t i = 0; i < sizeof bytes; i++) {
        random = random * 1664525 + 1013904223;
        bytes[i] = (uint8_t)(random >> 24);
    }
    formatted(LOG_FIELDS(LOG_SPAN("bytes", span_of(bytes, sizeof bytes))));
    struct buffer why = {0};
    json_doc_t *doc = json_doc_parse(span_of(line.data, line.size - 1), 2, &why);
    ck_assert_msg(doc, "%.*s", SPAN_ARG(buffer_span(&why)));
    json_doc_destroy(&doc);
    buffer_free(&why);
}
END_TEST

START_TEST(a_flood_of_one_event_is_counted_not_written)
{
    struct log_limiter limiter = {0};
    unsigned lines = 0;
    for (int i = 0; i < LOG_EVENTS_PER_SECOND; i++)
        ck_assert(log_limiter_admit(&limiter, "refused", 5000 + i));
    for (int i = 0; i < 7; i++)
        ck_assert(!log_limiter_admit(&limiter, "refused", 5900));
    ck_assert(log_limiter_admit(&limiter, "other", 5900));
    ck_assert_ptr_null(log_limiter_report(&limiter, 5999, &lines));
    ck_assert_str_eq(log_limiter_report(&limiter, 6000, &lines), "refused");
    ck_assert_uint_eq(lines, 7);
    ck_assert_ptr_null(log_limiter_report(&limiter, 6000, &lines));
    ck_assert(log_limiter_admit(&limiter, "refused", 6000));
}
END_TEST

START_TEST(suppressed_lines_are_not_forgotten_when_the_event_comes_again)
{
    struct log_limiter limiter = {0};
    unsigned lines = 0;
    for (int i = 0; i < LOG_EVENTS_PER_SECOND + 3; i++)
        log_limiter_admit(&limiter, "refused", 5000);
    ck_assert(log_limiter_admit(&limiter, "refused", 6000));
    ck_assert_ptr_null(log_limiter_report(&limiter, 6000, &lines));
    ck_assert_str_eq(log_limiter_report(&limiter, 7000, &lines), "refused");
    ck_assert_uint_eq(lines, 3);
}
END_TEST

START_TEST(more_events_than_the_table_holds)
{
    struct log_limiter limiter = {0};
    char names[LOG_LIMITER_EVENTS + 1][8];
    unsigned lines;
    for (int i = 0; i <= LOG_LIMITER_EVENTS; i++) {
        snprintf(names[i], sizeof names[i], "e%d", i);
        for (int n = 0; n <= LOG_EVENTS_PER_SECOND; n++)
            log_limiter_admit(&limiter, names[i], 5000);
    }
    ck_assert(log_limiter_admit(&limiter, names[LOG_LIMITER_EVENTS], 5000));
    ck_assert(log_limiter_admit(&limiter, "new", 6000)); /* may not take a count not yet reported */
    int reports = 0;
    while (log_limiter_report(&limiter, 6000, &lines))
        reports++;
    ck_assert_int_eq(reports, LOG_LIMITER_EVENTS);
    for (int n = 0; n < LOG_EVENTS_PER_SECOND; n++)
        ck_assert(log_limiter_admit(&limiter, names[LOG_LIMITER_EVENTS], 7000));
    ck_assert(!log_limiter_admit(&limiter, names[LOG_LIMITER_EVENTS], 7000));
}
END_TEST

static void teardown(void)
{
    buffer_free(&line);
}

int main(void)
{
    Suite *suite = suite_create("log");
    TCase *tests = tcase_create("log");
    tcase_add_checked_fixture(tests, NULL, teardown);
    tcase_add_test(tests, writes_every_type);
    tcase_add_test(tests, escapes_what_could_break_the_line_or_a_terminal);
    tcase_add_test(tests, replaces_invalid_utf8);
    tcase_add_test(tests, cuts_long_values_between_characters);
    tcase_add_test(tests, a_line_stays_below_its_limit);
    tcase_add_loop_test(tests, any_bytes_stay_one_json_object, 0, 200);
    tcase_add_test(tests, a_flood_of_one_event_is_counted_not_written);
    tcase_add_test(tests, suppressed_lines_are_not_forgotten_when_the_event_comes_again);
    tcase_add_test(tests, more_events_than_the_table_holds);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
