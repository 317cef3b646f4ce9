#include "gateway/fallback_request.h"

#include <stdio.h>

#include "bytes.h"
#include "proto/limits.h"
#include "unit.h"

#define STREAM    "/connection/http_stream"
#define EVENTS    "/connection/sse"
#define COMMANDS  "/emulation"
#define HERE      "https://chat.example.com"
#define LISTED    "https://app.example.org"
#define ELSEWHERE "https://evil.example.com"

static struct fallback_request request;
static struct buffer out;
static size_t body;

/* What the SDK sends from a page of the gateway's own host. */
static void setup(void)
{
    request = (struct fallback_request){
        .method = HTTP_POST,
        .path = span_text(STREAM),
        .origin = span_text(HERE),
        .host = span_text("chat.example.com"),
        .length = span_text("42"),
    };
    out = (struct buffer){0};
    body = 4711;
}

static void teardown(void)
{
    buffer_free(&out);
}

static enum fallback_verdict judge(void)
{
    return fallback_judge(&request, span_text(LISTED " https://other.example"), &body);
}

static void expect(enum fallback_verdict verdict, size_t size)
{
    ck_assert_int_eq(judge(), verdict);
    ck_assert_uint_eq(body, size);
}

/* --- what is asked for --- */

START_TEST(three_paths_are_the_fallbacks)
{
    static const char *const others[] = {"",
                                         "/",
                                         "/connection/websocket",
                                         "/connection/http_stream/",
                                         "/connection/http_strea",
                                         "/Connection/sse",
                                         "//connection/sse",
                                         "connection/sse",
                                         "/emulation?",
                                         "/emulation\n",
                                         "/connection/emulation"};
    ck_assert(fallback_is_path(span_text(STREAM)));
    ck_assert(fallback_is_path(span_text(EVENTS)));
    ck_assert(fallback_is_path(span_text(COMMANDS)));
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        ck_assert_msg(!fallback_is_path(span_text(others[i])), "%s", others[i]);
    ck_assert(!fallback_is_path(BYTES("/emulation\0")));
}
END_TEST

static const struct {
    const char *path;
    enum http_method method;
    enum fallback_verdict verdict;
} methods[] = {
    {STREAM, HTTP_POST, FALLBACK_STREAM},
    {STREAM, HTTP_GET, FALLBACK_REFUSED_METHOD},
    {STREAM, HTTP_HEAD, FALLBACK_REFUSED_METHOD},
    {STREAM, HTTP_OPTIONS, FALLBACK_PREFLIGHT},
    {STREAM, HTTP_OTHER, FALLBACK_REFUSED_METHOD},
    {EVENTS, HTTP_POST, FALLBACK_EVENTS},
    {EVENTS, HTTP_GET, FALLBACK_EVENTS},
    {EVENTS, HTTP_HEAD, FALLBACK_REFUSED_METHOD},
    {EVENTS, HTTP_OPTIONS, FALLBACK_PREFLIGHT},
    {EVENTS, HTTP_OTHER, FALLBACK_REFUSED_METHOD},
    {COMMANDS, HTTP_POST, FALLBACK_COMMANDS},
    {COMMANDS, HTTP_GET, FALLBACK_REFUSED_METHOD},
    {COMMANDS, HTTP_HEAD, FALLBACK_REFUSED_METHOD},
    {COMMANDS, HTTP_OPTIONS, FALLBACK_PREFLIGHT},
    {COMMANDS, HTTP_OTHER, FALLBACK_REFUSED_METHOD},
};

START_TEST(each_path_has_its_methods)
{
    request.path = span_text(methods[_i].path);
    request.method = methods[_i].method;
    request.cf_connect = span_text("{\"id\":1,\"connect\":{}}");
    expect(methods[_i].verdict, methods[_i].method == HTTP_POST ? 42 : 0);
}
END_TEST

/* Without the things that the others need. */
START_TEST(a_preflight_has_neither_length_nor_command)
{
    request.method = HTTP_OPTIONS;
    request.length = span_of(NULL, 0);
    expect(FALLBACK_PREFLIGHT, 0);
}
END_TEST

START_TEST(a_stream_of_events_begins_with_the_query_when_it_is_got)
{
    request.path = span_text(EVENTS);
    request.method = HTTP_GET;
    request.length = span_of(NULL, 0);
    expect(FALLBACK_REFUSED_CONNECT, 0);
    request.cf_connect = span_text("x");
    expect(FALLBACK_EVENTS, 0);
    request.length = span_text("x"); /* nobody reads it */
    expect(FALLBACK_EVENTS, 0);
}
END_TEST

