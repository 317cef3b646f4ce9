#include "proto/json_doc.h"

#include "bytes.h"
#include "proto/json_text.h"
#include "unit.h"

#define DEPTH 4

static struct buffer why;

static void setup(void)
{
    why = (struct buffer){0};
}

static void teardown(void)
{
    buffer_free(&why);
}

static json_doc_t *parse(struct span text)
{
    struct span copy = exact_copy(text);
    json_doc_t *doc = json_doc_parse(copy, DEPTH, &why);
    free_copy(copy);
    return doc;
}

#define TEXT(literal) literal, sizeof(literal) - 1

static const struct {
    const char *text;
    size_t size;
    const char *why; /* how it begins */
} bad[] = {
    {TEXT(""), "line 1, column 1: there is no value"},
    {TEXT(" "), "line 1, column 1: "},
    {TEXT("{"), "line 1, column 1: "},
    {TEXT("{\"a\":1,}"), "line 1, column 8: "},
    {TEXT("{a:1}"), "line 1, column 2: "},
    {TEXT("{'a':1}"), "line 1, column 2: "},
    {TEXT("[1 2]"), "line 1, column 4: "},
    {TEXT("[1,]"), "line 1, column 4: "},
    {TEXT("{}{}"), "line 1, column 3: end of file expected"},
    {TEXT("{} x"), "line 1, column 4: end of file expected"},
    {TEXT("{}\0"), "line 1, column 3: "},
    {TEXT("\xef\xbb\xbf{}"), "line 1, column 1: "},
    {TEXT("{\"a\":1,\"a\":2}"), "line 1, column 10: duplicate object key"},
    {TEXT("{\n \"a\":\n01}"), "line 3, column 1: "},
    {TEXT("\"\xff\""), "line 1, column "},
    {TEXT("\"\xed\xa0\x80\""), "line 1, column "},
    {TEXT("\"\xc0\x80\""), "line 1, column "},
    {TEXT("\"\\ud800\""), "line 1, column "},
    {TEXT("\"a\nb\""), "line 1, column "},
    {TEXT("\"\\u00\xd0\xa3"), "line 1, column 6: invalid escape"}, /* quoted up to \xd0 */
    {TEXT("\"\\x41\""), "line 1, column "},
    {TEXT("{\"\\u0000\":1}"), "line 1, column "},
    {TEXT("9223372036854775808"), "line 1, column "},
    {TEXT("1e999"), "line 1, column "},
    {TEXT("NaN"), "line 1, column "},
    {TEXT("Infinity"), "line 1, column "},
    {TEXT("+1"), "line 1, column "},
    {TEXT(".5"), "line 1, column "},
    {TEXT("0x10"), "line 1, column "},
    {TEXT("// no\n1"), "line 1, column "},
    {TEXT("[[[[[]]]]]"), "line 1, column 5: nested deeper than 4 levels"},
    {TEXT("{\"a\":\n[[\n [ {}]]]}"), "line 3, column 4: nested deeper than 4 levels"},
    {TEXT("[\"\\\"[[[[[\", [[[[1]]]]]"), "line 1, column 16: nested deeper than 4 levels"},
};

START_TEST(what_is_no_strict_json_is_refused_with_the_place)
{
    ck_assert_ptr_null(parse(span_of(bad[_i].text, bad[_i].size)));
    size_t size = strlen(bad[_i].why);
    ck_assert_msg(why.size >= size && memcmp(why.data, bad[_i].why, size) == 0, "%.*s",
                  (int)why.size, (const char *)why.data);
    ck_assert(utf8_valid(buffer_span(&why), NULL));
}
END_TEST

START_TEST(a_bomb_is_refused_before_it_is_parsed)
{
    size_t size = 1000000;
    char *bomb = malloc(size);
    ck_assert_ptr_nonnull(bomb);
    memset(bomb, '[', size);
    ck_assert_ptr_null(json_doc_parse(span_of(bomb, size), 100, &why));
    assert_text(buffer_span(&why), "line 1, column 101: nested deeper than 100 levels");
    free(bomb);
}
END_TEST

START_TEST(depth_counts_containers_outside_strings)
{
    static const char *const texts[] = {"[[[[]]]]", "{\"a\":{\"b\":{\"c\":{}}}}",
                                        "[[],[],[],[],[],[]]", "\"[[[[[[{{{{\"",
                                        "[\"\\\\\",[[[]]]]"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        json_doc_t *doc = parse(span_text(texts[i]));
        ck_assert_msg(doc != NULL, "%s: %.*s", texts[i], (int)why.size, (const char *)why.data);
        json_doc_destroy(&doc);
    }
}
END_TEST

