#include "proto/backend_codec.h"

#include "bytes.h"
#include "proto/json_doc.h"
#include "proto/json_text.h"
#include "proto/limits.h"
#include "unit.h"

static wire_reader_t *reader;
static struct buffer bytes, why, reply;
static struct backend_request request;

static void setup(void)
{
    reader = wire_reader_new();
    ck_assert_ptr_nonnull(reader);
    bytes = why = reply = (struct buffer){0};
}

static void teardown(void)
{
    wire_reader_destroy(&reader);
    buffer_free(&bytes);
    buffer_free(&why);
    buffer_free(&reply);
}

/* Requests are written as JSON here, for the reader of the test. */
static void build(const char *json)
{
    json_doc_t *doc = json_doc_parse(span_text(json), 30, &why);
    ck_assert_msg(doc != NULL, "%.*s", (int)why.size, (const char *)why.data);
    json_to_wire(&bytes, json_doc_root(doc));
    json_doc_destroy(&doc);
}

static enum status decode(void)
{
    return backend_decode(reader, buffer_span(&bytes), &request, &why);
}

static void expect_refused(enum status status, const char *expected)
{
    ck_assert_int_eq(decode(), status);
    assert_text(buffer_span(&why), expected);
}

/* The reply, as JSON. */
static void expect_reply(const char *expected)
{
    wire_reader_t *other = wire_reader_new();
    const char *wrong = NULL;
    const struct wire_value *root = wire_read(other, buffer_span(&reply), 30, 10000, &wrong);
    ck_assert_msg(root != NULL, "%s", wrong);
    struct buffer text = {0};
    ck_assert(json_text_from_wire(&text, root, "reply", 30, &why));
    assert_text(buffer_span(&text), expected);
    buffer_free(&text);
    wire_reader_destroy(&other);
}

START_TEST(a_publish_has_all_its_keys)
{
    build("{\"op\":\"publish\",\"id\":\"r1\",\"channel\":\"chat\",\"resource\":\"room\","
          "\"payload\":{\"a\":1},\"publisher\":\"user\",\"key\":\"k\",\"site\":\"acme\","
          "\"app\":\"quotes\",\"view\":\"preview\",\"unknown\":[1,2]}");
    ck_assert_int_eq(decode(), STATUS_OK);
    ck_assert_int_eq(request.op, BACKEND_PUBLISH);
    assert_text(wire_text(request.id), "r1");
    const struct backend_publish *publish = &request.publish;
    assert_text(publish->target.channel, "chat");
    assert_text(publish->target.resource, "room");
    assert_text(publish->target.site, "acme");
    assert_text(publish->target.app, "quotes");
    ck_assert(publish->target.has_site && publish->target.has_app && publish->target.preview);
    assert_text(publish->publisher, "user");
    assert_text(publish->key, "k");
    ck_assert_uint_eq(wire_count(publish->payload), 1);
}
END_TEST

START_TEST(a_publish_needs_no_more_than_channel_and_payload)
{
    build("{\"payload\":{},\"channel\":\"\",\"op\":\"publish\"}");
    ck_assert_int_eq(decode(), STATUS_OK);
    ck_assert_ptr_null(request.id);
    ck_assert(!request.unreadable);
    const struct backend_target *target = &request.publish.target;
    ck_assert_uint_eq(target->channel.size + target->resource.size, 0);
    ck_assert_uint_eq(target->site.size + target->app.size, 0);
    ck_assert(!target->has_site && !target->has_app && !target->preview);
    ck_assert_uint_eq(request.publish.publisher.size + request.publish.key.size, 0);
}
END_TEST

START_TEST(view_live_is_not_preview)
{
    build("{\"op\":\"publish\",\"channel\":\"c\",\"payload\":{},\"view\":\"live\",\"site\":\"\"}");
    ck_assert_int_eq(decode(), STATUS_OK);
    ck_assert(!request.publish.target.preview);
    ck_assert(request.publish.target.has_site);
}
END_TEST

