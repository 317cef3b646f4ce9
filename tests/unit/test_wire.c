#include "proto/wire.h"

#include "bytes.h"
#include "unit.h"

#define DEPTH 32
#define NODES 1000

static wire_reader_t *reader;
static struct buffer built;

static void setup(void)
{
    reader = wire_reader_new();
    ck_assert_ptr_nonnull(reader);
    built = (struct buffer){0};
}

static void teardown(void)
{
    wire_reader_destroy(&reader);
    ck_assert_ptr_null(reader);
    wire_reader_destroy(&reader);
    buffer_free(&built);
}

static const struct wire_value *read_value(struct span bytes)
{
    const char *why;
    return wire_read(reader, bytes, DEPTH, NODES, &why);
}

static void expect_refused(struct span bytes, const char *expected)
{
    struct span copy = exact_copy(bytes);
    const char *why = NULL;
    ck_assert_ptr_null(wire_read(reader, copy, DEPTH, NODES, &why));
    ck_assert_str_eq(why, expected);
    free_copy(copy);
}

#define CUT      "ends in the middle of a value"
#define TOO_MANY "announces more values than there are bytes"

static const struct {
    const char *bytes;
    size_t size;
    const char *why;
} bad[] = {
#define BAD(literal, why)                                                                          \
    {                                                                                              \
        literal, sizeof(literal) - 1, why                                                          \
    }
    BAD("", "is empty"),
    BAD("\xc1", "holds the reserved msgpack type 0xc1"),
    BAD("\x91\xc1", "holds the reserved msgpack type 0xc1"),
    BAD("\x01\x02", "has bytes behind the value"),
    BAD("\x80\xc0", "has bytes behind the value"),
    BAD("\xdb\xff\xff\xff\xff", CUT),          /* a string of 4 GB */
    BAD("\xc6\xff\xff\xff\xff", CUT),          /* binary */
    BAD("\xc9\xff\xff\xff\xff\x01", CUT),      /* extension */
    BAD("\xdd\xff\xff\xff\xff", TOO_MANY),     /* array */
    BAD("\xdf\xff\xff\xff\xff", TOO_MANY),     /* map */
    BAD("\xdf\x80\x00\x00\x00\x01", TOO_MANY), /* 2^32 values */
    BAD("\x82\x01\x02\x03", TOO_MANY),         /* the last value is missing */
    BAD("\x91\xa2x", CUT),
    BAD("\xdd\x01\x00\x00\x00\xdd\x01\x00\x00\x00", TOO_MANY), /* nested, each of 16 M */
#undef BAD
};

START_TEST(damaged_bytes_are_refused_with_the_reason)
{
    expect_refused(span_of(bad[_i].bytes, bad[_i].size), bad[_i].why);
}
END_TEST

/* Every first byte, followed by zeros: lengths are zero, or items are the number 0. Exactly one
 * size is a whole value; all shorter ones are cut, all longer ones have something behind. */
START_TEST(each_type_has_one_size)
{
    uint8_t bytes[64] = {(uint8_t)_i};
    size_t whole = 0;
    for (size_t size = 1; size <= sizeof bytes; size++) {
        struct span copy = exact_copy(span_of(bytes, size));
        const char *why;
        if (wire_read(reader, copy, DEPTH, NODES, &why)) {
            ck_assert_uint_eq(whole, 0);
            whole = size;
        } else if (_i != 0xc1) {
            bool cut = strcmp(why, CUT) == 0 || strcmp(why, TOO_MANY) == 0;
            ck_assert_msg(cut == (whole == 0), "size %zu: %s", size, why);
        }
        free_copy(copy);
    }
    ck_assert_int_eq(whole == 0, _i == 0xc1);
}
END_TEST

