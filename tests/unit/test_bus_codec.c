#include "proto/bus_codec.h"

#include <stdio.h>

#include "bytes.h"
#include "unit.h"

/* Every frame and part of the table is filled with values that differ from field to field. */
struct filler {
    uint64_t next;
    char text[8][40]; /* no frame has more */
    size_t texts;
};

static uint64_t fill_number(struct filler *self)
{
    self->next = self->next * 6364136223846793005u + 1442695040888963407u;
    return self->next;
}

static struct span fill_bytes(struct filler *self)
{
    char *text = self->text[self->texts];
    snprintf(text, sizeof self->text[0], "text %zu", self->texts);
    text[2] = '\0'; /* the codec does not care what bytes are */
    self->texts++;
    return span_of(text, 6);
}

#define FILL_U8(name)    in.name = (uint8_t)fill_number(&filler);
#define FILL_U16(name)   in.name = (uint16_t)fill_number(&filler);
#define FILL_U32(name)   in.name = (uint32_t)fill_number(&filler);
#define FILL_U64(name)   in.name = fill_number(&filler);
#define FILL_BYTES(name) in.name = fill_bytes(&filler);
#define SAME_U(name)     ck_assert_uint_eq(out.name, in.name);
#define SAME_BYTES(name) assert_bytes(out.name, in.name);
#define FILL(name)                                                                                 \
    struct filler filler = {.next = 1};                                                            \
    struct bus_##name in;                                                                          \
    BUS_FIELDS_##name(FILL_U8, FILL_U16, FILL_U32, FILL_U64, FILL_BYTES, FILL_BYTES)
#define ASSERT_SAME(name) BUS_FIELDS_##name(SAME_U, SAME_U, SAME_U, SAME_U, SAME_BYTES, SAME_BYTES)