START_TEST(a_history_has_all_its_keys)
{
    build("{\"op\":\"history\",\"id\":7,\"channel\":\"chat\",\"limit\":4294967295,"
          "\"since\":{\"epoch\":\"00000000000000ff\",\"offset\":9,\"more\":0}}");
    ck_assert_int_eq(decode(), STATUS_OK);
    ck_assert_int_eq(request.op, BACKEND_HISTORY);
    ck_assert_uint_eq(wire_uint(request.id), 7);
    assert_text(request.history.target.channel, "chat");
    ck_assert_uint_eq(request.history.limit, UINT32_MAX);
    ck_assert(request.history.has_since);
    ck_assert_uint_eq(request.history.since_epoch, 0xff);
    ck_assert_uint_eq(request.history.since_offset, 9);
}
END_TEST

START_TEST(a_history_needs_no_more_than_the_channel)
{
    build("{\"op\":\"history\",\"channel\":\"chat\"}");
    ck_assert_int_eq(decode(), STATUS_OK);
    ck_assert_uint_eq(request.history.limit, 0);
    ck_assert(!request.history.has_since);
}
END_TEST

START_TEST(a_foreign_epoch_is_none_of_ours)
{
    build("{\"op\":\"history\",\"channel\":\"chat\",\"since\":{\"epoch\":\"_\",\"offset\":1}}");
    ck_assert_int_eq(decode(), STATUS_OK);
    ck_assert(request.history.has_since);
    ck_assert_uint_eq(request.history.since_epoch, 0);
}
END_TEST

START_TEST(a_ping_is_just_a_ping)
{
    build("{\"op\":\"ping\",\"id\":\"\"}");
    ck_assert_int_eq(decode(), STATUS_OK);
    ck_assert_int_eq(request.op, BACKEND_PING);
    ck_assert_ptr_nonnull(request.id);
}
END_TEST

#define LONG64  "1234567890123456789012345678901234567890123456789012345678901234"
#define PUBLISH "\"op\":\"publish\",\"channel\":\"c\",\"payload\":{}"
#define HISTORY "\"op\":\"history\",\"channel\":\"c\""

static const struct {
    const char *json;
    const char *why;
} bad[] = {
    {"{}", "op: missing"},
    {"{\"op\":1}", "op: must be a string"},
    {"{\"op\":\"x\"}", "op: unknown operation \"x\""},
    {"{\"op\":\"a\\n\\\"b\"}", "op: unknown operation \"a\\n\\\"b\""},
    {"{\"op\":\"" LONG64 "5\"}", "op: unknown operation \"" LONG64 "...\""},
    {"{\"op\":\"publish\",\"payload\":{}}", "channel: missing"},
    {"{\"op\":\"publish\",\"channel\":7,\"payload\":{}}", "channel: must be a string"},
    {"{\"op\":\"publish\",\"channel\":\"c\"}", "payload: missing"},
    {"{\"op\":\"publish\",\"channel\":\"c\",\"payload\":[]}", "payload: must be a map"},
    {"{\"op\":\"publish\",\"channel\":\"c\",\"payload\":null}", "payload: must be a map"},
    {"{" PUBLISH ",\"resource\":{}}", "resource: must be a string"},
    {"{" PUBLISH ",\"publisher\":{\"id\":\"u\"}}", "publisher: must be a string"},
    {"{" PUBLISH ",\"key\":5}", "key: must be a string"},
    {"{" PUBLISH ",\"key\":\"" LONG64 "5\"}", "key: longer than 64 bytes"},
    {"{" PUBLISH ",\"site\":null}", "site: must be a string"},
    {"{" PUBLISH ",\"site\":\"" LONG64 "5\"}", "site: longer than 64 bytes"},
    {"{" PUBLISH ",\"app\":1}", "app: must be a string"},
    {"{" PUBLISH ",\"app\":\"" LONG64 "5\"}", "app: longer than 64 bytes"},
    {"{" PUBLISH ",\"view\":\"Live\"}", "view: must be \"live\" or \"preview\""},
    {"{" PUBLISH ",\"view\":true}", "view: must be a string"},
    {"{\"op\":\"publish_many\"}", "items: missing"},
    {"{\"op\":\"publish_many\",\"items\":{}}", "items: must be an array"},
    {"{\"op\":\"history\"}", "channel: missing"},
    {"{" HISTORY ",\"limit\":-1}", "limit: must be an unsigned integer of 32 bits"},
    {"{" HISTORY ",\"limit\":4294967296}", "limit: must be an unsigned integer of 32 bits"},
    {"{" HISTORY ",\"limit\":\"1\"}", "limit: must be an unsigned integer of 32 bits"},
    {"{" HISTORY ",\"limit\":1.0}", "limit: must be an unsigned integer of 32 bits"},
    {"{" HISTORY ",\"since\":1}", "since: must be a map"},
    {"{" HISTORY ",\"since\":{}}", "since: epoch must be a string"},
    {"{" HISTORY ",\"since\":{\"epoch\":1,\"offset\":1}}", "since: epoch must be a string"},
    {"{" HISTORY ",\"since\":{\"epoch\":\"e\"}}", "since: offset must be an unsigned integer"},
    {"{" HISTORY ",\"since\":{\"epoch\":\"e\",\"offset\":-1}}",
     "since: offset must be an unsigned integer"},
};

