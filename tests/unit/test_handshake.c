#include "gateway/handshake.h"
#include "unit.h"

static struct handshake request;

/* A request as a browser on the gateway's own page makes it. */
static void setup(void)
{
    request = (struct handshake){
        .path = span_text("/connection/websocket"),
        .upgrade = span_text("websocket"),
        .connection = span_text("Upgrade"),
        .version = span_text("13"),
        .key = span_text("dGhlIHNhbXBsZSBub25jZQ=="),
        .origin = span_text("https://chat.example.com"),
        .host = span_text("chat.example.com"),
    };
}

static enum handshake_verdict judge(void)
{
    return handshake_judge(&request, span_text(""));
}

START_TEST(a_proper_request_is_accepted)
{
    ck_assert_int_eq(judge(), HANDSHAKE_ACCEPTED);
    request.upgrade = span_text("WebSocket");
    request.connection = span_text("keep-alive, Upgrade");
    ck_assert_int_eq(judge(), HANDSHAKE_ACCEPTED);
}
END_TEST

START_TEST(another_path_is_refused_whatever_it_asks_for)
{
    const char *const paths[] = {"",
                                 "/",
                                 "/connection/websocket/",
                                 "/connection/websocke",
                                 "/Connection/websocket",
                                 "//connection/websocket"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        request.path = span_text(paths[i]);
        ck_assert_int_eq(judge(), HANDSHAKE_REFUSED_PATH);
    }
}
END_TEST

START_TEST(only_an_upgrade_to_websocket_is_accepted)
{
    const char *const upgrades[] = {"", "h2c", "websocket, h2c", "websocketx", "foo"};
    for (size_t i = 0; i < sizeof upgrades / sizeof *upgrades; i++) {
        request.upgrade = span_text(upgrades[i]);
        ck_assert_int_eq(judge(), HANDSHAKE_REFUSED_UPGRADE);
    }
}
END_TEST

START_TEST(what_the_handshake_needs_must_be_there)
{
    struct span *const needed[] = {&request.connection, &request.version, &request.key,
                                   &request.host};
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
        setup();
        *needed[i] = span_of(NULL, 0);
        ck_assert_int_eq(judge(), HANDSHAKE_REFUSED_REQUEST);
    }
    setup();
    request.version = span_text("8");
    ck_assert_int_eq(judge(), HANDSHAKE_REFUSED_REQUEST);
    setup();
    request.connection = span_text("keep-alive, upgraded");
    ck_assert_int_eq(judge(), HANDSHAKE_REFUSED_REQUEST);
}
END_TEST

START_TEST(json_is_the_only_protocol)
{
    request.protocols = span_text("centrifuge-json");
    ck_assert_int_eq(judge(), HANDSHAKE_ACCEPTED);
    request.protocols = span_text("centrifuge-protobuf,\tcentrifuge-json ");
    ck_assert_int_eq(judge(), HANDSHAKE_ACCEPTED);
    request.protocols = span_text("centrifuge-protobuf");
    ck_assert_int_eq(judge(), HANDSHAKE_REFUSED_PROTOCOL);
    request.protocols = span_text("centrifuge-jso");
    ck_assert_int_eq(judge(), HANDSHAKE_REFUSED_PROTOCOL);
}
END_TEST

START_TEST(protobuf_by_the_query_is_refused)
{
    const char *const refused[] = {"cf_protocol=protobuf", "format=protobuf",
                                   "a=b&cf_protocol=protobuf&c", "&&format=protobuf"};
    const char *const accepted[] = {"",
                                    "&",
                                    "format=json",
                                    "cf_protocol=json",
                                    "xformat=protobuf",
                                    "a=format=protobuf",
                                    "format=protobufx"};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        request.query = span_text(refused[i]);
        ck_assert_int_eq(judge(), HANDSHAKE_REFUSED_PROTOCOL);
    }
    for (size_t i = 0; i < sizeof accepted / sizeof *accepted; i++) {
        request.query = span_text(accepted[i]);
        ck_assert_int_eq(judge(), HANDSHAKE_ACCEPTED);
    }
}
END_TEST

START_TEST(a_foreign_origin_is_refused)
{
    request.origin = span_text("https://evil.example.com");
    ck_assert_int_eq(judge(), HANDSHAKE_REFUSED_ORIGIN);
    ck_assert_int_eq(handshake_judge(&request, span_text("https://evil.example.com")),
                     HANDSHAKE_ACCEPTED);
}
END_TEST

