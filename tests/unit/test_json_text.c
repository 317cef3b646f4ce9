#include "proto/json_text.h"

#include <float.h>
#include <math.h>
#include <stdio.h>

#include "bytes.h"
#include "proto/json_doc.h"
#include "proto/limits.h"
#include "unit.h"

static wire_reader_t *reader;
static struct buffer bytes, text, why;

static void setup(void)
{
    reader = wire_reader_new();
    ck_assert_ptr_nonnull(reader);
    bytes = text = why = (struct buffer){0};
}

static void teardown(void)
{
    wire_reader_destroy(&reader);
    buffer_free(&bytes);
    buffer_free(&text);
    buffer_free(&why);
}

static bool convert(struct span message)
{
    const char *wrong = NULL;
    const struct wire_value *value = wire_read(reader, message, 32, 100000, &wrong);
    ck_assert_msg(value != NULL, "%s", wrong);
    return json_text_from_wire(&text, value, "payload", LIMIT_PAYLOAD_DEPTH, &why);
}

#define MSGPACK(literal) literal, sizeof(literal) - 1

static const struct {
    const char *bytes;
    size_t size;
    const char *text;
} good[] = {
    {MSGPACK("\x80"), "{}"},
    {MSGPACK("\x81\xa1k\xc0"), "{\"k\":null}"},
    {MSGPACK("\x82\xa1k\xc3\xa1l\xc2"), "{\"k\":true,\"l\":false}"},
    {MSGPACK("\x81\xa0\xa0"), "{\"\":\"\"}"},
    {MSGPACK("\x93\x00\x7f\xff"), "[0,127,-1]"},
    {MSGPACK("\xcf\x7f\xff\xff\xff\xff\xff\xff\xff"), "9223372036854775807"},
    {MSGPACK("\xd3\x80\x00\x00\x00\x00\x00\x00\x00"), "-9223372036854775808"},
    {MSGPACK("\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00"), "1.0"},
    {MSGPACK("\xcb\x3f\xb9\x99\x99\x99\x99\x99\x9a"), "0.1"},
    {MSGPACK("\xca\x3d\xcc\xcc\xcd"), "0.1"},
    {MSGPACK("\x92\x90\x91\x80"), "[[],[{}]]"},
    {MSGPACK("\xa3\"\\/"), "\"\\\"\\\\/\""},
    {MSGPACK("\xa7\b\t\n\f\r\x00\x1f"), "\"\\b\\t\\n\\f\\r\\u0000\\u001f\""},
    {MSGPACK("\xab\x7f\xc2\x80\xe2\x80\xa8\xf0\x9f\x98\x80 "),
     "\"\x7f\xc2\x80\xe2\x80\xa8\xf0\x9f\x98\x80 \""},
    {MSGPACK("\xb0"
             "0123456789abcde\""),
     "\"0123456789abcde\\\"\""},
    {MSGPACK("\x81\xa3"
             "a\"b\x01"),
     "{\"a\\\"b\":1}"},
};

START_TEST(values_become_json)
{
    ck_assert(convert(span_of(good[_i].bytes, good[_i].size)));
    assert_text(buffer_span(&text), good[_i].text);
    ck_assert_uint_eq(why.size, 0);
}
END_TEST

#define SMALL                                                                                      \
    "\x8f"                                                                                         \
    "\xa1"                                                                                         \
    "a\x01\xa1"                                                                                    \
    "b\x01\xa1"                                                                                    \
    "c\x01\xa1"                                                                                    \
    "d\x01\xa1"                                                                                    \
    "e\x01\xa1"                                                                                    \
    "f\x01\xa1"                                                                                    \
    "g\x01\xa1"                                                                                    \
    "h\x01"                                                                                        \
    "\xa1"                                                                                         \
    "i\x01\xa1"                                                                                    \
    "j\x01\xa1"                                                                                    \
    "k\x01\xa1"                                                                                    \
    "l\x01\xa1"                                                                                    \
    "m\x01\xa1"                                                                                    \
    "n\x01"