START_TEST(a_wrong_request_is_refused_with_key_and_rule)
{
    build(bad[_i].json);
    expect_refused(STATUS_BAD_INPUT, bad[_i].why);
    ck_assert(!request.unreadable);
}
END_TEST

START_TEST(the_error_can_be_answered_wherever_the_id_stands)
{
    build("{\"op\":\"x\",\"op2\":1,\"id\":\"last\"}");
    expect_refused(STATUS_BAD_INPUT, "op: unknown operation \"x\"");
    assert_text(wire_text(request.id), "last");
    buffer_reset(&bytes);
    buffer_reset(&why);
    /* twice the same key, then the id */
    wire_put_map(&bytes, 3);
    for (int i = 0; i < 2; i++) {
        wire_put_word(&bytes, "channel");
        wire_put_word(&bytes, "c");
    }
    wire_put_word(&bytes, "id");
    wire_put_uint(&bytes, 5);
    expect_refused(STATUS_BAD_INPUT, "channel: the key occurs twice");
    ck_assert_uint_eq(wire_uint(request.id), 5);
}
END_TEST

static const struct {
    const char *bytes;
    size_t size;
    const char *why;
} unreadable[] = {
#define MSGPACK(literal, why)                                                                      \
    {                                                                                              \
        literal, sizeof(literal) - 1, why                                                          \
    }
    MSGPACK("", "request: is empty"),
    MSGPACK("\x90", "request: must be a map"),
    MSGPACK("\xa4ping", "request: must be a map"),
    MSGPACK("\x81\xa2op\xa4pin", "request: ends in the middle of a value"),
    MSGPACK("\x81\xa2op\xa4ping\xc0", "request: has bytes behind the value"),
    MSGPACK("\x82\xa2id\x01\xa7payload\xdb\xff\xff\xff\xff",
            "request: ends in the middle of a value"),
    MSGPACK("\x82\xa2id\x01\xa7payload\xdf\xff\xff\xff\xff",
            "request: announces more values than there are bytes"),
    MSGPACK("\x82\xa2id\x01\xa7payload\xdd\xff\xff\xff\xff",
            "request: announces more values than there are bytes"),
    MSGPACK("\x81\xa1x\xc1", "request: holds the reserved msgpack type 0xc1"),
#undef MSGPACK
};

START_TEST(what_is_no_map_is_unreadable)
{
    buffer_put(&bytes, unreadable[_i].bytes, unreadable[_i].size);
    expect_refused(STATUS_BAD_INPUT, unreadable[_i].why);
    ck_assert(request.unreadable);
    ck_assert_ptr_null(request.id);
}
END_TEST