static const struct {
    const char *mode;
    enum fallback_verdict verdict;
} modes[] = {
    {"", FALLBACK_EVENTS}, /* no browser, or an old one */
    {"cors", FALLBACK_EVENTS},
    {"no-cors", FALLBACK_REFUSED_ORIGIN}, /* an image, a script */
    {"navigate", FALLBACK_REFUSED_ORIGIN},
    {"same-origin", FALLBACK_REFUSED_ORIGIN},
    {"websocket", FALLBACK_REFUSED_ORIGIN},
    {"cor", FALLBACK_REFUSED_ORIGIN},
    {"corsair", FALLBACK_REFUSED_ORIGIN},
    {"CORS", FALLBACK_REFUSED_ORIGIN},
    {" cors", FALLBACK_REFUSED_ORIGIN},
    {"cors ", FALLBACK_REFUSED_ORIGIN},
    {"cors, cors", FALLBACK_REFUSED_ORIGIN},
    {"cors,no-cors", FALLBACK_REFUSED_ORIGIN},
};

/* A foreign page that has no Origin to tell: with its visitor's address it would fill places. */
START_TEST(events_are_got_by_an_event_source_alone)
{
    static const char *const origins[] = {"", HERE, LISTED};
    struct span mode = exact_copy(span_text(modes[_i].mode));
    request.path = span_text(EVENTS);
    request.method = HTTP_GET;
    request.length = span_of(NULL, 0);
    request.fetch_mode = mode;
    for (size_t i = 0; i < sizeof origins / sizeof *origins; i++) {
        request.origin = span_text(origins[i]);
        request.cf_connect = span_text("{\"id\":1,\"connect\":{}}");
        expect(modes[_i].verdict, 0);
        request.cf_connect = span_of(NULL, 0);
        expect(modes[_i].verdict == FALLBACK_EVENTS ? FALLBACK_REFUSED_CONNECT : modes[_i].verdict,
               0);
    }
    request.origin = span_text(ELSEWHERE);
    expect(FALLBACK_REFUSED_ORIGIN, 0);
    request.host = span_of(NULL, 0);
    expect(FALLBACK_REFUSED_HOST, 0);
    free_copy(mode);
}
END_TEST

START_TEST(the_mode_of_a_fetch_matters_to_nothing_else)
{
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        if (methods[i].method == HTTP_GET && methods[i].verdict == FALLBACK_EVENTS)
            continue;
        request.path = span_text(methods[i].path);
        request.method = methods[i].method;
        request.fetch_mode = span_text(modes[_i].mode);
        expect(methods[i].verdict, methods[i].method == HTTP_POST ? 42 : 0);
    }
}
END_TEST

START_TEST(the_query_is_no_body)
{
    request.cf_connect = span_text("{\"id\":1,\"connect\":{}}");
    request.length = span_text("0");
    expect(FALLBACK_REFUSED_CONNECT, 0);
    request.path = span_text(EVENTS);
    expect(FALLBACK_REFUSED_CONNECT, 0);
    request.length = span_text("7");
    expect(FALLBACK_EVENTS, 7);
}
END_TEST

/* --- who asks --- */

static const enum http_method all_methods[] = {HTTP_POST, HTTP_GET, HTTP_HEAD, HTTP_OPTIONS,
                                               HTTP_OTHER};

START_TEST(a_request_names_its_host)
{
    request.method = all_methods[_i];
    request.host = span_of(NULL, 0);
    expect(FALLBACK_REFUSED_HOST, 0);
    request.origin = span_of(NULL, 0);
    expect(FALLBACK_REFUSED_HOST, 0);
}
END_TEST

/* Also of its preflight: the page learns nothing. */
START_TEST(a_foreign_origin_is_refused_whatever_it_asks_for)
{
    static const char *const origins[] = {ELSEWHERE, "null", "http://chat.example.com:8000",
                                          HERE ":444", HERE ", " HERE};
    request.method = all_methods[_i];
    for (size_t i = 0; i < sizeof origins / sizeof *origins; i++) {
        request.origin = span_text(origins[i]);
        ck_assert_msg(judge() == FALLBACK_REFUSED_ORIGIN, "%s", origins[i]);
        ck_assert_uint_eq(body, 0);
    }
}
END_TEST

