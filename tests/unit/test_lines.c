#include <string.h>

#include "bytes.h"
#include "gateway/lines.h"
#include "proto/ws_frame.h"
#include "unit.h"

/* Every text is put into the outbox as the frame that clients with a WebSocket get, and into what
 * is expected as a line of the form. */

static const enum lines_form forms[] = {LINES_PLAIN, LINES_EVENTS};
#define FORMS (sizeof forms / sizeof *forms)

static outbox_pool_t *pool;
static outbox_t outbox;
static struct lines lines;
static struct buffer expected, got;
static enum lines_form form;

static void setup(void)
{
    pool = outbox_pool_new();
    outbox = (outbox_t){0};
    expected = got = (struct buffer){0};
    form = LINES_PLAIN;
}

static void teardown(void)
{
    outbox_clear(&outbox, pool);
    outbox_pool_destroy(&pool);
    buffer_free(&expected);
    buffer_free(&got);
}

static void expect_line(struct span text)
{
    buffer_put_text(&expected, form == LINES_EVENTS ? "data: " : "");
    buffer_put_span(&expected, text);
    buffer_put_text(&expected, form == LINES_EVENTS ? "\n\n" : "\n");
}

static void put(struct span text)
{
    payload_t *frame = payload_new(ws_header_size(text.size) + text.size);
    ck_assert_ptr_nonnull(frame);
    size_t header = ws_write_header(frame->data, WS_TEXT, text.size);
    if (text.size > 0)
        memcpy(frame->data + header, text.data, text.size);
    ck_assert(outbox_put(&outbox, pool, frame, SIZE_MAX));
    payload_release(&frame);
    expect_line(text);
}

static void put_text(const char *text)
{
    put(span_text(text));
}

/* A text of this size whose bytes tell where they are. */
static void put_size(size_t size)
{
    struct buffer text = {0};
    for (size_t i = 0; i < size; i++)
        buffer_put_byte(&text, (uint8_t)('a' + i % 23));
    put(buffer_span(&text));
    buffer_free(&text);
}

static void gather(size_t sent)
{
    lines_gather(&lines, &outbox, form, sent);
    ck_assert_uint_le(lines.frame_count, LINES_FRAMES);
    ck_assert_uint_le(lines.part_count, 3 * lines.frame_count);
}

static size_t gathered(void)
{
    size_t size = 0;
    for (size_t i = 0; i < lines.part_count; i++) {
        ck_assert_uint_gt(lines.parts[i].iov_len, 0);
        size += lines.parts[i].iov_len;
    }
    return size;
}

/* The socket: takes that many bytes of the parts. */
static void take(size_t size)
{
    for (size_t i = 0; i < lines.part_count && size > 0; i++) {
        size_t piece = lines.parts[i].iov_len < size ? lines.parts[i].iov_len : size;
        buffer_put(&got, lines.parts[i].iov_base, piece);
        size -= piece;
    }
    ck_assert_uint_eq(size, 0);
}

/* One write of at most `most` bytes; `sent` as of the first frame. */
static size_t write_once(size_t most, size_t *sent)
{
    gather(*sent);
    size_t taken = gathered() < most ? gathered() : most;
    take(taken);
    size_t done = lines_taken(&lines, taken, sent);
    outbox_drop(&outbox, pool, done);
    return taken;
}

static void write_all(size_t first, size_t chunk)
{
    size_t sent = 0;
    if (first > 0)
        write_once(first, &sent);
    while (!outbox_is_empty(&outbox))
        ck_assert_uint_gt(write_once(chunk, &sent), 0);
    ck_assert_uint_eq(sent, 0);
    assert_bytes(buffer_span(&got), buffer_span(&expected));
}

static void start_over(void)
{
    ck_assert(outbox_is_empty(&outbox));
    buffer_reset(&expected);
    buffer_reset(&got);
}

