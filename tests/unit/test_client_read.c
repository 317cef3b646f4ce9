#include "proto/client_codec.h"

#include "bytes.h"
#include "proto/json_text.h"
#include "proto/limits.h"
#include "unit.h"

static client_reader_t *reader;
static struct client_command command;
static struct buffer why, out;

static void setup(void)
{
    reader = client_reader_new();
    ck_assert_ptr_nonnull(reader);
    why = out = (struct buffer){0};
}

static void teardown(void)
{
    client_reader_destroy(&reader);
    ck_assert_ptr_null(reader);
    client_reader_destroy(&reader);
    buffer_free(&why);
    buffer_free(&out);
}

static enum client_read next(void)
{
    return client_reader_next(reader, &command, &why);
}

/* The only command of a frame. */
static void read_one(const char *frame)
{
    client_reader_begin(reader, span_text(frame));
    ck_assert_msg(next() == CLIENT_COMMAND, "%s: %.*s", frame, (int)why.size,
                  (const char *)why.data);
}

START_TEST(the_first_frame_of_the_sdk)
{
    client_reader_begin(reader,
                        span_text("{\"connect\":{\"name\":\"js\",\"token\":\"t.o.k\"},\"id\":1}\n"
                                  "{\"subscribe\":{\"channel\":\"a\",\"flag\":1},\"id\":2}\n"
                                  "{\"subscribe\":{\"channel\":\"b:1 2\",\"flag\":1},\"id\":3}"));
    ck_assert_int_eq(next(), CLIENT_COMMAND);
    ck_assert_int_eq(command.method, CLIENT_CONNECT);
    ck_assert_uint_eq(command.id, 1);
    assert_text(command.token, "t.o.k");
    ck_assert_int_eq(next(), CLIENT_COMMAND);
    ck_assert_int_eq(command.method, CLIENT_SUBSCRIBE);
    ck_assert_uint_eq(command.id, 2);
    assert_text(command.channel, "a");
    ck_assert_uint_eq(command.token.size, 0);
    ck_assert(!command.recover && !command.has_epoch && !command.reject_unrecovered);
    ck_assert_int_eq(next(), CLIENT_COMMAND);
    assert_text(command.channel, "b:1 2");
    ck_assert_int_eq(next(), CLIENT_END);
    ck_assert_int_eq(next(), CLIENT_END);
}
END_TEST

START_TEST(pongs_and_a_newline_at_the_end)
{
    client_reader_begin(reader, span_text("{}\n{}\n"));
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(next(), CLIENT_COMMAND);
        ck_assert_int_eq(command.method, CLIENT_PONG);
        ck_assert_uint_eq(command.id, 0);
    }
    ck_assert_int_eq(next(), CLIENT_END);
}
END_TEST

START_TEST(all_methods)
{
    static const struct {
        const char *frame;
        enum client_method method;
    } rows[] = {
        {"{\"id\":1,\"connect\":{}}", CLIENT_CONNECT},
        {"{\"id\":1,\"subscribe\":{\"channel\":\"c\"}}", CLIENT_SUBSCRIBE},
        {"{\"id\":1,\"unsubscribe\":{\"channel\":\"c\"}}", CLIENT_UNSUBSCRIBE},
        {"{\"id\":1,\"publish\":{\"channel\":\"c\",\"data\":[1]}}", CLIENT_PUBLISH},
        {"{\"id\":1,\"presence\":{\"channel\":\"c\"}}", CLIENT_PRESENCE},
        {"{\"id\":1,\"presence_stats\":{\"channel\":\"c\"}}", CLIENT_PRESENCE_STATS},
        {"{\"id\":1,\"history\":{\"channel\":\"c\"}}", CLIENT_HISTORY},
        {"{\"id\":1,\"rpc\":{\"method\":\"m\",\"channel\":7}}", CLIENT_RPC},
        {"{\"id\":1,\"refresh\":{\"token\":\"t\"}}", CLIENT_REFRESH},
        {"{\"id\":1,\"sub_refresh\":{\"channel\":\"c\",\"token\":\"t\"}}", CLIENT_SUB_REFRESH},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        read_one(rows[i].frame);
        ck_assert_int_eq(command.method, rows[i].method);
        ck_assert_uint_eq(command.id, 1);
        if (strstr(rows[i].frame, "\"channel\":\"c\""))
            assert_text(command.channel, "c");
        else
            ck_assert_uint_eq(command.channel.size, 0);
        if (strstr(rows[i].frame, "\"token\""))
            assert_text(command.token, "t");
    }
    read_one("{\"send\":{\"data\":1}}");
    ck_assert_int_eq(command.method, CLIENT_SEND);
    read_one("{\"id\":4294967295,\"connect\":{}}");
    ck_assert_uint_eq(command.id, UINT32_MAX);
}
END_TEST

