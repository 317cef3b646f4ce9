#include "proto/ws_frame.h"

#include "bytes.h"
#include "unit.h"

static const struct {
    size_t payload;
    const char *header;
    size_t size;
} rows[] = {
    {0, "\x81\x00", 2},
    {1, "\x81\x01", 2},
    {125, "\x81\x7d", 2},
    {126, "\x81\x7e\x00\x7e", 4},
    {127, "\x81\x7e\x00\x7f", 4},
    {65535, "\x81\x7e\xff\xff", 4},
    {65536, "\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00", 10},
    {0x0102030405060708, "\x81\x7f\x01\x02\x03\x04\x05\x06\x07\x08", 10},
};
#define ROWS (sizeof rows / sizeof rows[0])

START_TEST(a_text_frame_has_the_shortest_length_form)
{
    uint8_t header[WS_HEADER_MAX];
    size_t size = ws_write_header(header, WS_TEXT, rows[_i].payload);
    ck_assert_uint_eq(size, ws_header_size(rows[_i].payload));
    assert_bytes(span_of(header, size), span_of(rows[_i].header, rows[_i].size));
}
END_TEST

START_TEST(the_payload_follows_the_header)
{
    uint8_t frame[WS_HEADER_MAX];
    size_t size = ws_write_header(frame, WS_TEXT, rows[_i].payload);
    ck_assert_ptr_eq(ws_frame_payload(frame), frame + size);
    ws_write_header(frame, WS_CLOSE, rows[_i].payload);
    ck_assert_ptr_eq(ws_frame_payload(frame), frame + size);
}
END_TEST

START_TEST(a_close_frame_is_final_and_unmasked)
{
    uint8_t header[WS_HEADER_MAX];
    ck_assert_uint_eq(ws_write_header(header, WS_CLOSE, 2), 2);
    ck_assert_uint_eq(header[0], 0x88);
    ck_assert_uint_eq(header[1], 2);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ws_frame");
    TCase *tests = tcase_create("all");
    tcase_add_loop_test(tests, a_text_frame_has_the_shortest_length_form, 0, ROWS);
    tcase_add_loop_test(tests, the_payload_follows_the_header, 0, ROWS);
    tcase_add_test(tests, a_close_frame_is_final_and_unmasked);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
