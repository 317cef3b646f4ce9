#include "bytes.h"
#include "proto/client_codec.h"
#include "proto/json_text.h"
#include "proto/limits.h"
#include "unit.h"

static struct client_emulation commands;
static struct buffer why, body;
static json_doc_t *doc;

static void setup(void)
{
    why = body = (struct buffer){0};
    doc = NULL;
}

static void teardown(void)
{
    json_doc_destroy(&doc);
    buffer_free(&why);
    buffer_free(&body);
}

static bool read_bytes(struct span bytes)
{
    struct span copy = exact_copy(bytes);
    json_doc_destroy(&doc);
    buffer_reset(&why);
    doc = client_read_emulation(copy, &commands, &why);
    free_copy(copy); /* what was read borrows from the document alone */
    return doc != NULL;
}

static bool read(const char *text)
{
    return read_bytes(span_text(text));
}

static void expect_read(const char *text)
{
    ck_assert_msg(read(text), "%s: %.*s", text, SPAN_ARG(buffer_span(&why)));
    ck_assert_uint_eq(why.size, 0);
}

/* --- good bodies --- */

START_TEST(the_body_of_the_sdk)
{
    expect_read("{\"session\":\"0123456789abcdef0123456789abcdef\",\"node\":\"00000000000000ff\","
                "\"data\":\"{\\\"subscribe\\\":{\\\"channel\\\":\\\"a\\\"},\\\"id\\\":2}\\n{}\"}");
    assert_text(commands.session, "0123456789abcdef0123456789abcdef");
    assert_text(commands.node, "00000000000000ff");
    assert_text(commands.frame, "{\"subscribe\":{\"channel\":\"a\"},\"id\":2}\n{}");
}
END_TEST

START_TEST(order_and_unknown_members_do_not_matter)
{
    expect_read(" {\"more\":[{\"session\":1}],\"data\":\"d\",\"node\":\"n\",\n\"session\":\"s\","
                "\"Session\":2}\r\n");
    assert_text(commands.session, "s");
    assert_text(commands.node, "n");
    assert_text(commands.frame, "d");
}
END_TEST

/* They are judged elsewhere. */
START_TEST(strings_are_read_as_they_are)
{
    expect_read("{\"session\":\" \",\"node\":\"\xc3\xa4\\u00e4\",\"data\":\"\\u0000\\n\"}");
    assert_text(commands.session, " ");
    assert_text(commands.node, "\xc3\xa4\xc3\xa4");
    assert_bytes(commands.frame, BYTES("\0\n"));
}
END_TEST

/* What the frame says is the reader's to judge. */
START_TEST(a_frame_is_read_as_one_of_a_websocket)
{
    client_reader_t *reader = client_reader_new();
    struct client_command command;
    expect_read("{\"session\":\"s\",\"node\":\"n\",\"data\":\"{\\\"id\\\":3,\\\"history\\\":"
                "{\\\"channel\\\":\\\"\\u0063\\\"}}\\n{}\"}");
    client_reader_begin(reader, commands.frame);
    ck_assert_int_eq(client_reader_next(reader, &command, &why), CLIENT_COMMAND);
    ck_assert_int_eq(command.method, CLIENT_HISTORY);
    assert_text(command.channel, "c");
    ck_assert_int_eq(client_reader_next(reader, &command, &why), CLIENT_COMMAND);
    ck_assert_int_eq(command.method, CLIENT_PONG);
    ck_assert_int_eq(client_reader_next(reader, &command, &why), CLIENT_END);
    client_reader_destroy(&reader);
}
END_TEST

/* --- bad bodies --- */

#define NOT_JSON      "line 1, column "
#define SESSION       "session must be a string that is not empty"
#define NODE          "node must be a string that is not empty"
#define DATA          "data must be a string that is not empty"
#define WITH(members) "{\"session\":\"s\",\"node\":\"n\"" members "}"

static const struct {
    const char *body, *why; /* how it begins */
} bad[] = {
    {"", NOT_JSON},
    {" ", NOT_JSON},
    {"{", NOT_JSON},
    {"{}x", NOT_JSON},
    {"{}{}", NOT_JSON},
    {"session=s&node=n&data=d", NOT_JSON},
    {"\xff", NOT_JSON},
    {"{'session':'s','node':'n','data':'d'}", NOT_JSON},
    {WITH(",\"data\":\"\xff\""), NOT_JSON},
    {WITH(",\"data\":\"\\ud800\""), NOT_JSON},
    {WITH(",\"data\":\"d\n\""), NOT_JSON},
    {WITH(",\"data\":\"d\","), NOT_JSON},
    {WITH(",\"data\":\"d\",\"data\":\"d\""), NOT_JSON},
    {WITH(",\"data\":\"d\",\"session\":\"s\""), NOT_JSON},
    {WITH(",\"node\":\"m\",\"data\":\"d\""), NOT_JSON},
    {WITH(",\"data\":\"d\",\"x\":{\"y\":1,\"y\":2}"), NOT_JSON},
    {WITH(",\"data\":\"d\",\"x\":1e999"), NOT_JSON},
    {"[]", "not a JSON object"},
    {"1", "not a JSON object"},
    {"null", "not a JSON object"},
    {"\"\"", "not a JSON object"},
    {"[{\"session\":\"s\",\"node\":\"n\",\"data\":\"d\"}]", "not a JSON object"},
    {"{}", SESSION},
    {"{\"node\":\"n\",\"data\":\"d\"}", SESSION},
    {"{\"session\":\"\",\"node\":\"n\",\"data\":\"d\"}", SESSION},
    {"{\"session\":null,\"node\":\"n\",\"data\":\"d\"}", SESSION},
    {"{\"session\":1,\"node\":\"n\",\"data\":\"d\"}", SESSION},
    {"{\"session\":[\"s\"],\"node\":\"n\",\"data\":\"d\"}", SESSION},
    {"{\"Session\":\"s\",\"node\":\"n\",\"data\":\"d\"}", SESSION},
    {"{\"session\":\"s\",\"data\":\"d\"}", NODE},
    {"{\"session\":\"s\",\"node\":\"\",\"data\":\"d\"}", NODE},
    {"{\"session\":\"s\",\"node\":255,\"data\":\"d\"}", NODE},
    {"{\"session\":\"s\",\"node\":true,\"data\":\"d\"}", NODE},
    {WITH(""), DATA},
    {WITH(",\"data\":\"\""), DATA},
    {WITH(",\"data\":null"), DATA},
    {WITH(",\"data\":{\"id\":1,\"connect\":{}}"), DATA},
    {WITH(",\"data\":[123,125]"), DATA}, /* bytes, as the SDK sends them for Protobuf */
};

