#include "common/endpoint.h"
#include "unit.h"

static struct endpoint parsed(const char *text)
{
    struct endpoint endpoint;
    ck_assert_msg(endpoint_parse(span_text(text), &endpoint), "%s", text);
    return endpoint;
}

START_TEST(parses_tcp_and_ipc)
{
    struct endpoint at = parsed("tcp://127.0.0.1:7400");
    ck_assert_int_eq(at.transport, ENDPOINT_TCP);
    ck_assert(span_is(at.host, "127.0.0.1"));
    ck_assert_uint_eq(at.port, 7400);
    at = parsed("tcp://[::1]:1");
    ck_assert(span_is(at.host, "::1"));
    at = parsed("tcp://broker.example.com:65535");
    ck_assert_uint_eq(at.port, 65535);
    at = parsed("ipc:///run/millrace/acme.sock");
    ck_assert_int_eq(at.transport, ENDPOINT_IPC);
    ck_assert(span_is(at.host, "/run/millrace/acme.sock"));
}
END_TEST

START_TEST(refuses_everything_else)
{
    static const char *const texts[] = {
        "",
        "x",
        "tcp://",
        "tcp://:7400",
        "tcp://127.0.0.1",
        "tcp://127.0.0.1:",
        "tcp://127.0.0.1:0",
        "tcp://127.0.0.1:*",
        "tcp://127.0.0.1:65536",
        "tcp://127.0.0.1:99999999999",
        "tcp://127.0.0.1:07400",
        "tcp://127.0.0.1:7400 ",
        "tcp://127.0.0.1:-1",
        "tcp://::1:7400",
        "tcp://[::1:7400",
        "tcp://[127.0.0.1]:7400",
        "tcp://[]:7400",
        "tcp://a b:7400",
        "tcp://a/b:7400",
        "tcp://eth0;1.2.3.4:7400",
        "udp://127.0.0.1:7400",
        "inproc://x",
        "pgm://eth0;1:2",
        "TCP://127.0.0.1:7400",
        "ipc://",
        "ipc:///a b",
        "ipc:///a\n",
        "ipc:///\xff",
        /* 108 bytes: sun_path has no room for the zero behind it */
        "ipc:///"
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
        "aaaaaaaaaaaaaaaaaaaaaa",
    };
    struct endpoint at;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        ck_assert_msg(!endpoint_parse(span_text(texts[i]), &at), "%s", texts[i]);
}
END_TEST

START_TEST(knows_what_only_this_machine_reaches)
{
    static const char *const local[] = {"ipc:///x", "tcp://127.0.0.1:1", "tcp://127.255.0.9:1",
                                        "tcp://[::1]:1"};
    static const char *const remote[] = {
        "tcp://0.0.0.0:1",  "tcp://*:1",         "tcp://[::]:1",  "tcp://128.0.0.1:1",
        "tcp://10.0.0.1:1", "tcp://localhost:1", "tcp://127.1:1", "tcp://[::ffff:10.0.0.1]:1"};
    for (size_t i = 0; i < sizeof local / sizeof *local; i++) {
        struct endpoint at = parsed(local[i]);
        ck_assert_msg(endpoint_is_local(&at), "%s", local[i]);
    }
    for (size_t i = 0; i < sizeof remote / sizeof *remote; i++) {
        struct endpoint at = parsed(remote[i]);
        ck_assert_msg(!endpoint_is_local(&at), "%s", remote[i]);
    }
}
END_TEST

static bool overlap(const char *a, const char *b)
{
    struct endpoint x = parsed(a), y = parsed(b);
    ck_assert_int_eq(endpoint_overlaps(&x, &y), endpoint_overlaps(&y, &x));
    return endpoint_overlaps(&x, &y);
}

START_TEST(sees_listeners_in_one_place)
{
    ck_assert(overlap("tcp://127.0.0.1:1", "tcp://127.0.0.1:1"));
    ck_assert(overlap("tcp://[::1]:1", "tcp://[0:0::1]:1"));
    ck_assert(overlap("tcp://0.0.0.0:1", "tcp://127.0.0.1:1"));
    ck_assert(overlap("tcp://[::]:1", "tcp://127.0.0.1:1"));
    ck_assert(overlap("tcp://*:1", "tcp://127.0.0.1:1"));
    ck_assert(overlap("ipc:///x", "ipc:///x"));
    ck_assert(!overlap("tcp://127.0.0.1:1", "tcp://127.0.0.1:2"));
    ck_assert(!overlap("tcp://127.0.0.1:1", "tcp://127.0.0.2:1"));
    ck_assert(!overlap("tcp://127.0.0.1:1", "tcp://[::1]:1"));
    ck_assert(!overlap("ipc:///x", "ipc:///y"));
    ck_assert(!overlap("ipc:///x", "tcp://127.0.0.1:1"));
}
END_TEST

START_TEST(knows_addresses)
{
    ck_assert(endpoint_is_address(span_text("0.0.0.0")));
    ck_assert(endpoint_is_address(span_text("fe80::1")));
    ck_assert(!endpoint_is_address(span_text("")));
    ck_assert(!endpoint_is_address(span_text("localhost")));
    ck_assert(!endpoint_is_address(span_text("1.2.3")));
    ck_assert(!endpoint_is_address(span_text("[::1]")));
    ck_assert(!endpoint_is_address(span_of("1.2.3.4\0", 8)));
    ck_assert(endpoint_is_loopback(span_text("127.9.9.9")));
    ck_assert(!endpoint_is_loopback(span_text("::")));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("endpoint");
    TCase *tests = tcase_create("endpoint");
    tcase_add_test(tests, parses_tcp_and_ipc);
    tcase_add_test(tests, refuses_everything_else);
    tcase_add_test(tests, knows_what_only_this_machine_reaches);
    tcase_add_test(tests, sees_listeners_in_one_place);
    tcase_add_test(tests, knows_addresses);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