START_TEST(origins_of_the_host_or_listed_or_none_are_allowed)
{
    static const char *const origins[] = {"", HERE, HERE ":443", LISTED, "https://other.example"};
    for (size_t i = 0; i < sizeof origins / sizeof *origins; i++) {
        request.origin = span_text(origins[i]);
        expect(FALLBACK_STREAM, 42);
    }
    request.origin = span_text("null");
    ck_assert_int_eq(fallback_judge(&request, span_text("*"), &body), FALLBACK_STREAM);
}
END_TEST

/* --- how long the body is --- */

#define SIZE_LIMIT_TEXT(size) #size
#define LIMIT_TEXT(limit)     SIZE_LIMIT_TEXT(limit)

static const struct {
    const char *path, *length;
    enum fallback_verdict verdict;
    size_t body; /* when it is not refused */
} lengths[] = {
    {STREAM, "1", FALLBACK_STREAM, 1},
    {EVENTS, "1", FALLBACK_EVENTS, 1},
    {COMMANDS, "1", FALLBACK_COMMANDS, 1},
    {STREAM, "", FALLBACK_REFUSED_LENGTH, 0},
    {EVENTS, "", FALLBACK_REFUSED_LENGTH, 0},
    {COMMANDS, "", FALLBACK_REFUSED_LENGTH, 0},
    {STREAM, "0", FALLBACK_REFUSED_CONNECT, 0},
    {EVENTS, "0", FALLBACK_REFUSED_CONNECT, 0},
    {COMMANDS, "0", FALLBACK_REFUSED_BODY, 0},
    {COMMANDS, "000", FALLBACK_REFUSED_BODY, 0},
    {COMMANDS, "0000000000000000000000000000000000007", FALLBACK_COMMANDS, 7},
    {STREAM, LIMIT_TEXT(LIMIT_CLIENT_FRAME_BYTES), FALLBACK_STREAM, LIMIT_CLIENT_FRAME_BYTES},
    {EVENTS, LIMIT_TEXT(LIMIT_CLIENT_FRAME_BYTES), FALLBACK_EVENTS, LIMIT_CLIENT_FRAME_BYTES},
    {COMMANDS, LIMIT_TEXT(LIMIT_EMULATION_BYTES), FALLBACK_COMMANDS, LIMIT_EMULATION_BYTES},
    {STREAM, "262145", FALLBACK_REFUSED_SIZE, 0},
    {EVENTS, "262145", FALLBACK_REFUSED_SIZE, 0},
    {COMMANDS, "524289", FALLBACK_REFUSED_SIZE, 0},
    {STREAM, LIMIT_TEXT(LIMIT_EMULATION_BYTES), FALLBACK_REFUSED_SIZE, 0},
    {STREAM, "2621440", FALLBACK_REFUSED_SIZE, 0},
    {COMMANDS, "5242880", FALLBACK_REFUSED_SIZE, 0},
    {COMMANDS, "4294967297", FALLBACK_REFUSED_SIZE, 0},           /* 1 in 32 bits */
    {COMMANDS, "18446744073709551617", FALLBACK_REFUSED_SIZE, 0}, /* 1 in 64 bits */
    {COMMANDS, "184467440737095516161844674407370955161718446744073709551617",
     FALLBACK_REFUSED_SIZE, 0},
    {COMMANDS, "-1", FALLBACK_REFUSED_LENGTH, 0},
    {COMMANDS, "-0", FALLBACK_REFUSED_LENGTH, 0},
    {COMMANDS, "+1", FALLBACK_REFUSED_LENGTH, 0},
    {COMMANDS, " 1", FALLBACK_REFUSED_LENGTH, 0},
    {COMMANDS, "1 ", FALLBACK_REFUSED_LENGTH, 0},
    {COMMANDS, "1 2", FALLBACK_REFUSED_LENGTH, 0},
    {COMMANDS, "1,1", FALLBACK_REFUSED_LENGTH, 0}, /* as if it came twice */
    {COMMANDS, "1, 2", FALLBACK_REFUSED_LENGTH, 0},
    {COMMANDS, "0x10", FALLBACK_REFUSED_LENGTH, 0},
    {COMMANDS, "1e3", FALLBACK_REFUSED_LENGTH, 0},
    {COMMANDS, "1.0", FALLBACK_REFUSED_LENGTH, 0},
    {COMMANDS, "ten", FALLBACK_REFUSED_LENGTH, 0},
    {COMMANDS, "99999999x", FALLBACK_REFUSED_LENGTH, 0},
};