START_TEST(a_subscribe_with_a_position)
{
    read_one("{\"id\":5,\"subscribe\":{\"channel\":\"c\",\"token\":\"t\",\"recover\":true,"
             "\"offset\":9007199254740992,\"epoch\":\"00000000000000ff\",\"positioned\":true,"
             "\"recoverable\":true,\"flag\":3,\"delta\":\"fossil\",\"type\":0,\"join_leave\":true,"
             "\"data\":{\"x\":[]}}}");
    ck_assert(command.recover && command.positioned && command.recoverable);
    ck_assert(command.reject_unrecovered);
    ck_assert(command.has_epoch && command.epoch_known);
    ck_assert_uint_eq(command.epoch, 0xff);
    ck_assert_uint_eq(command.offset, UINT64_C(1) << 53);
    ck_assert(!command.unsupported_delta && !command.unsupported_type && !command.has_filter);
    assert_text(command.token, "t");
}
END_TEST

START_TEST(an_empty_epoch_is_no_epoch)
{
    read_one("{\"id\":5,\"subscribe\":{\"channel\":\"c\",\"recover\":true,\"epoch\":\"\"}}");
    ck_assert(command.recover && !command.has_epoch && !command.epoch_known);
    ck_assert_uint_eq(command.offset, 0);
}
END_TEST

START_TEST(an_epoch_that_nobody_here_made_is_unknown)
{
    read_one("{\"id\":5,\"subscribe\":{\"channel\":\"c\",\"recover\":true,\"epoch\":\"_\"}}");
    ck_assert(command.has_epoch && !command.epoch_known);
}
END_TEST

START_TEST(what_we_do_not_serve_is_marked)
{
    read_one("{\"id\":5,\"subscribe\":{\"channel\":\"c\",\"type\":1,\"delta\":\"vcdiff\","
             "\"tf\":{\"op\":\"eq\"}}}");
    ck_assert(command.unsupported_type && command.unsupported_delta && command.has_filter);
    read_one("{\"id\":5,\"subscribe\":{\"channel\":\"c\",\"delta\":\"\",\"flag\":1}}");
    ck_assert(!command.unsupported_delta && !command.reject_unrecovered);
}
END_TEST

START_TEST(null_is_absent)
{
    read_one("{\"id\":5,\"subscribe\":{\"channel\":\"c\",\"token\":null,\"recover\":null,"
             "\"epoch\":null,\"offset\":null,\"tf\":null,\"delta\":null}}");
    ck_assert(!command.recover && !command.has_epoch && !command.has_filter);
}
END_TEST

START_TEST(a_history_command)
{
    read_one("{\"id\":6,\"history\":{\"channel\":\"c\",\"limit\":-1,\"reverse\":true,"
             "\"since\":{\"offset\":4,\"epoch\":\"0000000000000001\"}}}");
    ck_assert_int_eq(command.limit, -1);
    ck_assert(command.reverse && command.has_since);
    ck_assert(command.has_epoch && command.epoch_known);
    ck_assert_uint_eq(command.epoch, 1);
    ck_assert_uint_eq(command.offset, 4);
    read_one("{\"id\":6,\"history\":{\"channel\":\"c\",\"limit\":2147483647,\"since\":{}}}");
    ck_assert_int_eq(command.limit, INT32_MAX);
    ck_assert(command.has_since && !command.has_epoch && !command.reverse);
    read_one("{\"id\":6,\"history\":{\"channel\":\"c\"}}");
    ck_assert_int_eq(command.limit, 0);
    ck_assert(!command.has_since);
}
END_TEST

