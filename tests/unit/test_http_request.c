#include "gateway/http_request.h"
#include "unit.h"

static struct http_request request;
static struct span name;

/* What the demo page itself sends. */
static void setup(void)
{
    request = (struct http_request){.method = HTTP_GET,
                                    .path = span_text("/"),
                                    .origin = span_text("http://localhost:8000"),
                                    .host = span_text("localhost:8000")};
}

static enum http_verdict get(const char *path)
{
    request.path = span_text(path);
    return http_request_judge(&request, &name);
}

static enum http_verdict post(const char *path)
{
    request.method = HTTP_POST;
    return get(path);
}

START_TEST(files_by_their_names)
{
    static const char *const files[][3] = {
        {"/", "index.html", "text/html; charset=utf-8"},
        {"/index.html", "index.html", "text/html; charset=utf-8"},
        {"/style.css", "style.css", "text/css; charset=utf-8"},
        {"/millrace-client.js", "millrace-client.js", "text/javascript; charset=utf-8"},
        {"/config.json", "config.json", "application/json"},
        {"/a.b_c.svg", "a.b_c.svg", "image/svg+xml"},
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        ck_assert_int_eq(get(files[i][0]), HTTP_FILE);
        ck_assert(span_is(name, files[i][1]));
        ck_assert_str_eq(http_request_type(name), files[i][2]);
    }
    request.method = HTTP_HEAD;
    ck_assert_int_eq(get("/style.css"), HTTP_FILE);
}
END_TEST