static const struct {
    const char *bytes;
    size_t size;
    const char *why;
} bad[] = {
    {MSGPACK("\xc4\x01x"), "payload: binary values have no JSON form"},
    {MSGPACK("\xd4\x01x"), "payload: extension types have no JSON form"},
    {MSGPACK("\x81\x01\x02"), "payload: keys must be strings"},
    {MSGPACK("\x81\xc4\x01x\x02"), "payload: keys must be strings"},
    {MSGPACK("\x81\xa1\x00\x02"), "payload: keys must not contain U+0000"},
    {MSGPACK("\x82\xa1k\x01\xa1k\x02"), "payload: the key \"k\" occurs twice"},
    {MSGPACK("\x82\xa0\x01\xa0\x02"), "payload: the key \"\" occurs twice"},
    {MSGPACK(SMALL "\xa1"
                   "a\x01"),
     "payload: the key \"a\" occurs twice"},
    {MSGPACK("\x81\xa1k\xa1\xff"), "payload.k: not valid UTF-8"},
    {MSGPACK("\x81\xa1\xff\x01"), "payload: a key is not valid UTF-8"},
    {MSGPACK("\xcf\x80\x00\x00\x00\x00\x00\x00\x00"),
     "payload: integers above 9223372036854775807 are not supported"},
    {MSGPACK("\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00"),
     "payload: NaN and infinities have no JSON form"},
    {MSGPACK("\xcb\xff\xf0\x00\x00\x00\x00\x00\x00"),
     "payload: NaN and infinities have no JSON form"},
    {MSGPACK("\xca\x7f\x80\x00\x00"), "payload: NaN and infinities have no JSON form"},
    {MSGPACK("\x81\xa4user\x81\xa4tags\x94\x01\x02\x03\xc4\x00"),
     "payload.user.tags[3]: binary values have no JSON form"},
    {MSGPACK("\x81\xa3"
             "a b\x92\xc0\x81\xa4_-9Z\xc4\x00"),
     "payload[\"a b\"][1]._-9Z: binary values have no JSON form"},
    {MSGPACK("\x81\xa2\n\"\xc4\x00"), "payload[\"\\n\\\"\"]: binary values have no JSON form"},
    {MSGPACK("\x92\xa5"
             "first\x81\x01\x01"),
     "payload[1]: keys must be strings"},
};

START_TEST(what_has_no_json_form_is_refused_with_its_place)
{
    buffer_put_text(&text, "before");
    ck_assert(!convert(span_of(bad[_i].bytes, bad[_i].size)));
    assert_text(buffer_span(&why), bad[_i].why);
    assert_text(buffer_span(&text), "before");
}
END_TEST

static void build_nested(size_t depth, bool maps)
{
    for (size_t i = 1; i < depth; i++)
        buffer_put_text(&bytes, maps ? "\x81\xa1k" : "\x91");
    buffer_put_byte(&bytes, maps ? 0x80 : 0x90);
}

START_TEST(sixteen_levels_are_allowed)
{
    build_nested(16, _i);
    ck_assert(convert(buffer_span(&bytes)));
}
END_TEST

START_TEST(seventeen_levels_are_refused_with_the_place)
{
    build_nested(17, false);
    ck_assert(!convert(buffer_span(&bytes)));
    assert_text(buffer_span(&why), "payload[0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0]: "
                                   "nested deeper than 16 levels");
    buffer_reset(&bytes);
    build_nested(17, true);
    ck_assert(!convert(buffer_span(&bytes)));
}
END_TEST

static void put_many_keys(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        char key[16];
        snprintf(key, sizeof key, "key %u", i);
        wire_put_word(&bytes, key);
        wire_put_uint(&bytes, i);
    }
}

START_TEST(a_big_map_may_have_no_key_twice_either)
{
    /* the last one sorts before all others */
    static const char *const twins[] = {"key 0", "key 4711", "key 4999", "a"};
    wire_put_map(&bytes, 1 + 5000 + 1);
    wire_put_word(&bytes, "a");
    wire_put_nil(&bytes);
    put_many_keys(5000);
    wire_put_word(&bytes, twins[_i]);
    wire_put_nil(&bytes);
    ck_assert(!convert(buffer_span(&bytes)));
    char expected[64];
    snprintf(expected, sizeof expected, "payload: the key \"%s\" occurs twice", twins[_i]);
    assert_text(buffer_span(&why), expected);
}
END_TEST

START_TEST(a_big_map_without_twins_keeps_its_order)
{
    wire_put_map(&bytes, 5000 + 1);
    put_many_keys(5000);
    wire_put_word(&bytes, "key");
    wire_put_nil(&bytes);
    ck_assert(convert(buffer_span(&bytes)));
    assert_text(span_of(text.data, 33), "{\"key 0\":0,\"key 1\":1,\"key 2\":2,\"k");
    assert_text(span_of(text.data + text.size - 12, 12), ",\"key\":null}");
}
END_TEST