START_TEST(unknown_fields_are_ignored_beside_a_method)
{
    read_one("{\"id\":6,\"later\":{\"x\":1},\"presence\":{\"channel\":\"c\",\"more\":[]}}");
    ck_assert_int_eq(command.method, CLIENT_PRESENCE);
    read_one(" {\"id\" : 6 , \"presence\" : { \"channel\" : \"\\u0063\" } }\r");
    assert_text(command.channel, "c");
}
END_TEST

START_TEST(a_channel_may_be_any_string)
{
    read_one("{\"id\":6,\"subscribe\":{\"channel\":\"\\u0000\\n\xc3\xa4\"}}");
    assert_bytes(command.channel, BYTES("\0\n\xc3\xa4"));
    read_one("{\"id\":6,\"subscribe\":{}}");
    ck_assert_uint_eq(command.channel.size, 0);
}
END_TEST

#define ID_RULE           "command 1: id must be an integer between 1 and 4294967295"
#define NO_METHOD         "command 1: no known method"
#define EMPTY_LINE        "the line is empty"
#define NOT_JSON          "command 1: line 1, column "
#define SUBSCRIBE(fields) "{\"id\":1,\"subscribe\":{\"channel\":\"c\"," fields "}}"
#define HISTORY(fields)   "{\"id\":1,\"history\":{\"channel\":\"c\"," fields "}}"