START_TEST(the_length_is_decimal_digits_within_the_limit)
{
    request.path = span_text(lengths[_i].path);
    struct span copy = exact_copy(span_text(lengths[_i].length));
    request.length = copy;
    ck_assert_msg(judge() == lengths[_i].verdict, "%s", lengths[_i].length);
    if (lengths[_i].body > 0)
        ck_assert_uint_eq(body, lengths[_i].body);
    free_copy(copy);
}
END_TEST

START_TEST(a_length_with_a_zero_byte_is_none)
{
    request.length = BYTES("1\0");
    ck_assert_int_eq(judge(), FALLBACK_REFUSED_LENGTH);
}
END_TEST

START_TEST(the_limits_in_the_text_for_people_are_the_limits)
{
    char text[100];
    snprintf(text, sizeof text, "a stream has at most %d bytes, that of /emulation %d\n",
             LIMIT_CLIENT_FRAME_BYTES, LIMIT_EMULATION_BYTES);
    fallback_write_answer(&out, FALLBACK_REFUSED_SIZE, span_of(NULL, 0), span_of(NULL, 0));
    buffer_put_byte(&out, '\0');
    ck_assert_ptr_nonnull(strstr((const char *)out.data, text));
}
END_TEST

START_TEST(an_encoded_body_is_refused)
{
    static const char *const paths[] = {STREAM, EVENTS, COMMANDS};
    request.has_encoding = true;
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        request.path = span_text(paths[i]);
        request.length = span_text("42"); /* both: the way of smuggled requests */
        ck_assert_int_eq(judge(), FALLBACK_REFUSED_LENGTH);
        request.length = span_of(NULL, 0);
        ck_assert_int_eq(judge(), FALLBACK_REFUSED_LENGTH);
    }
}
END_TEST

/* --- answers --- */

/* Of what was written: the text between the empty line and the end. */
static const char *split_body(void)
{
    buffer_put_byte(&out, '\0');
    char *end = strstr((char *)out.data, "\r\n\r\n");
    ck_assert_ptr_nonnull(end);
    end[2] = '\0'; /* the head keeps the end of its last line */
    return end + 4;
}

static const char *answer(enum fallback_verdict verdict, const char *origin, const char *why)
{
    buffer_reset(&out);
    fallback_write_answer(&out, verdict, span_text(origin), span_text(why));
    ck_assert(!out.failed);
    return split_body();
}

static bool head_has(const char *line)
{
    char whole[200];
    snprintf(whole, sizeof whole, "\r\n%s\r\n", line);
    return strstr((const char *)out.data, whole) != NULL;
}

static bool head_names(const char *header)
{
    char start[100];
    snprintf(start, sizeof start, "\r\n%s:", header);
    return strstr((const char *)out.data, start) != NULL;
}

static void expect_status(const char *status)
{
    char line[100];
    int size = snprintf(line, sizeof line, "HTTP/1.1 %s\r\n", status);
    ck_assert_msg(strncmp((const char *)out.data, line, (size_t)size) == 0, "%s: %s", status,
                  (const char *)out.data);
}

static const struct {
    enum fallback_verdict verdict;
    const char *status, *words;
} answers[] = {
    {FALLBACK_COMMANDS, "204 No Content", NULL},
    {FALLBACK_PREFLIGHT, "204 No Content", NULL},
    {FALLBACK_REFUSED_METHOD, "405 Method Not Allowed", "are for POST"},
    {FALLBACK_REFUSED_HOST, "400 Bad Request", "Host"},
    {FALLBACK_REFUSED_ORIGIN, "403 Forbidden", "allowed_origins"},
    {FALLBACK_REFUSED_LENGTH, "411 Length Required", "Content-Length"},
    {FALLBACK_REFUSED_SIZE, "413 Payload Too Large", "at most"},
    {FALLBACK_REFUSED_CONNECT, "400 Bad Request", "cf_connect"},
    {FALLBACK_REFUSED_BODY, "400 Bad Request", "{\"session\":S,\"node\":N,\"data\":D}"},
    {FALLBACK_REFUSED_SESSION, "404 Not Found",
     "the gateway of this session is gone: connect again"},
    {FALLBACK_REFUSED_SLOW, "408 Request Timeout", "in time"},
    {FALLBACK_REFUSED_BYTES, "503 Service Unavailable", "fallback_bytes"},
    {FALLBACK_REFUSED_GATEWAY, "503 Service Unavailable", "gateway"},
    {FALLBACK_REFUSED_FULL, "503 Service Unavailable", "too many connections"},
    {FALLBACK_REFUSED_MEMORY, "503 Service Unavailable", "no memory for more connections"},
    {FALLBACK_REFUSED_DRAINING, "503 Service Unavailable", "shutting down"},
    {FALLBACK_REFUSED_BROKER, "503 Service Unavailable", "this gateway has lost its broker"},
};
#define ANSWERS (sizeof answers / sizeof *answers)