START_TEST(keys_must_be_strings)
{
    wire_put_map(&bytes, 2);
    wire_put_uint(&bytes, 1);
    wire_put_uint(&bytes, 2);
    wire_put_word(&bytes, "id");
    wire_put_uint(&bytes, 9);
    expect_refused(STATUS_BAD_INPUT, "request: every key must be a string");
    ck_assert_uint_eq(wire_uint(request.id), 9);
}
END_TEST

static void begin_ping_with_id(void)
{
    buffer_reset(&bytes);
    buffer_reset(&why);
    wire_put_map(&bytes, 2);
    wire_put_word(&bytes, "op");
    wire_put_word(&bytes, "ping");
    wire_put_word(&bytes, "id");
}

START_TEST(an_id_is_a_short_string_or_an_unsigned_integer)
{
    begin_ping_with_id();
    wire_put_word(&bytes, LONG64);
    ck_assert_int_eq(decode(), STATUS_OK);
    begin_ping_with_id();
    wire_put_uint(&bytes, UINT64_MAX);
    ck_assert_int_eq(decode(), STATUS_OK);
    static const struct {
        const char *bytes;
        size_t size;
    } ids[] = {{"\xff", 1}, {"\xc0", 1},      {"\xc3", 1},
               {"\x80", 1}, {"\xc4\x01x", 3}, {"\xca\0\0\0\0", 5}};
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        begin_ping_with_id();
        buffer_put(&bytes, ids[i].bytes, ids[i].size);
        expect_refused(STATUS_BAD_INPUT,
                       "id: must be a string of at most 64 bytes or an unsigned integer");
        ck_assert(request.unreadable);
    }
    begin_ping_with_id();
    wire_put_word(&bytes, LONG64 "5");
    ck_assert_int_eq(decode(), STATUS_BAD_INPUT);
    ck_assert_ptr_null(request.id);
}
END_TEST

START_TEST(a_publisher_must_be_utf8_and_short)
{
    wire_put_map(&bytes, 4);
    wire_put_word(&bytes, "op");
    wire_put_word(&bytes, "publish");
    wire_put_word(&bytes, "channel");
    wire_put_word(&bytes, "c");
    wire_put_word(&bytes, "payload");
    wire_put_map(&bytes, 0);
    wire_put_word(&bytes, "publisher");
    size_t start = bytes.size;
    wire_put_word(&bytes, "\xff");
    expect_refused(STATUS_BAD_INPUT, "publisher: not valid UTF-8");
    char text[LIMIT_PUBLISHER_BYTES + 1];
    memset(text, 'p', sizeof text);
    bytes.size = start;
    buffer_reset(&why);
    wire_put_text(&bytes, span_of(text, sizeof text));
    expect_refused(STATUS_BAD_INPUT, "publisher: longer than 256 bytes");
    bytes.size = start;
    wire_put_text(&bytes, span_of(text, sizeof text - 1));
    ck_assert_int_eq(decode(), STATUS_OK);
}
END_TEST

START_TEST(no_prefix_of_a_request_decodes)
{
    build(
        "{\"id\":1,\"op\":\"publish\",\"channel\":\"chat\",\"payload\":{\"a\":[1.5,null,\"x\"]}}");
    for (size_t size = 0; size < bytes.size; size++) {
        struct span copy = exact_copy(span_of(bytes.data, size));
        ck_assert_int_eq(backend_decode(reader, copy, &request, &why), STATUS_BAD_INPUT);
        ck_assert(request.unreadable);
        free_copy(copy);
    }
    struct span copy = exact_copy(buffer_span(&bytes));
    ck_assert_int_eq(backend_decode(reader, copy, &request, &why), STATUS_OK);
    free_copy(copy);
}
END_TEST

static void begin_many(size_t count)
{
    wire_put_map(&bytes, 3);
    wire_put_word(&bytes, "op");
    wire_put_word(&bytes, "publish_many");
    wire_put_word(&bytes, "id");
    wire_put_uint(&bytes, 1);
    wire_put_word(&bytes, "items");
    wire_put_array(&bytes, count);
}