static const struct {
    const char *frame;
    const char *why; /* how it begins */
} bad[] = {
    {"", "command 1: " EMPTY_LINE},
    {"\n", "command 1: " EMPTY_LINE},
    {"\n{}", "command 1: " EMPTY_LINE},
    {"{}\n\n", "command 2: " EMPTY_LINE},
    {"{}\n\n{}", "command 2: " EMPTY_LINE},
    {" ", NOT_JSON},
    {"{}\n ", "command 2: line 1, column "},
    {"{", NOT_JSON},
    {"{\"id\":1,\"connect\":{}", NOT_JSON},
    {"{\"id\":1,\"connect\":{}}x", NOT_JSON},
    {"{}{}", NOT_JSON},
    {"{\"id\":1,\"connect\":{}}{\"id\":2,\"connect\":{}}", NOT_JSON},
    {"{\"id\":1,\"id\":2,\"connect\":{}}", NOT_JSON},
    {"{\"id\":1,\"subscribe\":{\"channel\":\"a\",\"channel\":\"b\"}}", NOT_JSON},
    {"{\"id\":1,\"subscribe\":{\"channel\":\"\xff\"}}", NOT_JSON},
    {"{\"id\":1,\"subscribe\":{\"channel\":\"\xed\xa0\x80\"}}", NOT_JSON},
    {"{\"id\":1,\"connect\":{\"data\":1e999}}", NOT_JSON},
    {"{\"id\":1,\"connect\":{\"data\":[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]}}", NOT_JSON},
    {"[]", "command 1: not a JSON object"},
    {"1", "command 1: not a JSON object"},
    {"null", "command 1: not a JSON object"},
    {"\"{}\"", "command 1: not a JSON object"},
    {"{\"id\":1}", NO_METHOD},
    {"{\"id\":0}", NO_METHOD},
    {"{\"id\":1,\"foo\":{}}", NO_METHOD},
    {"{\"id\":1,\"ping\":{}}", NO_METHOD},
    {"{\"id\":1,\"Connect\":{}}", NO_METHOD},
    {"{\"id\":1,\"\":{}}", NO_METHOD},
    {"{\"id\":1,\"connect\":{},\"subscribe\":{}}", "command 1: more than one method"},
    {"{\"connect\":{}}", ID_RULE},
    {"{\"id\":0,\"connect\":{}}", ID_RULE},
    {"{\"id\":-1,\"connect\":{}}", ID_RULE},
    {"{\"id\":4294967296,\"connect\":{}}", ID_RULE},
    {"{\"id\":1.0,\"connect\":{}}", ID_RULE},
    {"{\"id\":\"1\",\"connect\":{}}", ID_RULE},
    {"{\"id\":null,\"connect\":{}}", ID_RULE},
    {"{\"id\":true,\"connect\":{}}", ID_RULE},
    {"{\"id\":\"1\",\"send\":{}}", ID_RULE},
    {"{\"id\":1,\"connect\":[]}", "command 1: connect: the method must be an object"},
    {"{\"id\":1,\"connect\":null}", "command 1: connect: the method must be an object"},
    {"{\"send\":1}", "command 1: send: the method must be an object"},
    {"{\"id\":1,\"connect\":{\"token\":1}}", "command 1: connect: token must be a string"},
    {"{\"id\":1,\"subscribe\":{\"channel\":1}}", "command 1: subscribe: channel must be a string"},
    {"{\"id\":1,\"presence_stats\":{\"channel\":{}}}",
     "command 1: presence_stats: channel must be a string"},
    {SUBSCRIBE("\"token\":true"), "command 1: subscribe: token must be a string"},
    {SUBSCRIBE("\"recover\":1"), "command 1: subscribe: recover must be true or false"},
    {SUBSCRIBE("\"positioned\":\"\""), "command 1: subscribe: positioned must be true or false"},
    {SUBSCRIBE("\"recoverable\":0"), "command 1: subscribe: recoverable must be true or false"},
    {SUBSCRIBE("\"epoch\":5"), "command 1: subscribe: epoch must be a string"},
    {SUBSCRIBE("\"offset\":-1"), "command 1: subscribe: offset is out of range"},
    {SUBSCRIBE("\"offset\":9007199254740993"), "command 1: subscribe: offset is out of range"},
    {SUBSCRIBE("\"offset\":1.5"), "command 1: subscribe: offset must be an integer"},
    {SUBSCRIBE("\"offset\":\"1\""), "command 1: subscribe: offset must be an integer"},
    {SUBSCRIBE("\"flag\":-1"), "command 1: subscribe: flag is out of range"},
    {SUBSCRIBE("\"flag\":\"1\""), "command 1: subscribe: flag must be an integer"},
    {SUBSCRIBE("\"type\":\"map\""), "command 1: subscribe: type must be an integer"},
    {SUBSCRIBE("\"delta\":true"), "command 1: subscribe: delta must be a string"},
    {HISTORY("\"limit\":2147483648"), "command 1: history: limit is out of range"},
    {HISTORY("\"limit\":-2147483649"), "command 1: history: limit is out of range"},
    {HISTORY("\"limit\":\"5\""), "command 1: history: limit must be an integer"},
    {HISTORY("\"reverse\":1"), "command 1: history: reverse must be true or false"},
    {HISTORY("\"since\":[]"), "command 1: history: since must be an object"},
    {HISTORY("\"since\":{\"offset\":-1}"), "command 1: history: since must be {"},
    {HISTORY("\"since\":{\"epoch\":1}"), "command 1: history: since must be {"},
};

START_TEST(malformed_commands_are_refused_with_the_reason)
{
    struct span copy = exact_copy(span_text(bad[_i].frame));
    client_reader_begin(reader, copy);
    enum client_read result;
    do
        result = next();
    while (result == CLIENT_COMMAND);
    ck_assert_int_eq(result, CLIENT_MALFORMED);
    size_t size = strlen(bad[_i].why);
    ck_assert_msg(why.size >= size && memcmp(why.data, bad[_i].why, size) == 0, "%s: %.*s",
                  bad[_i].frame, (int)why.size, (const char *)why.data);
    ck_assert(utf8_valid(buffer_span(&why), NULL));
    free_copy(copy);
}
END_TEST