START_TEST(an_empty_outbox_gives_nothing)
{
    size_t sent = 0;
    form = forms[_i];
    gather(0);
    ck_assert_uint_eq(lines.frame_count, 0);
    ck_assert_uint_eq(lines.part_count, 0);
    ck_assert_uint_eq(lines_taken(&lines, 0, &sent), 0);
    ck_assert_uint_eq(sent, 0);
}
END_TEST

/* The hub drops what a slow client is owed, whose socket may have taken half a line. */
START_TEST(an_outbox_dropped_behind_half_a_line_gives_nothing)
{
    size_t sent = 0;
    form = forms[_i];
    put_text("{\"slow\":1}");
    write_once(3, &sent);
    ck_assert_uint_eq(sent, 3);
    outbox_clear(&outbox, pool);
    gather(sent);
    ck_assert_uint_eq(lines.frame_count, 0);
    ck_assert_uint_eq(lines.part_count, 0);
}
END_TEST

START_TEST(each_frame_is_a_line)
{
    put_text("{\"id\":1}");
    put_text("{}");
    gather(0);
    take(gathered());
    assert_text(buffer_span(&got), "{\"id\":1}\n{}\n");
}
END_TEST

START_TEST(each_frame_is_an_event)
{
    form = LINES_EVENTS;
    put_text("{\"id\":1}");
    put_text("{}");
    gather(0);
    take(gathered());
    assert_text(buffer_span(&got), "data: {\"id\":1}\n\ndata: {}\n\n");
}
END_TEST

START_TEST(nothing_is_copied)
{
    payload_t *frame;
    put_text("{}");
    ck_assert_uint_eq(outbox_peek(&outbox, &frame, 1, SIZE_MAX), 1);
    gather(0);
    ck_assert_ptr_eq(lines.parts[0].iov_base, ws_frame_payload(frame->data));
    ck_assert_uint_eq(frame->references, 1);
}
END_TEST

START_TEST(what_is_gathered_stays_in_the_outbox)
{
    put_text("{}");
    gather(0);
    gather(0);
    ck_assert_uint_eq(lines.frame_count, 1);
    ck_assert_uint_eq(gathered(), 3);
}
END_TEST

/* --- writes that take a part --- */

static void put_some(void)
{
    put_text("{\"id\":1,\"connect\":{}}");
    put_text("");
    put_text("{}");
    put_size(130);
    put_text("x");
}

START_TEST(a_write_may_end_anywhere)
{
    form = forms[_i];
    put_some();
    size_t whole = expected.size;
    write_all(0, SIZE_MAX);
    for (size_t first = 0; first <= whole; first++) {
        start_over();
        put_some();
        write_all(first, SIZE_MAX);
    }
}
END_TEST

START_TEST(every_write_may_take_little)
{
    static const size_t chunks[] = {1, 2, 3, 4, 5, 7, 11, 13, 64, 131, 1000};
    form = forms[_i];
    for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++) {
        start_over();
        put_some();
        write_all(0, chunks[i]);
    }
}
END_TEST

/* As if frames came between two writes. */
START_TEST(what_comes_meanwhile_follows)
{
    form = forms[_i];
    for (size_t first = 1; first < 20; first++) {
        size_t sent = 0;
        start_over();
        put_text("{\"n\":1}");
        put_text("{\"n\":2}");
        write_once(first, &sent);
        put_text("{\"n\":3}");
        while (!outbox_is_empty(&outbox))
            write_once(2, &sent);
        assert_bytes(buffer_span(&got), buffer_span(&expected));
    }
}
END_TEST

START_TEST(a_write_that_takes_nothing_changes_nothing)
{
    size_t sent = 0;
    put_text("abc");
    write_once(2, &sent);
    ck_assert_uint_eq(sent, 2);
    write_once(0, &sent);
    ck_assert_uint_eq(sent, 2);
    write_once(1, &sent);
    ck_assert_uint_eq(sent, 3);
    ck_assert(!outbox_is_empty(&outbox)); /* the newline is missing */
    write_once(1, &sent);
    ck_assert_uint_eq(sent, 0);
    ck_assert(outbox_is_empty(&outbox));
}
END_TEST