START_TEST(items_stand_for_themselves)
{
    build("{\"op\":\"publish_many\",\"items\":["
          "{\"channel\":\"a\",\"payload\":{\"n\":1}},"
          "{\"channel\":\"b\",\"payload\":3},"
          "7,"
          "{\"channel\":\"c\",\"payload\":{},\"key\":\"k\"}]}");
    ck_assert_int_eq(decode(), STATUS_OK);
    ck_assert_int_eq(request.op, BACKEND_PUBLISH_MANY);
    ck_assert_uint_eq(wire_count(request.items), 4);
    struct backend_publish item;
    ck_assert_int_eq(backend_decode_item(&request, 0, &item, &why), STATUS_OK);
    assert_text(item.target.channel, "a");
    ck_assert_int_eq(backend_decode_item(&request, 1, &item, &why), STATUS_BAD_INPUT);
    assert_text(buffer_span(&why), "items[1].payload: must be a map");
    buffer_reset(&why);
    ck_assert_int_eq(backend_decode_item(&request, 2, &item, &why), STATUS_BAD_INPUT);
    assert_text(buffer_span(&why), "items[2]: must be a map");
    buffer_reset(&why);
    ck_assert_int_eq(backend_decode_item(&request, 3, &item, &why), STATUS_OK);
    assert_text(item.target.channel, "c");
    assert_text(item.key, "k");
}
END_TEST

START_TEST(a_bad_item_names_its_place)
{
    begin_many(2);
    wire_put_map(&bytes, 2); /* twice the same key */
    for (int i = 0; i < 2; i++) {
        wire_put_word(&bytes, "payload");
        wire_put_map(&bytes, 0);
    }
    wire_put_map(&bytes, 1);
    wire_put_nil(&bytes);
    wire_put_nil(&bytes);
    ck_assert_int_eq(decode(), STATUS_OK);
    struct backend_publish item;
    ck_assert_int_eq(backend_decode_item(&request, 0, &item, &why), STATUS_BAD_INPUT);
    assert_text(buffer_span(&why), "items[0].payload: the key occurs twice");
    buffer_reset(&why);
    ck_assert_int_eq(backend_decode_item(&request, 1, &item, &why), STATUS_BAD_INPUT);
    assert_text(buffer_span(&why), "items[1]: every key must be a string");
}
END_TEST

START_TEST(a_payload_that_is_too_deep_spoils_only_its_item)
{
    begin_many(1);
    wire_put_map(&bytes, 2);
    wire_put_word(&bytes, "channel");
    wire_put_word(&bytes, "c");
    wire_put_word(&bytes, "payload");
    for (int i = 0; i < LIMIT_PAYLOAD_DEPTH; i++) {
        wire_put_map(&bytes, 1);
        wire_put_word(&bytes, "k");
    }
    wire_put_map(&bytes, 0);
    ck_assert_int_eq(decode(), STATUS_OK);
    struct backend_publish item;
    ck_assert_int_eq(backend_decode_item(&request, 0, &item, &why), STATUS_OK);
    ck_assert(!json_text_from_wire(&reply, item.payload, "payload", LIMIT_PAYLOAD_DEPTH, &why));
}
END_TEST

START_TEST(at_most_1024_items)
{
    begin_many(LIMIT_PUBLISH_MANY_ITEMS);
    for (int i = 0; i < LIMIT_PUBLISH_MANY_ITEMS; i++)
        wire_put_map(&bytes, 0);
    ck_assert_int_eq(decode(), STATUS_OK);
    buffer_reset(&bytes);
    begin_many(LIMIT_PUBLISH_MANY_ITEMS + 1);
    for (int i = 0; i <= LIMIT_PUBLISH_MANY_ITEMS; i++)
        wire_put_map(&bytes, 0);
    expect_refused(STATUS_TOO_LARGE, "items: more than 1024 items");
    ck_assert_uint_eq(wire_uint(request.id), 1);
}
END_TEST