START_TEST(nesting_is_bounded)
{
    buffer_put_text(&out, "{\"id\":1,\"connect\":{\"data\":");
    for (int i = 0; i < 100; i++)
        buffer_put_byte(&out, '[');
    for (int i = 0; i < 100; i++)
        buffer_put_byte(&out, ']');
    buffer_put_text(&out, "}}");
    client_reader_begin(reader, buffer_span(&out));
    ck_assert_int_eq(next(), CLIENT_MALFORMED);
    assert_text(buffer_span(&why), "command 1: line 1, column 41: nested deeper than 16 levels");
}
END_TEST

START_TEST(at_most_256_commands_in_a_frame)
{
    for (int i = 0; i < LIMIT_CLIENT_COMMANDS; i++)
        buffer_put_text(&out, "{}\n");
    client_reader_begin(reader, buffer_span(&out));
    for (int i = 0; i < LIMIT_CLIENT_COMMANDS; i++)
        ck_assert_int_eq(next(), CLIENT_COMMAND);
    ck_assert_int_eq(next(), CLIENT_END);
    buffer_put_text(&out, "{}");
    client_reader_begin(reader, buffer_span(&out));
    for (int i = 0; i < LIMIT_CLIENT_COMMANDS; i++)
        ck_assert_int_eq(next(), CLIENT_COMMAND);
    ck_assert_int_eq(next(), CLIENT_MALFORMED);
    assert_text(buffer_span(&why), "command 257: too many commands in one frame");
}
END_TEST

START_TEST(no_prefix_of_a_command_is_a_command)
{
    struct span whole =
        span_text("{\"id\":7,\"subscribe\":{\"channel\":\"\xc3\xa4\",\"offset\":12}}");
    for (size_t size = 0; size < whole.size; size++) {
        struct span copy = exact_copy(span_of(whole.data, size));
        client_reader_begin(reader, copy);
        ck_assert_int_eq(next(), CLIENT_MALFORMED);
        free_copy(copy);
    }
}
END_TEST

START_TEST(a_reader_can_be_dropped_in_the_middle)
{
    client_reader_begin(reader, span_text("{}\n{"));
    ck_assert_int_eq(next(), CLIENT_COMMAND);
    client_reader_begin(reader, span_text("{\"id\":1,\"connect\":{}}"));
    ck_assert_int_eq(next(), CLIENT_COMMAND);
    ck_assert_int_eq(command.method, CLIENT_CONNECT);
}
END_TEST

static TCase *commands(void)
{
    TCase *tests = tcase_create("commands");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, the_first_frame_of_the_sdk);
    tcase_add_test(tests, pongs_and_a_newline_at_the_end);
    tcase_add_test(tests, all_methods);
    tcase_add_test(tests, a_subscribe_with_a_position);
    tcase_add_test(tests, an_empty_epoch_is_no_epoch);
    tcase_add_test(tests, an_epoch_that_nobody_here_made_is_unknown);
    tcase_add_test(tests, what_we_do_not_serve_is_marked);
    tcase_add_test(tests, null_is_absent);
    tcase_add_test(tests, a_history_command);
    tcase_add_test(tests, unknown_fields_are_ignored_beside_a_method);
    tcase_add_test(tests, a_channel_may_be_any_string);
    tcase_add_loop_test(tests, malformed_commands_are_refused_with_the_reason, 0,
                        sizeof bad / sizeof bad[0]);
    tcase_add_test(tests, nesting_is_bounded);
    tcase_add_test(tests, at_most_256_commands_in_a_frame);
    tcase_add_test(tests, no_prefix_of_a_command_is_a_command);
    tcase_add_test(tests, a_reader_can_be_dropped_in_the_middle);
    return tests;
}

int main(void)
{
    Suite *suite = suite_create("client_read");
    suite_add_tcase(suite, commands());
    return unit_run(suite);
}
