#include "common/stream.h"
#include "unit.h"

static const struct stream_limits generous = {1000, 1 << 20, 60000};
static const struct stream_room unlimited = {SIZE_MAX, SIZE_MAX};

static payload_t *body_of(size_t size, uint8_t fill)
{
    payload_t *body = payload_new(size);
    ck_assert_ptr_nonnull(body);
    memset(body->data, fill, size);
    return body;
}

/* Appends messages whose first byte is their offset. */
static void append(stream_t *stream, size_t count, size_t size, int64_t now_ms)
{
    for (size_t i = 0; i < count; i++) {
        payload_t *body = body_of(size, (uint8_t)(stream->offset + 1));
        uint64_t expected = stream->offset + 1;
        ck_assert_uint_eq(stream_append(stream, &body, now_ms), expected);
        ck_assert_ptr_null(body);
    }
}

static void expect_kept(const stream_t *stream, uint64_t first, uint64_t last)
{
    ck_assert_uint_eq(stream_first(stream), first);
    ck_assert_uint_eq(stream->offset, last);
    ck_assert_ptr_null(stream_at(stream, first - 1));
    ck_assert_ptr_null(stream_at(stream, last + 1));
    for (uint64_t at = first; at <= last; at++) {
        ck_assert_ptr_nonnull(stream_at(stream, at));
        ck_assert_uint_eq(stream_at(stream, at)->data[0], (uint8_t)at);
    }
}

START_TEST(begins_before_the_first_message_and_owns_nothing)
{
    stream_t stream;
    stream_init(&stream, 7, &generous);
    ck_assert_uint_eq(stream.epoch, 7);
    ck_assert_uint_eq(stream.offset, 0);
    ck_assert_uint_eq(stream_first(&stream), 1);
    ck_assert_ptr_null(stream.ring);
    stream_clear(&stream);
}
END_TEST

START_TEST(counts_offsets_from_one)
{
    stream_t stream;
    stream_init(&stream, 7, &generous);
    append(&stream, 100, 10, 0);
    expect_kept(&stream, 1, 100);
    ck_assert_uint_eq(stream.bytes, 100 * (10 + STREAM_MESSAGE_COST));
    stream_clear(&stream);
    ck_assert_uint_eq(stream.bytes, 0);
    ck_assert_uint_eq(stream.offset, 100);
}
END_TEST

START_TEST(keeps_no_more_messages_than_allowed)
{
    const struct stream_limits limits = {5, 1 << 20, 60000};
    stream_t stream;
    stream_init(&stream, 7, &limits);
    append(&stream, 1000, 10, 0);
    expect_kept(&stream, 996, 1000);
    ck_assert_uint_eq(stream.bytes, 5 * (10 + STREAM_MESSAGE_COST));
    ck_assert_uint_le(stream.room, 8);
    stream_clear(&stream);
}
END_TEST

START_TEST(keeps_no_more_bytes_than_allowed)
{
    const struct stream_limits limits = {1000, 3 * (10 + STREAM_MESSAGE_COST), 60000};
    stream_t stream;
    stream_init(&stream, 7, &limits);
    append(&stream, 10, 10, 0);
    expect_kept(&stream, 8, 10);
    append(&stream, 1, 1000, 0); /* larger than the limit by itself */
    expect_kept(&stream, 12, 11);
    ck_assert_ptr_null(stream.ring);
    append(&stream, 1, 10, 0);
    expect_kept(&stream, 12, 12);
    stream_clear(&stream);
}
END_TEST

START_TEST(keeps_nothing_longer_than_allowed)
{
    const struct stream_limits limits = {1000, 1 << 20, 300};
    stream_t stream;
    stream_init(&stream, 7, &limits);
    append(&stream, 3, 10, 1000);
    append(&stream, 3, 10, 1200);
    ck_assert_int_eq(stream_due(&stream), 1300);
    stream_trim(&stream, 1299);
    expect_kept(&stream, 1, 6);
    stream_trim(&stream, 1300);
    expect_kept(&stream, 4, 6);
    append(&stream, 1, 10, 1500); /* the append trims as well */
    expect_kept(&stream, 7, 7);
    stream_trim(&stream, 99999);
    expect_kept(&stream, 8, 7);
    ck_assert_ptr_null(stream.ring);
}
END_TEST