START_TEST(long_keys_are_cut_in_errors)
{
    char key[200];
    memset(key, 'k', sizeof key);
    wire_put_map(&bytes, 1);
    wire_put_text(&bytes, span_of(key, sizeof key));
    buffer_put_span(&bytes, BYTES("\xc4\x00"));
    ck_assert(!convert(buffer_span(&bytes)));
    ck_assert_uint_lt(why.size, 150);
    ck_assert(utf8_valid(buffer_span(&why), NULL));
}
END_TEST

/* A character that must be escaped or is not ASCII at every position of strings around the size of
 * a machine word, so that each path of the scanner meets it. */
START_TEST(escapes_are_found_at_every_position)
{
    static const struct {
        const char *in, *out;
    } specials[] = {{"\"", "\\\""}, {"\\", "\\\\"}, {"\n", "\\n"},           {"\x1f", "\\u001f"},
                    {" ", " "},     {"~", "~"},     {"\xc3\xa4", "\xc3\xa4"}};
    const char *in = specials[_i].in, *out = specials[_i].out;
    for (size_t size = 0; size < 40; size++) {
        for (size_t at = 0; at <= size; at++) {
            struct buffer source = {0}, expected = {0};
            buffer_put_byte(&expected, '"');
            for (size_t i = 0; i <= size; i++) {
                buffer_put_text(&source, i == at ? in : "!");
                buffer_put_text(&expected, i == at ? out : "!");
            }
            buffer_put_byte(&expected, '"');
            struct span copy = exact_copy(buffer_span(&source));
            buffer_reset(&text);
            ck_assert(json_text_string(&text, copy));
            assert_bytes(buffer_span(&text), buffer_span(&expected));
            free_copy(copy);
            buffer_free(&source);
            buffer_free(&expected);
        }
    }
}
END_TEST

#define UTF8(literal, count)                                                                       \
    {                                                                                              \
        literal, sizeof(literal) - 1, count                                                        \
    }

static const struct {
    const char *text;
    size_t size;
    size_t codepoints; /* SIZE_MAX: not valid */
} utf8[] = {
    UTF8("", 0),
    UTF8("a\0b", 3),
    UTF8("\x7f", 1),
    UTF8("\xc2\x80", 1),
    UTF8("\xdf\xbf", 1),
    UTF8("\xe0\xa0\x80", 1),
    UTF8("\xed\x9f\xbf", 1),
    UTF8("\xee\x80\x80", 1),
    UTF8("\xef\xbf\xbf", 1),
    UTF8("\xf0\x90\x80\x80", 1),
    UTF8("\xf4\x8f\xbf\xbf", 1),
    UTF8("x\xc3\xa4y\xf0\x9f\x98\x80", 4),
    UTF8("\x80", SIZE_MAX), /* a tail alone */
    UTF8("\xbf", SIZE_MAX),
    UTF8("\xc0\x80", SIZE_MAX), /* overlong */
    UTF8("\xc1\xbf", SIZE_MAX),
    UTF8("\xe0\x80\x80", SIZE_MAX),
    UTF8("\xe0\x9f\xbf", SIZE_MAX),
    UTF8("\xf0\x80\x80\x80", SIZE_MAX),
    UTF8("\xf0\x8f\xbf\xbf", SIZE_MAX),
    UTF8("\xed\xa0\x80", SIZE_MAX), /* surrogates */
    UTF8("\xed\xbf\xbf", SIZE_MAX),
    UTF8("\xf4\x90\x80\x80", SIZE_MAX), /* above U+10FFFF */
    UTF8("\xf5\x80\x80\x80", SIZE_MAX),
    UTF8("\xff", SIZE_MAX),
    UTF8("\xc3", SIZE_MAX), /* cut */
    UTF8("\xe2\x82", SIZE_MAX),
    UTF8("\xf0\x9f\x98", SIZE_MAX),
    UTF8("\xc3 ", SIZE_MAX), /* no tail */
    UTF8("\xe2\x82 ", SIZE_MAX),
    UTF8("\xf0\x9f\x98 ", SIZE_MAX),
    UTF8("\xe2 \x82", SIZE_MAX),
    UTF8("\xf0\x9f \x98", SIZE_MAX),
    UTF8("12345678\xff", SIZE_MAX),
};

START_TEST(utf8_is_strict)
{
    struct span copy = exact_copy(span_of(utf8[_i].text, utf8[_i].size));
    bool valid = utf8[_i].codepoints != SIZE_MAX;
    size_t codepoints = 0;
    ck_assert_int_eq(utf8_valid(copy, &codepoints), valid);
    ck_assert_int_eq(utf8_valid(copy, NULL), valid);
    if (valid)
        ck_assert_uint_eq(codepoints, utf8[_i].codepoints);
    buffer_put_text(&text, "before");
    ck_assert_int_eq(json_text_string(&text, copy), valid);
    if (!valid)
        assert_text(buffer_span(&text), "before");
    free_copy(copy);
}
END_TEST