START_TEST(nothing_else_is_a_file)
{
    char longest[1 + HTTP_REQUEST_NAME_MAX + 2];
    memset(longest, 'x', sizeof longest);
    longest[0] = '/';
    memcpy(longest + sizeof longest - 4, ".js", sizeof ".js");
    ck_assert_int_eq(get(longest + 0), HTTP_REFUSED_PATH);
    const char *const paths[] = {"",
                                 "index.html",
                                 "//index.html",
                                 "/../index.html",
                                 "/..",
                                 "/.hidden.js",
                                 "/.js",
                                 "/a/b.js",
                                 "/a\\b.js",
                                 "/%2e%2e/a.js",
                                 "/a b.js",
                                 "/a.js/",
                                 "/a.js.map",
                                 "/a.JS",
                                 "/key",
                                 "/demo",
                                 "/demo/kill",
                                 "/index.htm\n.html"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        ck_assert_int_eq(get(paths[i]), HTTP_REFUSED_PATH);
    request.path = span_of("/a\0.js", 6);
    ck_assert_int_eq(http_request_judge(&request, &name), HTTP_REFUSED_PATH);
}
END_TEST

START_TEST(files_are_for_get_and_head)
{
    ck_assert_int_eq(post("/index.html"), HTTP_REFUSED_METHOD);
    request.method = HTTP_OTHER;
    ck_assert_int_eq(get("/"), HTTP_REFUSED_METHOD);
}
END_TEST

START_TEST(a_kill_names_a_gateway)
{
    ck_assert_int_eq(post("/demo/kill/gateway-1"), HTTP_KILL);
    ck_assert(span_is(name, "gateway-1"));
    const char *const bad[] = {"/demo/kill/", "/demo/kill/a b", "/demo/kill/a/b",
                               "/demo/kill/a\nkill b", "/demo/kill/\xc3\xa4"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_int_eq(post(bad[i]), HTTP_REFUSED_GATEWAY);
}
END_TEST

START_TEST(a_kill_is_a_post)
{
    ck_assert_int_eq(get("/demo/kill/gateway-1"), HTTP_REFUSED_METHOD);
    request.method = HTTP_HEAD;
    ck_assert_int_eq(get("/demo/kill/gateway-1"), HTTP_REFUSED_METHOD);
    request.method = HTTP_OTHER;
    ck_assert_int_eq(get("/demo/kill/gateway-1"), HTTP_REFUSED_METHOD);
}
END_TEST

START_TEST(a_revoke_is_one_fixed_word)
{
    ck_assert_int_eq(post("/demo/revoke"), HTTP_REVOKE);
    ck_assert_uint_eq(name.size, 0);
    const char *const bad[] = {"/demo/revoke/",      "/demo/revoke/a", "/demo/revoke\nkill b",
                               "/demo/revoked",      "/demo/revok",    "/demo//revoke",
                               "/demo/revoke/../js", "/DEMO/REVOKE",   "demo/revoke"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_int_eq(post(bad[i]), HTTP_REFUSED_PATH);
    static const enum http_method others[] = {HTTP_GET, HTTP_HEAD, HTTP_OTHER};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        request.method = others[i];
        ck_assert_int_eq(get("/demo/revoke"), HTTP_REFUSED_METHOD);
    }
}
END_TEST

START_TEST(only_the_page_itself_may_control)
{
    const char *const foreign[] = {"https://evil.example",  "http://localhost",      "null",
                                   "http://localhost:8001", "http://127.0.0.1:8000", "x"};
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
        request.origin = span_text(foreign[i]);
        ck_assert_int_eq(post("/demo/kill/gateway-1"), HTTP_REFUSED_ORIGIN);
        ck_assert_int_eq(post("/demo/revoke"), HTTP_REFUSED_ORIGIN);
    }
    request.origin = span_of(NULL, 0); /* curl */
    ck_assert_int_eq(post("/demo/kill/gateway-1"), HTTP_KILL);
    ck_assert_int_eq(post("/demo/revoke"), HTTP_REVOKE);
}
END_TEST

START_TEST(the_host_is_this_machine)
{
    const char *const own[] = {"localhost",    "LocalHost:8000", "127.0.0.1", "127.0.0.1:8000",
                               "127.1.2.3:80", "[::1]",          "[::1]:8000"};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
        request.host = span_text(own[i]);
        ck_assert_int_eq(get("/"), HTTP_FILE);
    }
    const char *const other[] = {"",
                                 ":8000",
                                 "localhost:x",
                                 "evil.example",
                                 "localhost.evil.example",
                                 "127.0.0.1.evil.example",
                                 "192.0.2.1",
                                 "[::2]:8000",
                                 "[",
                                 "[]",
                                 "]",
                                 "::1"};
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
        request.host = span_text(other[i]);
        ck_assert_int_eq(get("/"), HTTP_REFUSED_HOST);
        ck_assert_int_eq(post("/demo/kill/gateway-1"), HTTP_REFUSED_HOST);
        ck_assert_int_eq(post("/demo/revoke"), HTTP_REFUSED_HOST);
        request.method = HTTP_GET;
    }
}
END_TEST

START_TEST(every_refusal_has_a_status_and_a_text)
{
    ck_assert_ptr_null(http_request_status(HTTP_FILE));
    for (int i = HTTP_REVOKE + 1; i < HTTP_VERDICTS; i++) {
        ck_assert_ptr_nonnull(http_request_status((enum http_verdict)i));
        ck_assert_ptr_nonnull(http_request_text((enum http_verdict)i));
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("http_request");
    TCase *tests = tcase_create("http_request");
    tcase_add_checked_fixture(tests, setup, NULL);
    tcase_add_test(tests, files_by_their_names);
    tcase_add_test(tests, nothing_else_is_a_file);
    tcase_add_test(tests, files_are_for_get_and_head);
    tcase_add_test(tests, a_kill_names_a_gateway);
    tcase_add_test(tests, a_kill_is_a_post);
    tcase_add_test(tests, a_revoke_is_one_fixed_word);
    tcase_add_test(tests, only_the_page_itself_may_control);
    tcase_add_test(tests, the_host_is_this_machine);
    tcase_add_test(tests, every_refusal_has_a_status_and_a_text);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