/* One item, a string that makes the whole request `size` bytes long. */
static void build_many_of_size(size_t size)
{
    buffer_reset(&bytes);
    buffer_reset(&why);
    begin_many(1);
    size_t text = size - bytes.size - 5; /* behind a str 32 head */
    uint8_t *to = buffer_reserve(&bytes, text + 5);
    ck_assert_ptr_nonnull(to);
    to[0] = 0xdb;
    for (int i = 0; i < 4; i++)
        to[1 + i] = (uint8_t)(text >> (24 - 8 * i));
    memset(to + 5, 'x', text);
    buffer_advance(&bytes, text + 5);
    ck_assert_uint_eq(bytes.size, size);
}

START_TEST(requests_have_a_greatest_size)
{
    build_many_of_size(LIMIT_PUBLISH_MANY_BYTES);
    ck_assert_int_eq(decode(), STATUS_OK);
    build_many_of_size(LIMIT_PUBLISH_MANY_BYTES + 1);
    expect_refused(STATUS_TOO_LARGE, "publish_many: larger than 1048576 bytes");
    build_many_of_size(LIMIT_BACKEND_BYTES + 1);
    expect_refused(STATUS_TOO_LARGE, "request: larger than 2097152 bytes");
    ck_assert_uint_eq(wire_uint(request.id), 1);
    bytes.size--;
    bytes.data[0] = 0xc1; /* too large is said first, also when the rest is broken */
    bytes.size++;
    buffer_reset(&why);
    expect_refused(STATUS_TOO_LARGE, "request: larger than 2097152 bytes");
    ck_assert(request.unreadable);
}
END_TEST

START_TEST(too_many_values_are_refused)
{
    wire_put_map(&bytes, 1);
    wire_put_word(&bytes, "x");
    wire_put_array(&bytes, LIMIT_BACKEND_NODES);
    for (int i = 0; i < LIMIT_BACKEND_NODES; i++)
        wire_put_nil(&bytes);
    expect_refused(STATUS_BAD_INPUT, "request: holds too many values");
}
END_TEST

START_TEST(replies)
{
    begin_ping_with_id();
    wire_put_word(&bytes, "r1");
    ck_assert_int_eq(decode(), STATUS_OK);
    const struct wire_value *id = request.id;

    backend_write_pong(&reply, id, 0xabc);
    expect_reply("{\"id\":\"r1\",\"ok\":true,\"instance\":\"0000000000000abc\"}");
    buffer_reset(&reply);
    backend_write_pong(&reply, NULL, 0xabc);
    expect_reply("{\"id\":null,\"ok\":true,\"instance\":\"0000000000000abc\"}");
    buffer_reset(&reply);
    backend_write_error(&reply, id, STATUS_TOO_MANY, span_text("slow down"));
    expect_reply("{\"id\":\"r1\",\"ok\":false,\"error\":{\"status\":429,\"code\":\"too_many\","
                 "\"message\":\"slow down\"}}");
    buffer_reset(&reply);
    backend_write_published(&reply, id, 0xabc, 5, false);
    expect_reply("{\"id\":\"r1\",\"ok\":true,\"epoch\":\"0000000000000abc\",\"offset\":5}");
    buffer_reset(&reply);
    backend_write_published(&reply, id, 0xabc, 5, true);
    expect_reply("{\"id\":\"r1\",\"ok\":true,\"epoch\":\"0000000000000abc\",\"offset\":5,"
                 "\"duplicate\":true}");
    buffer_reset(&reply);
    backend_begin_results(&reply, id, 3);
    backend_put_result(&reply, 1, 2, false);
    backend_put_failure(&reply, STATUS_BAD_INPUT, span_text("no"));
    backend_put_result(&reply, 1, 3, true);
    expect_reply(
        "{\"id\":\"r1\",\"ok\":true,\"results\":["
        "{\"ok\":true,\"epoch\":\"0000000000000001\",\"offset\":2},"
        "{\"ok\":false,\"error\":{\"status\":400,\"code\":\"bad_input\",\"message\":\"no\"}},"
        "{\"ok\":true,\"epoch\":\"0000000000000001\",\"offset\":3,\"duplicate\":true}]}");
}
END_TEST