START_TEST(a_limit_of_zero_keeps_nothing_but_counts)
{
    const struct stream_limits none[] = {{0, 1000, 1000}, {1000, 0, 1000}, {1000, 1000, 0}};
    for (size_t i = 0; i < 3; i++) {
        stream_t stream;
        stream_init(&stream, 7, &none[i]);
        append(&stream, 3, 10, 0);
        expect_kept(&stream, 4, 3);
        ck_assert_ptr_null(stream.ring);
    }
}
END_TEST

START_TEST(gives_room_back_when_it_empties)
{
    const struct stream_limits limits = {1000, 1 << 20, 100};
    stream_t stream;
    stream_init(&stream, 7, &limits);
    append(&stream, 500, 10, 0);
    append(&stream, 10, 10, 50);
    ck_assert_uint_eq(stream.room, 512);
    for (int i = 0; i < 20; i++)
        stream_trim(&stream, 100);
    expect_kept(&stream, 501, 510);
    ck_assert_uint_le(stream.room, 32);
    append(&stream, 30, 10, 60); /* and grows again, also when the oldest is not in slot 0 */
    expect_kept(&stream, 501, 540);
    stream_clear(&stream);
}
END_TEST

START_TEST(restarts_with_another_epoch)
{
    stream_t stream;
    stream_init(&stream, 7, &generous);
    append(&stream, 3, 10, 0);
    stream_restart(&stream, 8);
    ck_assert_uint_eq(stream.epoch, 8);
    expect_kept(&stream, 1, 0);
    append(&stream, 1, 10, 0);
    expect_kept(&stream, 1, 1);
    stream_clear(&stream);
}
END_TEST

static void expect_slice(struct stream_slice slice, uint64_t first, size_t count)
{
    ck_assert_uint_eq(slice.count, count);
    if (count)
        ck_assert_uint_eq(slice.first, first);
}

START_TEST(missed_is_all_or_nothing)
{
    const struct stream_limits limits = {10, 1 << 20, 60000};
    stream_t stream;
    struct stream_slice slice;
    stream_init(&stream, 7, &limits);
    append(&stream, 20, 10, 0); /* 11 to 20 are kept */

    ck_assert(stream_missed(&stream, 20, unlimited, &slice));
    expect_slice(slice, 0, 0);
    ck_assert(stream_missed(&stream, 19, unlimited, &slice));
    expect_slice(slice, 20, 1);
    ck_assert(stream_missed(&stream, 10, unlimited, &slice));
    expect_slice(slice, 11, 10);
    ck_assert(!stream_missed(&stream, 9, unlimited, &slice));
    ck_assert(!stream_missed(&stream, 0, unlimited, &slice));
    ck_assert(!stream_missed(&stream, 21, unlimited, &slice));
    ck_assert(!stream_missed(&stream, UINT64_MAX, unlimited, &slice));

    ck_assert(stream_missed(&stream, 15, (struct stream_room){5, SIZE_MAX}, &slice));
    ck_assert(!stream_missed(&stream, 14, (struct stream_room){5, SIZE_MAX}, &slice));
    size_t two = 2 * (10 + STREAM_READ_COST);
    ck_assert(stream_missed(&stream, 18, (struct stream_room){5, two}, &slice));
    ck_assert(!stream_missed(&stream, 18, (struct stream_room){5, two - 1}, &slice));
    stream_clear(&stream);
}
END_TEST

START_TEST(nothing_is_missed_by_a_reader_of_an_empty_stream)
{
    stream_t stream;
    struct stream_slice slice;
    stream_init(&stream, 7, &generous);
    ck_assert(stream_missed(&stream, 0, unlimited, &slice));
    expect_slice(slice, 0, 0);
    ck_assert(!stream_missed(&stream, 1, unlimited, &slice));
}
END_TEST