static void build_all_types(void)
{
    wire_put_array(&built, 12);
    wire_put_nil(&built);
    wire_put_bool(&built, true);
    wire_put_bool(&built, false);
    wire_put_uint(&built, UINT64_MAX);
    wire_put_int(&built, INT64_MIN);
    wire_put_double(&built, 1.5);
    wire_put_word(&built, "word");
    wire_put_text(&built, BYTES("a\0b"));
    wire_put_map(&built, 1);
    wire_put_word(&built, "key");
    wire_put_array(&built, 0);
    buffer_put_span(&built, BYTES("\xc4\x02\x01\x02"));     /* bin 8 */
    buffer_put_span(&built, BYTES("\xca\x3f\x00\x00\x00")); /* float 32: 0.5 */
    buffer_put_span(&built, BYTES("\xd4\x05\x01"));         /* fixext 1 */
}

START_TEST(all_types_read_back)
{
    build_all_types();
    const struct wire_value *root = read_value(buffer_span(&built));
    ck_assert_ptr_nonnull(root);
    ck_assert_int_eq(wire_type(root), WIRE_ARRAY);
    ck_assert_uint_eq(wire_count(root), 12);
    ck_assert_int_eq(wire_type(wire_at(root, 0)), WIRE_NIL);
    ck_assert(wire_bool(wire_at(root, 1)));
    ck_assert(!wire_bool(wire_at(root, 2)));
    ck_assert_uint_eq(wire_uint(wire_at(root, 3)), UINT64_MAX);
    ck_assert_int_eq(wire_int(wire_at(root, 4)), INT64_MIN);
    ck_assert(wire_double(wire_at(root, 5)) == 1.5);
    ck_assert(!wire_is_float32(wire_at(root, 5)));
    assert_text(wire_text(wire_at(root, 6)), "word");
    assert_bytes(wire_text(wire_at(root, 7)), BYTES("a\0b"));
    const struct wire_value *map = wire_at(root, 8);
    ck_assert_int_eq(wire_type(map), WIRE_MAP);
    ck_assert_uint_eq(wire_count(map), 1);
    assert_text(wire_text(wire_key_at(map, 0)), "key");
    ck_assert_uint_eq(wire_count(wire_value_at(map, 0)), 0);
    ck_assert_int_eq(wire_type(wire_at(root, 9)), WIRE_BINARY);
    assert_bytes(wire_text(wire_at(root, 9)), BYTES("\1\2"));
    ck_assert_int_eq(wire_type(wire_at(root, 10)), WIRE_DOUBLE);
    ck_assert(wire_is_float32(wire_at(root, 10)));
    ck_assert(wire_double(wire_at(root, 10)) == 0.5);
    ck_assert_int_eq(wire_type(wire_at(root, 11)), WIRE_EXTENSION);
}
END_TEST

START_TEST(no_prefix_reads)
{
    build_all_types();
    for (size_t size = 0; size < built.size; size++) {
        struct span copy = exact_copy(span_of(built.data, size));
        ck_assert_ptr_null(read_value(copy));
        free_copy(copy);
    }
}
END_TEST

START_TEST(a_deep_copy_is_byte_for_byte_the_same)
{
    build_all_types();
    struct buffer copy = {0};
    wire_put_value(&copy, read_value(buffer_span(&built)));
    assert_bytes(buffer_span(&copy), buffer_span(&built));
    buffer_free(&copy);
}
END_TEST

START_TEST(integers_have_a_sign_by_value_not_by_encoding)
{
    /* 5 as int 8, -1 as int 64 */
    const struct wire_value *value = read_value(BYTES("\xd0\x05"));
    ck_assert_int_eq(wire_type(value), WIRE_UINT);
    ck_assert_uint_eq(wire_uint(value), 5);
    value = read_value(BYTES("\xd3\xff\xff\xff\xff\xff\xff\xff\xff"));
    ck_assert_int_eq(wire_type(value), WIRE_INT);
    ck_assert_int_eq(wire_int(value), -1);
}
END_TEST

START_TEST(put_int_writes_positive_numbers_as_unsigned)
{
    wire_put_int(&built, 200);
    assert_bytes(buffer_span(&built), BYTES("\xcc\xc8"));
}
END_TEST