START_TEST(a_history_reply_gives_payloads_as_maps)
{
    backend_begin_history(&reply, NULL, 0xff, 12, 2);
    ck_assert(backend_put_publication(&reply, 11, span_text("\"data\":{\"a\":[1,0.5,\"\\n\"]}")));
    ck_assert(backend_put_publication(
        &reply, 12, span_text("\"data\":{},\"info\":{\"client\":\"\",\"user\":\"anna\"}")));
    expect_reply("{\"id\":null,\"ok\":true,\"epoch\":\"00000000000000ff\",\"offset\":12,"
                 "\"publications\":[{\"offset\":11,\"payload\":{\"a\":[1,0.5,\"\\n\"]}},"
                 "{\"offset\":12,\"payload\":{},\"publisher\":{\"id\":\"anna\"}}]}");
}
END_TEST

START_TEST(a_history_reply_holds_the_deepest_payload)
{
    struct buffer body = {0};
    buffer_put_text(&body, "\"data\":");
    for (int i = 1; i < LIMIT_PAYLOAD_DEPTH; i++)
        buffer_put_text(&body, "{\"k\":");
    buffer_put_text(&body, "{}");
    for (int i = 1; i < LIMIT_PAYLOAD_DEPTH; i++)
        buffer_put_byte(&body, '}');
    ck_assert(backend_put_publication(&reply, 1, buffer_span(&body)));
    buffer_free(&body);
}
END_TEST

START_TEST(a_body_that_is_not_ours_writes_nothing)
{
    static const char *const bodies[] = {
        "",
        "\"data\":1",
        "\"data\":[]",
        "\"dat\":{}",
        "\"data\":{",
        "\"data\":{}}",
        "\"data\":{},\"data\":{}",
        "\"data\":{},\"info\":{}",
        "\"data\":{},\"info\":1",
        "\"data\":{},\"info\":{\"user\":1}",
    };
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        ck_assert_msg(!backend_put_publication(&reply, 1, span_text(bodies[i])), "%s", bodies[i]);
        ck_assert_uint_eq(reply.size, 0);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("backend_codec");
    TCase *tests = tcase_create("all");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, a_publish_has_all_its_keys);
    tcase_add_test(tests, a_publish_needs_no_more_than_channel_and_payload);
    tcase_add_test(tests, view_live_is_not_preview);
    tcase_add_test(tests, a_history_has_all_its_keys);
    tcase_add_test(tests, a_history_needs_no_more_than_the_channel);
    tcase_add_test(tests, a_foreign_epoch_is_none_of_ours);
    tcase_add_test(tests, a_ping_is_just_a_ping);
    tcase_add_loop_test(tests, a_wrong_request_is_refused_with_key_and_rule, 0,
                        sizeof bad / sizeof bad[0]);
    tcase_add_test(tests, the_error_can_be_answered_wherever_the_id_stands);
    tcase_add_loop_test(tests, what_is_no_map_is_unreadable, 0,
                        sizeof unreadable / sizeof unreadable[0]);
    tcase_add_test(tests, keys_must_be_strings);
    tcase_add_test(tests, an_id_is_a_short_string_or_an_unsigned_integer);
    tcase_add_test(tests, a_publisher_must_be_utf8_and_short);
    tcase_add_test(tests, no_prefix_of_a_request_decodes);
    tcase_add_test(tests, items_stand_for_themselves);
    tcase_add_test(tests, a_bad_item_names_its_place);
    tcase_add_test(tests, a_payload_that_is_too_deep_spoils_only_its_item);
    tcase_add_test(tests, at_most_1024_items);
    tcase_add_test(tests, requests_have_a_greatest_size);
    tcase_add_test(tests, too_many_values_are_refused);
    tcase_add_test(tests, replies);
    tcase_add_test(tests, a_history_reply_gives_payloads_as_maps);
    tcase_add_test(tests, a_history_reply_holds_the_deepest_payload);
    tcase_add_test(tests, a_body_that_is_not_ours_writes_nothing);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