START_TEST(next_gives_as_much_as_fits_and_at_least_one)
{
    const struct stream_limits limits = {10, 1 << 20, 60000};
    stream_t stream;
    struct stream_slice slice;
    stream_init(&stream, 7, &limits);
    append(&stream, 20, 10, 0);

    size_t two = 2 * (10 + STREAM_READ_COST);
    ck_assert(stream_next(&stream, 10, (struct stream_room){SIZE_MAX, two}, &slice));
    expect_slice(slice, 11, 2);
    ck_assert(stream_next(&stream, 12, (struct stream_room){SIZE_MAX, 1}, &slice));
    expect_slice(slice, 13, 1);
    ck_assert(stream_next(&stream, 20, unlimited, &slice));
    expect_slice(slice, 0, 0);
    ck_assert(!stream_next(&stream, 9, unlimited, &slice));
    ck_assert(!stream_next(&stream, 21, unlimited, &slice));
    stream_clear(&stream);
}
END_TEST

START_TEST(history_goes_both_ways)
{
    const struct stream_limits limits = {10, 1 << 20, 60000};
    const struct stream_room three = {3, SIZE_MAX};
    stream_t stream;
    stream_init(&stream, 7, &limits);
    append(&stream, 20, 10, 0);

    expect_slice(stream_after(&stream, 0, three), 11, 3);
    expect_slice(stream_after(&stream, 15, three), 16, 3);
    expect_slice(stream_after(&stream, 18, three), 19, 2);
    expect_slice(stream_after(&stream, 20, three), 0, 0);
    expect_slice(stream_after(&stream, UINT64_MAX, three), 0, 0);
    expect_slice(stream_after(&stream, 0, (struct stream_room){0, SIZE_MAX}), 0, 0);

    expect_slice(stream_before(&stream, UINT64_MAX, three), 18, 3);
    expect_slice(stream_before(&stream, 21, three), 18, 3);
    expect_slice(stream_before(&stream, 20, three), 17, 3);
    expect_slice(stream_before(&stream, 13, three), 11, 2);
    expect_slice(stream_before(&stream, 11, three), 0, 0);
    expect_slice(stream_before(&stream, 0, three), 0, 0);
    size_t one = 10 + STREAM_READ_COST;
    expect_slice(stream_before(&stream, 21, (struct stream_room){9, one}), 20, 1);
    stream_clear(&stream);
}
END_TEST

START_TEST(holds_its_messages_and_no_others)
{
    const struct stream_limits limits = {1, 1 << 20, 60000};
    stream_t stream;
    stream_init(&stream, 7, &limits);
    payload_t *first = body_of(10, 1), *mine = payload_hold(first);
    stream_append(&stream, &first, 0);
    ck_assert_uint_eq(mine->references, 2);
    append(&stream, 1, 10, 0);
    ck_assert_uint_eq(mine->references, 1);
    payload_release(&mine);
    stream_clear(&stream);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("stream");
    TCase *tests = tcase_create("stream");
    tcase_add_test(tests, begins_before_the_first_message_and_owns_nothing);
    tcase_add_test(tests, counts_offsets_from_one);
    tcase_add_test(tests, keeps_no_more_messages_than_allowed);
    tcase_add_test(tests, keeps_no_more_bytes_than_allowed);
    tcase_add_test(tests, keeps_nothing_longer_than_allowed);
    tcase_add_test(tests, a_limit_of_zero_keeps_nothing_but_counts);
    tcase_add_test(tests, gives_room_back_when_it_empties);
    tcase_add_test(tests, restarts_with_another_epoch);
    tcase_add_test(tests, missed_is_all_or_nothing);
    tcase_add_test(tests, nothing_is_missed_by_a_reader_of_an_empty_stream);
    tcase_add_test(tests, next_gives_as_much_as_fits_and_at_least_one);
    tcase_add_test(tests, history_goes_both_ways);
    tcase_add_test(tests, holds_its_messages_and_no_others);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