#define BUS_FRAME(name, NAME, type)                                                                \
    static void check_##name(void)                                                                 \
    {                                                                                              \
        FILL(name)                                                                                 \
        struct buffer frame = {0};                                                                 \
        bus_put_##name(&frame, &in);                                                               \
        ck_assert_uint_eq(bus_frame_type(buffer_span(&frame)), BUS_##NAME);                        \
        struct bus_##name out;                                                                     \
        for (size_t size = 0; size <= frame.size; size++) {                                        \
            struct span copy = exact_copy(span_of(frame.data, size));                              \
            ck_assert_int_eq(bus_get_##name(copy, &out), size == frame.size);                      \
            if (size == frame.size) {                                                              \
                ASSERT_SAME(name)                                                                  \
            }                                                                                      \
            free_copy(copy);                                                                       \
        }                                                                                          \
        buffer_put_byte(&frame, 0);                                                                \
        ck_assert(!bus_get_##name(buffer_span(&frame), &out));                                     \
        frame.data[0] ^= 0x40;                                                                     \
        ck_assert(!bus_get_##name(span_of(frame.data, frame.size - 1), &out));                     \
        buffer_free(&frame);                                                                       \
    }
#define BUS_PART(name)                                                                             \
    static void check_##name(void)                                                                 \
    {                                                                                              \
        FILL(name)                                                                                 \
        struct buffer part = {0};                                                                  \
        bus_put_##name(&part, &in);                                                                \
        struct bus_##name out;                                                                     \
        for (size_t size = 0; size < part.size; size++) {                                          \
            struct span copy = exact_copy(span_of(part.data, size));                               \
            struct span rest = copy;                                                               \
            ck_assert(!bus_next_##name(&rest, &out));                                              \
            free_copy(copy);                                                                       \
        }                                                                                          \
        buffer_put_byte(&part, 0x77);                                                              \
        struct span rest = buffer_span(&part);                                                     \
        ck_assert(bus_next_##name(&rest, &out));                                                   \
        ASSERT_SAME(name)                                                                          \
        assert_bytes(rest, BYTES("\x77"));                                                         \
        buffer_free(&part);                                                                        \
    }
#include "proto/bus_frames.def"
#undef BUS_FRAME
#undef BUS_PART

START_TEST(each_frame_reads_back_whole_and_no_prefix_of_it_does)
{
#define BUS_FRAME(name, NAME, type) check_##name();
#include "proto/bus_frames.def"
#undef BUS_FRAME
}
END_TEST

START_TEST(each_part_reads_back_and_no_prefix_of_it_does)
{
#define BUS_PART(name) check_##name();
#include "proto/bus_frames.def"
#undef BUS_PART
}
END_TEST

START_TEST(the_layout_on_the_wire_does_not_change)
{
    struct buffer frame = {0};
    bus_put_hello(&frame, &(struct bus_hello){.version = 1,
                                              .gateway = span_text("gw"),
                                              .incarnation = 0x0102030405060708,
                                              .broker = 9,
                                              .revoked = 10,
                                              .started_ms = 11});
    assert_bytes(buffer_span(&frame), BYTES("\1\0\1\0\2gw\1\2\3\4\5\6\7\x8"
                                            "\0\0\0\0\0\0\0\x9\0\0\0\0\0\0\0\xa"
                                            "\0\0\0\0\0\0\0\xb"));
    buffer_reset(&frame);
    bus_put_ask(&frame, &(struct bus_ask){.count = 2, .items = span_text("abc")});
    assert_bytes(buffer_span(&frame), BYTES("\4\0\2\0\0\0\3abc"));
    buffer_free(&frame);
}
END_TEST

START_TEST(a_hello_of_any_version_tells_its_version)
{
    ck_assert_uint_eq(bus_hello_version(BYTES("\1\0\3\0\2gw and what 3 had behind it")), 3);
    ck_assert_uint_eq(bus_hello_version(BYTES("\1\xff\xfe")), 0xfffe);
    ck_assert_uint_eq(bus_hello_version(BYTES("\1\0")), 0);
    ck_assert_uint_eq(bus_hello_version(BYTES("\2\0\3\0\2gw")), 0);
    ck_assert_uint_eq(bus_hello_version(span_of(NULL, 0)), 0);
}
END_TEST

START_TEST(an_unknown_type_is_no_frame)
{
    ck_assert_uint_eq(bus_frame_type(span_of(NULL, 0)), 0);
    ck_assert_uint_eq(bus_frame_type(BYTES("\0")), 0);
    ck_assert_uint_eq(bus_frame_type(BYTES("\xff")), 0);
    ck_assert_uint_eq(bus_frame_type(BYTES("\1")), BUS_HELLO);
}
END_TEST

START_TEST(a_length_beyond_the_end_is_refused)
{
    struct bus_ask ask;
    ck_assert(!bus_get_ask(BYTES("\4\0\1\xff\xff\xff\xffxxxx"), &ask));
    struct bus_hello hello;
    ck_assert(!bus_get_hello(BYTES("\1\0\1\xff\xffxxxxxxxxxx"), &hello));
}
END_TEST

/* Stands for common/address: one byte tells the size. */
static size_t toy_address_size(struct span bytes)
{
    if (bytes.size == 0 || bytes.data[0] == 0 || bytes.data[0] > bytes.size)
        return 0;
    return bytes.data[0];
}

START_TEST(a_delivery_reads_back)
{
    uint8_t message[64];
    size_t head = bus_write_delivery_head(message, BYTES("\3ab"), 0x1122334455667788, 9);
    ck_assert_uint_eq(head, 17 + 3);
    memcpy(message + head, "body", 4);
    assert_bytes(span_of(message, head + 4),
                 BYTES("P\3ab\x11\x22\x33\x44\x55\x66\x77\x88\0\0\0\0\0\0\0\x9"
                       "body"));
    for (size_t size = 0; size <= head + 4; size++) {
        struct span copy = exact_copy(span_of(message, size));
        struct bus_delivery out;
        ck_assert_int_eq(bus_get_delivery(copy, toy_address_size, &out), size >= head);
        if (size >= head) {
            assert_bytes(out.address, BYTES("\3ab"));
            ck_assert_uint_eq(out.epoch, 0x1122334455667788);
            ck_assert_uint_eq(out.offset, 9);
            assert_bytes(out.body, span_of("body", size - head));
        }
        free_copy(copy);
    }
}
END_TEST

START_TEST(a_delivery_with_a_bad_address_or_kind_is_refused)
{
    struct bus_delivery out;
    ck_assert(!bus_get_delivery(BYTES("P\0................"), toy_address_size, &out));
    ck_assert(!bus_get_delivery(BYTES("P\x7f................"), toy_address_size, &out));
    ck_assert(!bus_get_delivery(BYTES("F\3ab................"), toy_address_size, &out));
}
END_TEST

START_TEST(fences_and_canaries_read_back_and_are_not_mistaken)
{
    uint8_t fence[BUS_FENCE_BYTES], canary[BUS_CANARY_BYTES];
    bus_write_fence(fence, 7, UINT64_MAX);
    bus_write_canary(canary, 0x0102030405060708, 3);
    uint64_t first, second;
    ck_assert(bus_get_fence(span_of(fence, sizeof fence), &first, &second));
    ck_assert_uint_eq(first, 7);
    ck_assert_uint_eq(second, UINT64_MAX);
    ck_assert(bus_get_canary(span_of(canary, sizeof canary), &first, &second));
    ck_assert_uint_eq(first, 0x0102030405060708);
    ck_assert_uint_eq(second, 3);
    ck_assert(!bus_get_fence(span_of(canary, sizeof canary), &first, &second));
    ck_assert(!bus_get_canary(span_of(fence, sizeof fence), &first, &second));
    uint8_t longer[BUS_FENCE_BYTES + 1] = {BUS_TOPIC_FENCE};
    ck_assert(!bus_get_fence(span_of(longer, sizeof longer), &first, &second));
    for (size_t size = 0; size < sizeof fence; size++) {
        struct span copy = exact_copy(span_of(fence, size));
        ck_assert(!bus_get_fence(copy, &first, &second));
        free_copy(copy);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("bus_codec");
    TCase *tests = tcase_create("all");
    tcase_add_test(tests, each_frame_reads_back_whole_and_no_prefix_of_it_does);
    tcase_add_test(tests, each_part_reads_back_and_no_prefix_of_it_does);
    tcase_add_test(tests, the_layout_on_the_wire_does_not_change);
    tcase_add_test(tests, a_hello_of_any_version_tells_its_version);
    tcase_add_test(tests, an_unknown_type_is_no_frame);
    tcase_add_test(tests, a_length_beyond_the_end_is_refused);
    tcase_add_test(tests, a_delivery_reads_back);
    tcase_add_test(tests, a_delivery_with_a_bad_address_or_kind_is_refused);
    tcase_add_test(tests, fences_and_canaries_read_back_and_are_not_mistaken);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