START_TEST(types_and_values)
{
    json_doc_t *doc = parse(span_text("{\"n\":null,\"t\":true,\"f\":false,\"i\":-7,\"r\":1.0,"
                                      "\"s\":\"x\\u0000y\",\"a\":[1],\"o\":{}}"));
    ck_assert_ptr_nonnull(doc);
    const struct json_value *root = json_doc_root(doc);
    ck_assert_int_eq(json_type_of(root), JSON_TYPE_OBJECT);
    ck_assert_int_eq(json_type_of(json_member(root, "n")), JSON_TYPE_NULL);
    ck_assert_int_eq(json_type_of(json_member(root, "t")), JSON_TYPE_BOOL);
    ck_assert(json_bool_of(json_member(root, "t")));
    ck_assert(!json_bool_of(json_member(root, "f")));
    ck_assert_int_eq(json_type_of(json_member(root, "i")), JSON_TYPE_INT);
    ck_assert_int_eq(json_int_of(json_member(root, "i")), -7);
    ck_assert_double_eq(json_number_of(json_member(root, "i")), -7);
    ck_assert_double_eq(json_number_of(json_member(root, "t")), 0);
    ck_assert_double_eq(json_number_of(NULL), 0);
    ck_assert_int_eq(json_type_of(json_member(root, "r")), JSON_TYPE_REAL);
    ck_assert_int_eq(json_type_of(json_member(root, "s")), JSON_TYPE_STRING);
    assert_bytes(json_string_of(json_member(root, "s")), BYTES("x\0y"));
    ck_assert_int_eq(json_type_of(json_member(root, "a")), JSON_TYPE_ARRAY);
    ck_assert_int_eq(json_type_of(json_member(root, "o")), JSON_TYPE_OBJECT);
    ck_assert_ptr_null(json_member(root, "absent"));
    ck_assert_ptr_null(json_member(json_member(root, "a"), "n"));
    json_doc_destroy(&doc);
    ck_assert_ptr_null(doc);
    json_doc_destroy(&doc);
}
END_TEST

START_TEST(members_come_in_the_order_of_the_document)
{
    json_doc_t *doc = parse(span_text("{\"z\":1,\"a\":2,\"\":3,\"m\":4}"));
    const struct json_value *root = json_doc_root(doc);
    const char *const names[] = {"z", "a", "", "m"};
    int64_t count = 0;
    for (const void *at = json_first(root); at; at = json_next(root, at)) {
        assert_text(json_name_at(at), names[count]);
        count++;
        ck_assert_int_eq(json_int_of(json_value_at(at)), count);
    }
    ck_assert_int_eq(count, 4);
    json_doc_destroy(&doc);

    doc = parse(span_text("{}"));
    ck_assert_ptr_null(json_first(json_doc_root(doc)));
    json_doc_destroy(&doc);
}
END_TEST

START_TEST(it_becomes_msgpack)
{
    json_doc_t *doc = parse(span_text("{\"a\":[null,true,false,1,-1,300],\"b\":{\"c\":\"d\"},"
                                      "\"e\":0.5}"));
    struct buffer bytes = {0};
    json_to_wire(&bytes, json_doc_root(doc));
    assert_bytes(buffer_span(&bytes), BYTES("\x83\xa1"
                                            "a\x96\xc0\xc3\xc2\x01\xff\xcd\x01\x2c\xa1"
                                            "b\x81\xa1"
                                            "c\xa1"
                                            "d\xa1"
                                            "e\xcb\x3f\xe0\0\0\0\0\0\0"));
    buffer_free(&bytes);
    json_doc_destroy(&doc);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("json_doc");
    TCase *tests = tcase_create("all");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_loop_test(tests, what_is_no_strict_json_is_refused_with_the_place, 0,
                        sizeof bad / sizeof bad[0]);
    tcase_add_test(tests, a_bomb_is_refused_before_it_is_parsed);
    tcase_add_test(tests, depth_counts_containers_outside_strings);
    tcase_add_test(tests, types_and_values);
    tcase_add_test(tests, members_come_in_the_order_of_the_document);
    tcase_add_test(tests, it_becomes_msgpack);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