static bool allowed(const char *origin, const char *host, const char *list)
{
    return handshake_origin_allowed(span_text(origin), span_text(host), span_text(list));
}

START_TEST(an_origin_of_the_same_host_is_allowed)
{
    ck_assert(allowed("", "a.example", ""));
    ck_assert(allowed("http://a.example", "a.example", ""));
    ck_assert(allowed("http://A.Example", "a.eXample", ""));
    ck_assert(allowed("HTTP://a.example", "a.example:80", ""));
    ck_assert(allowed("http://a.example:80", "a.example", ""));
    ck_assert(allowed("https://a.example", "a.example:443", ""));
    ck_assert(allowed("http://a.example:8000", "a.example:8000", ""));
    ck_assert(allowed("http://[::1]:8000", "[::1]:8000", ""));
    ck_assert(allowed("http://[::1]", "[::1]:80", ""));
}
END_TEST

START_TEST(an_origin_of_another_host_is_not)
{
    const char *const origins[] = {
        "null",
        "http://a.example.evil.io",
        "http://evil.io/a.example",
        "http://evil.io#a.example",
        "http://a.example@evil.io",
        "http://a.example.",
        "http://xa.example",
        "http://a.example:8000",
        "http://a.example:",
        "http://a.example:080x",
        "http://a.example:65616", /* 80 in 16 bits */
        "http://a.example:18446744073709551696",
        "https://a.example", /* port 443, and the host says 80 */
        "http://",
        "://a.example",
        "a.example",
        "a.example:80",
        "app://a.example",
        "http://a.example, http://b.example",
    };
    for (size_t i = 0; i < sizeof origins / sizeof *origins; i++)
        ck_assert_msg(!allowed(origins[i], "a.example:80", ""), "%s", origins[i]);
    ck_assert(!allowed("http://a.example", "", ""));
    ck_assert(!allowed("http://a.example", "b.example", ""));
}
END_TEST

START_TEST(listed_origins_are_allowed)
{
    const char *list = "https://a.example  http://b.example:8080 app://phone";
    ck_assert(allowed("https://a.example", "gate", list));
    ck_assert(allowed("https://A.example:443", "gate", list));
    ck_assert(allowed("http://b.example:8080", "gate", list));
    ck_assert(allowed("app://phone", "gate", list));
    ck_assert(!allowed("http://a.example", "gate", list));
    ck_assert(!allowed("https://a.example:444", "gate", list));
    ck_assert(!allowed("http://b.example", "gate", list));
    ck_assert(!allowed("null", "gate", list));
    ck_assert(!allowed("https://a.example ", "gate", list));
}
END_TEST

START_TEST(a_star_allows_any)
{
    ck_assert(allowed("https://any.example", "gate", "*"));
    ck_assert(allowed("null", "gate", "https://a.example *"));
    ck_assert(!allowed("https://any.example", "gate", "**"));
    ck_assert(!allowed("https://any.example", "gate", "https://*"));
}
END_TEST

START_TEST(every_refusal_has_a_status_and_a_text)
{
    ck_assert_ptr_null(handshake_status(HANDSHAKE_ACCEPTED));
    for (int i = HANDSHAKE_ACCEPTED + 1; i < HANDSHAKE_VERDICTS; i++) {
        ck_assert_ptr_nonnull(handshake_status((enum handshake_verdict)i));
        ck_assert_ptr_nonnull(handshake_text((enum handshake_verdict)i));
    }
    ck_assert_str_eq(handshake_status(HANDSHAKE_REFUSED_ORIGIN), "403 Forbidden");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("handshake");
    TCase *tests = tcase_create("handshake");
    tcase_add_checked_fixture(tests, setup, NULL);
    tcase_add_test(tests, a_proper_request_is_accepted);
    tcase_add_test(tests, another_path_is_refused_whatever_it_asks_for);
    tcase_add_test(tests, only_an_upgrade_to_websocket_is_accepted);
    tcase_add_test(tests, what_the_handshake_needs_must_be_there);
    tcase_add_test(tests, json_is_the_only_protocol);
    tcase_add_test(tests, protobuf_by_the_query_is_refused);
    tcase_add_test(tests, a_foreign_origin_is_refused);
    tcase_add_test(tests, an_origin_of_the_same_host_is_allowed);
    tcase_add_test(tests, an_origin_of_another_host_is_not);
    tcase_add_test(tests, listed_origins_are_allowed);
    tcase_add_test(tests, a_star_allows_any);
    tcase_add_test(tests, every_refusal_has_a_status_and_a_text);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