START_TEST(every_verdict_has_its_answer)
{
    /* STREAM and EVENTS alone have none. */
    ck_assert_uint_eq(ANSWERS, FALLBACK_VERDICTS - 2);
    const char *text = answer(answers[_i].verdict, HERE, "");
    expect_status(answers[_i].status);
    ck_assert(head_has("Connection: close"));
    ck_assert(head_has("Cache-Control: no-store"));
    if (answers[_i].words)
        ck_assert_ptr_nonnull(strstr(text, answers[_i].words));
    else
        ck_assert_str_eq(text, "");
}
END_TEST

START_TEST(the_announced_length_is_the_bodys)
{
    static const char *const whys[] = {"", "x", "node must be a string that is not empty"};
    char line[100];
    for (size_t i = 0; i < sizeof whys / sizeof *whys; i++) {
        const char *text = answer(answers[_i].verdict, HERE, whys[i]);
        snprintf(line, sizeof line, "Content-Length: %zu", strlen(text));
        if (answers[_i].words)
            ck_assert_msg(head_has(line), "%s", line);
        else /* a 204 has none: RFC 9110, section 8.6 */
            ck_assert(!head_names("Content-Length") && strlen(text) == 0);
        ck_assert(!head_names("Transfer-Encoding"));
    }
}
END_TEST

START_TEST(more_is_said_behind_the_text)
{
    ck_assert_str_eq(
        answer(FALLBACK_REFUSED_BODY, "", "node is a number"),
        "a body of /emulation is {\"session\":S,\"node\":N,\"data\":D}: node is a number\n");
    ck_assert_str_eq(answer(FALLBACK_REFUSED_BODY, "", ""),
                     "a body of /emulation is {\"session\":S,\"node\":N,\"data\":D}\n");
    ck_assert(head_has("Content-Type: text/plain; charset=utf-8"));
    ck_assert(head_has("X-Content-Type-Options: nosniff"));
}
END_TEST

START_TEST(a_page_may_read_what_its_origin_got)
{
    answer(answers[_i].verdict, HERE, "");
    bool may_read = answers[_i].verdict != FALLBACK_REFUSED_ORIGIN;
    ck_assert(head_has("Access-Control-Allow-Origin: " HERE) == may_read);
    ck_assert(head_has("Vary: Origin") == may_read);
    ck_assert(head_names("Access-Control-Allow-Origin") == may_read);
    ck_assert(!head_names("Access-Control-Allow-Credentials"));
}
END_TEST

START_TEST(without_an_origin_there_is_nothing_to_allow)
{
    answer(answers[_i].verdict, "", "");
    ck_assert(!head_names("Access-Control-Allow-Origin"));
}
END_TEST

START_TEST(a_preflight_says_what_may_be_sent)
{
    answer(FALLBACK_PREFLIGHT, HERE, "");
    ck_assert(head_has("Access-Control-Allow-Methods: GET, POST, OPTIONS"));
    ck_assert(head_has("Access-Control-Allow-Headers: Content-Type"));
    ck_assert(head_has("Access-Control-Max-Age: 600"));
    answer(FALLBACK_COMMANDS, HERE, "");
    ck_assert(!head_names("Access-Control-Allow-Methods"));
}
END_TEST

START_TEST(a_wrong_method_is_told_the_right_ones)
{
    answer(FALLBACK_REFUSED_METHOD, "", "");
    ck_assert(head_has("Allow: POST, OPTIONS"));
    answer(FALLBACK_REFUSED_HOST, "", "");
    ck_assert(!head_names("Allow"));
}
END_TEST