START_TEST(nesting_is_counted_in_containers)
{
    uint8_t nested[DEPTH + 1];
    memset(nested, 0x91, sizeof nested); /* arrays of one, in one another */
    nested[DEPTH - 1] = 0x90;
    const char *why;
    struct span all = span_of(nested, DEPTH);
    ck_assert_ptr_nonnull(wire_read(reader, all, DEPTH, NODES, &why));
    ck_assert_ptr_null(wire_read(reader, all, DEPTH - 1, NODES, &why));
    ck_assert_str_eq(why, "is nested too deep");
    nested[DEPTH - 1] = 0x80;
    ck_assert_ptr_null(wire_read(reader, all, DEPTH - 1, NODES, &why));
    ck_assert_str_eq(why, "is nested too deep");
    nested[DEPTH - 1] = 0x91;
    nested[DEPTH] = 0x05; /* a number is no level */
    ck_assert_ptr_nonnull(wire_read(reader, span_of(nested, DEPTH + 1), DEPTH, NODES, &why));
    ck_assert_ptr_nonnull(wire_read(reader, BYTES("\x05"), 0, 1, &why));
}
END_TEST

START_TEST(a_bomb_of_open_arrays_is_refused)
{
    uint8_t bomb[100000];
    memset(bomb, 0x91, sizeof bomb);
    expect_refused(span_of(bomb, sizeof bomb), "is nested too deep");
}
END_TEST

START_TEST(values_are_counted_with_their_containers)
{
    const char *why;
    ck_assert_ptr_nonnull(wire_read(reader, BYTES("\x93\1\2\3"), DEPTH, 4, &why));
    ck_assert_ptr_null(wire_read(reader, BYTES("\x93\1\2\3"), DEPTH, 3, &why));
    ck_assert_str_eq(why, "holds too many values");
    ck_assert_ptr_null(wire_read(reader, BYTES("\x81\1\2"), DEPTH, 2, &why));
}
END_TEST

START_TEST(a_reader_is_good_for_many_reads)
{
    const char *why;
    wire_put_array(&built, 20000);
    for (unsigned i = 0; i < 20000; i++)
        wire_put_uint(&built, i);
    for (unsigned round = 0; round < 50; round++) {
        const struct wire_value *big = wire_read(reader, buffer_span(&built), DEPTH, 20001, &why);
        ck_assert_ptr_nonnull(big);
        ck_assert_uint_eq(wire_uint(wire_at(big, 19999)), 19999);
        ck_assert_ptr_null(read_value(BYTES("\x92")));
        ck_assert_uint_eq(wire_uint(read_value(BYTES("\x07"))), 7);
    }
}
END_TEST

START_TEST(writing_to_a_failed_buffer_does_nothing)
{
    wire_put_uint(&built, 1);
    built.failed = true;
    wire_put_word(&built, "more");
    wire_put_map(&built, 3);
    assert_bytes(buffer_span(&built), BYTES("\x01"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("wire");
    TCase *tests = tcase_create("all");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_loop_test(tests, damaged_bytes_are_refused_with_the_reason, 0,
                        sizeof bad / sizeof bad[0]);
    tcase_add_loop_test(tests, each_type_has_one_size, 0, 256);
    tcase_add_test(tests, all_types_read_back);
    tcase_add_test(tests, no_prefix_reads);
    tcase_add_test(tests, a_deep_copy_is_byte_for_byte_the_same);
    tcase_add_test(tests, integers_have_a_sign_by_value_not_by_encoding);
    tcase_add_test(tests, put_int_writes_positive_numbers_as_unsigned);
    tcase_add_test(tests, nesting_is_counted_in_containers);
    tcase_add_test(tests, a_bomb_of_open_arrays_is_refused);
    tcase_add_test(tests, values_are_counted_with_their_containers);
    tcase_add_test(tests, a_reader_is_good_for_many_reads);
    tcase_add_test(tests, writing_to_a_failed_buffer_does_nothing);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