START_TEST(an_echo_is_quoted_cut_and_always_valid)
{
    json_text_echo(&text, BYTES("a\"\n\xff\xc3\xa4"));
    assert_text(buffer_span(&text), "\"a\\\"\\n\xef\xbf\xbd\xc3\xa4\"");
    for (size_t before = JSON_TEXT_ECHO_BYTES - 4; before <= JSON_TEXT_ECHO_BYTES; before++) {
        struct buffer source = {0};
        for (size_t i = 0; i < before; i++)
            buffer_put_byte(&source, 'x');
        buffer_put_text(&source, "\xf0\x9f\x98\x80\xf0\x9f\x98\x80");
        buffer_reset(&text);
        json_text_echo(&text, buffer_span(&source));
        ck_assert(utf8_valid(buffer_span(&text), NULL));
        ck_assert_uint_le(text.size, JSON_TEXT_ECHO_BYTES + 10);
        assert_text(span_of(text.data + text.size - 4, 4), "...\"");
        buffer_free(&source);
    }
}
END_TEST

static void build_everything(void)
{
    wire_put_map(&bytes, 8);
    wire_put_word(&bytes, "nil");
    wire_put_nil(&bytes);
    wire_put_word(&bytes, "bools");
    wire_put_array(&bytes, 2);
    wire_put_bool(&bytes, true);
    wire_put_bool(&bytes, false);
    wire_put_word(&bytes, "integers");
    wire_put_array(&bytes, 5);
    wire_put_uint(&bytes, 0);
    wire_put_uint(&bytes, INT64_MAX);
    wire_put_int(&bytes, INT64_MIN);
    wire_put_int(&bytes, -1);
    wire_put_uint(&bytes, 65536);
    wire_put_word(&bytes, "doubles");
    wire_put_array(&bytes, 6);
    wire_put_double(&bytes, 0.0);
    wire_put_double(&bytes, -0.0);
    wire_put_double(&bytes, 1e100);
    wire_put_double(&bytes, DBL_TRUE_MIN);
    wire_put_double(&bytes, 3.0);
    wire_put_double(&bytes, 0.1);
    wire_put_word(&bytes, "text");
    wire_put_text(&bytes, BYTES("a\0\x1f\"\\/\xe2\x80\xa9\xf0\x9f\x98\x80"));
    wire_put_word(&bytes, "");
    wire_put_word(&bytes, "");
    wire_put_word(&bytes, "map");
    wire_put_map(&bytes, 1);
    wire_put_word(&bytes, "\n");
    wire_put_map(&bytes, 0);
    wire_put_word(&bytes, "array");
    wire_put_array(&bytes, 0);
}

START_TEST(msgpack_to_json_and_back_is_the_same)
{
    build_everything();
    ck_assert(convert(buffer_span(&bytes)));
    ck_assert_ptr_null(memchr(text.data, '\n', text.size));
    json_doc_t *doc = json_doc_parse(buffer_span(&text), LIMIT_PAYLOAD_DEPTH, &why);
    ck_assert_ptr_nonnull(doc);
    struct buffer back = {0};
    json_to_wire(&back, json_doc_root(doc));
    assert_bytes(buffer_span(&back), buffer_span(&bytes));
    buffer_free(&back);
    json_doc_destroy(&doc);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("json_text");
    TCase *tests = tcase_create("all");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_loop_test(tests, values_become_json, 0, sizeof good / sizeof good[0]);
    tcase_add_loop_test(tests, what_has_no_json_form_is_refused_with_its_place, 0,
                        sizeof bad / sizeof bad[0]);
    tcase_add_loop_test(tests, sixteen_levels_are_allowed, 0, 2);
    tcase_add_test(tests, seventeen_levels_are_refused_with_the_place);
    tcase_add_loop_test(tests, a_big_map_may_have_no_key_twice_either, 0, 4);
    tcase_add_test(tests, a_big_map_without_twins_keeps_its_order);
    tcase_add_test(tests, long_keys_are_cut_in_errors);
    tcase_add_loop_test(tests, escapes_are_found_at_every_position, 0, 7);
    tcase_add_loop_test(tests, utf8_is_strict, 0, sizeof utf8 / sizeof utf8[0]);
    tcase_add_test(tests, an_echo_is_quoted_cut_and_always_valid);
    tcase_add_test(tests, msgpack_to_json_and_back_is_the_same);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