START_TEST(an_answer_is_appended)
{
    buffer_put_text(&out, "room");
    fallback_write_answer(&out, FALLBACK_COMMANDS, span_of(NULL, 0), span_of(NULL, 0));
    ck_assert_mem_eq(out.data, "roomHTTP/1.1 204 ", 17);
}
END_TEST

/* --- heads of streams --- */

static const char *head(enum fallback_verdict kind, const char *origin)
{
    buffer_reset(&out);
    fallback_write_head(&out, kind, span_text(origin));
    ck_assert(!out.failed);
    return split_body();
}

START_TEST(a_stream_ends_with_its_connection)
{
    enum fallback_verdict kind = _i ? FALLBACK_EVENTS : FALLBACK_STREAM;
    head(kind, HERE);
    expect_status("200 OK");
    ck_assert(head_has("Connection: close"));
    ck_assert(!head_names("Content-Length") && !head_names("Transfer-Encoding"));
    ck_assert(head_has("X-Accel-Buffering: no"));
    ck_assert(head_has("X-Content-Type-Options: nosniff"));
    ck_assert(head_names("Cache-Control"));
    ck_assert(head_has("Access-Control-Allow-Origin: " HERE));
    ck_assert(head_has("Vary: Origin"));
    head(kind, "");
    ck_assert(!head_names("Access-Control-Allow-Origin") && !head_names("Vary"));
}
END_TEST

START_TEST(lines_follow_the_head_at_once_and_events_an_empty_line)
{
    ck_assert_str_eq(head(FALLBACK_STREAM, HERE), "");
    ck_assert(head_has("Content-Type: application/json"));
    ck_assert_str_eq(head(FALLBACK_EVENTS, HERE), "\r\n");
    ck_assert(head_has("Content-Type: text/event-stream"));
}
END_TEST

static TCase *requests(void)
{
    TCase *tests = tcase_create("requests");
    const int all = sizeof all_methods / sizeof *all_methods;
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, three_paths_are_the_fallbacks);
    tcase_add_loop_test(tests, each_path_has_its_methods, 0, sizeof methods / sizeof *methods);
    tcase_add_test(tests, a_preflight_has_neither_length_nor_command);
    tcase_add_test(tests, a_stream_of_events_begins_with_the_query_when_it_is_got);
    tcase_add_loop_test(tests, events_are_got_by_an_event_source_alone, 0,
                        sizeof modes / sizeof *modes);
    tcase_add_loop_test(tests, the_mode_of_a_fetch_matters_to_nothing_else, 0,
                        sizeof modes / sizeof *modes);
    tcase_add_test(tests, the_query_is_no_body);
    tcase_add_loop_test(tests, a_request_names_its_host, 0, all);
    tcase_add_loop_test(tests, a_foreign_origin_is_refused_whatever_it_asks_for, 0, all);
    tcase_add_test(tests, origins_of_the_host_or_listed_or_none_are_allowed);
    tcase_add_loop_test(tests, the_length_is_decimal_digits_within_the_limit, 0,
                        sizeof lengths / sizeof *lengths);
    tcase_add_test(tests, a_length_with_a_zero_byte_is_none);
    tcase_add_test(tests, the_limits_in_the_text_for_people_are_the_limits);
    tcase_add_test(tests, an_encoded_body_is_refused);
    return tests;
}

static TCase *written(void)
{
    TCase *tests = tcase_create("answers");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_loop_test(tests, every_verdict_has_its_answer, 0, ANSWERS);
    tcase_add_loop_test(tests, the_announced_length_is_the_bodys, 0, ANSWERS);
    tcase_add_test(tests, more_is_said_behind_the_text);
    tcase_add_loop_test(tests, a_page_may_read_what_its_origin_got, 0, ANSWERS);
    tcase_add_loop_test(tests, without_an_origin_there_is_nothing_to_allow, 0, ANSWERS);
    tcase_add_test(tests, a_preflight_says_what_may_be_sent);
    tcase_add_test(tests, a_wrong_method_is_told_the_right_ones);
    tcase_add_test(tests, an_answer_is_appended);
    tcase_add_loop_test(tests, a_stream_ends_with_its_connection, 0, 2);
    tcase_add_test(tests, lines_follow_the_head_at_once_and_events_an_empty_line);
    return tests;
}

int main(void)
{
    Suite *suite = suite_create("fallback_request");
    suite_add_tcase(suite, requests());
    suite_add_tcase(suite, written());
    return unit_run(suite);
}