START_TEST(what_was_sent_of_the_first_frame_is_told_of_the_next)
{
    size_t sent = 0;
    put_text("abc"); /* 4 bytes with its newline */
    put_text("defg");
    gather(0);
    ck_assert_uint_eq(lines_taken(&lines, 4, &sent), 1);
    ck_assert_uint_eq(sent, 0);
    ck_assert_uint_eq(lines_taken(&lines, 6, &sent), 1);
    ck_assert_uint_eq(sent, 2);
    sent = 0;
    ck_assert_uint_eq(lines_taken(&lines, 9, &sent), 2);
    ck_assert_uint_eq(sent, 0);
    sent = 3;
    gather(sent);
    ck_assert_uint_eq(lines_taken(&lines, 2, &sent), 1);
    ck_assert_uint_eq(sent, 1);
}
END_TEST

/* --- bounds --- */

START_TEST(a_write_is_bounded_in_frames)
{
    form = forms[_i];
    for (int i = 0; i < 2 * LINES_FRAMES + 5; i++)
        put_text("{}");
    gather(0);
    ck_assert_uint_eq(lines.frame_count, LINES_FRAMES);
    ck_assert_uint_le(lines.part_count, sizeof lines.parts / sizeof *lines.parts);
    write_all(0, SIZE_MAX);
}
END_TEST

START_TEST(a_write_is_bounded_in_bytes)
{
    form = forms[_i];
    for (int i = 0; i < 5; i++)
        put_size(LINES_BYTES / 4 - 4); /* with their headers of 4 bytes */
    gather(0);
    ck_assert_uint_eq(lines.frame_count, 4);
    write_all(0, SIZE_MAX);
}
END_TEST

START_TEST(a_large_frame_goes_alone)
{
    form = forms[_i];
    put_size(3 * LINES_BYTES + 7);
    put_text("{}");
    gather(0);
    ck_assert_uint_eq(lines.frame_count, 1);
    write_all(1, LINES_BYTES - 1);
}
END_TEST

START_TEST(every_form_of_header_is_taken_off)
{
    static const size_t sizes[] = {0, 1, 125, 126, 127, 65535, 65536, 65537};
    form = forms[_i];
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        put_size(sizes[i]);
    write_all(0, 997);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("lines");
    TCase *tests = tcase_create("lines");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_loop_test(tests, an_empty_outbox_gives_nothing, 0, FORMS);
    tcase_add_loop_test(tests, an_outbox_dropped_behind_half_a_line_gives_nothing, 0, FORMS);
    tcase_add_test(tests, each_frame_is_a_line);
    tcase_add_test(tests, each_frame_is_an_event);
    tcase_add_test(tests, nothing_is_copied);
    tcase_add_test(tests, what_is_gathered_stays_in_the_outbox);
    tcase_add_loop_test(tests, a_write_may_end_anywhere, 0, FORMS);
    tcase_add_loop_test(tests, every_write_may_take_little, 0, FORMS);
    tcase_add_loop_test(tests, what_comes_meanwhile_follows, 0, FORMS);
    tcase_add_test(tests, a_write_that_takes_nothing_changes_nothing);
    tcase_add_test(tests, what_was_sent_of_the_first_frame_is_told_of_the_next);
    tcase_add_loop_test(tests, a_write_is_bounded_in_frames, 0, FORMS);
    tcase_add_loop_test(tests, a_write_is_bounded_in_bytes, 0, FORMS);
    tcase_add_loop_test(tests, a_large_frame_goes_alone, 0, FORMS);
    tcase_add_loop_test(tests, every_form_of_header_is_taken_off, 0, FORMS);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