START_TEST(bad_bodies_are_refused_with_the_reason)
{
    size_t size = strlen(bad[_i].why);
    ck_assert_msg(!read(bad[_i].body), "%s", bad[_i].body);
    ck_assert_msg(why.size >= size && memcmp(why.data, bad[_i].why, size) == 0, "%s: %.*s",
                  bad[_i].body, SPAN_ARG(buffer_span(&why)));
    ck_assert(utf8_valid(buffer_span(&why), NULL));
    ck_assert_uint_eq(commands.session.size + commands.node.size + commands.frame.size, 0);
}
END_TEST

START_TEST(no_prefix_of_a_body_is_a_body)
{
    struct span whole = span_text(WITH(",\"data\":\"\xc3\xa4\""));
    ck_assert(read_bytes(whole));
    for (size_t size = 0; size < whole.size; size++) {
        ck_assert(!read_bytes(span_of(whole.data, size)));
        ck_assert_uint_gt(why.size, 0);
    }
}
END_TEST

/* --- limits --- */

static void put_body(const char *before, size_t size, const char *repeated)
{
    buffer_reset(&body);
    buffer_put_text(&body, before);
    for (size_t i = 0; i < size; i++)
        buffer_put_text(&body, repeated);
    buffer_put_text(&body, "\"}");
}

START_TEST(a_frame_is_as_long_as_one_of_a_websocket)
{
    const char *before = "{\"session\":\"s\",\"node\":\"n\",\"data\":\"";
    put_body(before, LIMIT_CLIENT_FRAME_BYTES, "x");
    ck_assert(read_bytes(buffer_span(&body)));
    ck_assert_uint_eq(commands.frame.size, LIMIT_CLIENT_FRAME_BYTES);
    put_body(before, LIMIT_CLIENT_FRAME_BYTES + 1, "x");
    ck_assert(!read_bytes(buffer_span(&body)));
    assert_text(buffer_span(&why), "data has more than 262144 bytes");
}
END_TEST

/* Mostly: text whose every second byte is escaped, as JSON in JSON is, fits with its names. */
START_TEST(the_length_counts_what_escapes_stand_for)
{
    put_body("{\"session\":\"s\",\"node\":\"n\",\"data\":\"", LIMIT_CLIENT_FRAME_BYTES, "\\\"");
    ck_assert(read_bytes(buffer_span(&body)));
    ck_assert_uint_eq(commands.frame.size, LIMIT_CLIENT_FRAME_BYTES);
    put_body("{\"session\":\"s\",\"node\":\"n\",\"data\":\"", LIMIT_CLIENT_FRAME_BYTES / 2,
             "\\\"x");
    ck_assert_uint_le(body.size, LIMIT_EMULATION_BYTES);
    ck_assert(read_bytes(buffer_span(&body)));
}
END_TEST

/* The body itself is the first level. */
static bool read_nested(int levels)
{
    buffer_reset(&body);
    buffer_put_text(&body, "{\"session\":\"s\",\"node\":\"n\",\"data\":\"d\",\"x\":");
    for (int i = 1; i < levels; i++)
        buffer_put_byte(&body, '[');
    for (int i = 1; i < levels; i++)
        buffer_put_byte(&body, ']');
    buffer_put_byte(&body, '}');
    return read_bytes(buffer_span(&body));
}

START_TEST(nesting_is_bounded)
{
    ck_assert(read_nested(LIMIT_CLIENT_JSON_DEPTH));
    ck_assert(!read_nested(LIMIT_CLIENT_JSON_DEPTH + 1));
    assert_text(buffer_span(&why), "line 1, column 57: nested deeper than 16 levels");
    ck_assert(!read_nested(100000));
    ck_assert_uint_eq(commands.frame.size, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("client_emulation");
    TCase *tests = tcase_create("bodies");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, the_body_of_the_sdk);
    tcase_add_test(tests, order_and_unknown_members_do_not_matter);
    tcase_add_test(tests, strings_are_read_as_they_are);
    tcase_add_test(tests, a_frame_is_read_as_one_of_a_websocket);
    tcase_add_loop_test(tests, bad_bodies_are_refused_with_the_reason, 0, sizeof bad / sizeof *bad);
    tcase_add_test(tests, no_prefix_of_a_body_is_a_body);
    tcase_add_test(tests, a_frame_is_as_long_as_one_of_a_websocket);
    tcase_add_test(tests, the_length_counts_what_escapes_stand_for);
    tcase_add_test(tests, nesting_is_bounded);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
