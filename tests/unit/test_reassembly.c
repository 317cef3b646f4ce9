#include "gateway/reassembly.h"
#include "unit.h"

static struct reassembly incoming;
static struct reassembly_total total;
static struct span whole;

static void setup(void)
{
    incoming = (struct reassembly){0};
    total = (struct reassembly_total){.max_bytes = LIMIT_CLIENT_FRAME_BYTES};
    whole = span_of(NULL, 0);
}

static void teardown(void)
{
    reassembly_reset(&incoming, &total);
    ck_assert_uint_eq(total.bytes, 0);
}

static enum reassembly_result add(const char *piece, size_t remaining, bool is_last)
{
    return reassembly_add(&incoming, &total, span_text(piece), remaining, is_last, &whole);
}

START_TEST(a_message_in_one_piece_is_not_copied)
{
    const char *text = "{}";
    ck_assert_int_eq(reassembly_add(&incoming, &total, span_text(text), 0, true, &whole),
                     REASSEMBLY_WHOLE);
    ck_assert_ptr_eq(whole.data, text);
    ck_assert_uint_eq(whole.size, 2);
    ck_assert_ptr_null(incoming.text.data);
}
END_TEST

START_TEST(pieces_of_one_frame_are_joined)
{
    ck_assert_int_eq(add("ab", 3, false), REASSEMBLY_MORE);
    ck_assert_int_eq(add("c", 2, false), REASSEMBLY_MORE);
    ck_assert_int_eq(add("de", 0, true), REASSEMBLY_WHOLE);
    ck_assert(span_is(whole, "abcde"));
    ck_assert_uint_eq(incoming.fragments, 0);
}
END_TEST

START_TEST(fragments_are_joined_and_the_next_message_starts_anew)
{
    ck_assert_int_eq(add("ab", 0, false), REASSEMBLY_MORE);
    ck_assert_int_eq(add("", 0, false), REASSEMBLY_MORE);
    ck_assert_int_eq(add("c", 0, true), REASSEMBLY_WHOLE);
    ck_assert(span_is(whole, "abc"));
    reassembly_reset(&incoming, &total);
    ck_assert_ptr_null(incoming.text.data);
    ck_assert_int_eq(add("x", 0, false), REASSEMBLY_MORE);
    ck_assert_uint_eq(incoming.fragments, 1);
    ck_assert_int_eq(add("y", 0, true), REASSEMBLY_WHOLE);
    ck_assert(span_is(whole, "xy"));
}
END_TEST

START_TEST(an_empty_message_is_whole)
{
    ck_assert_int_eq(add("", 0, true), REASSEMBLY_WHOLE);
    ck_assert_uint_eq(whole.size, 0);
    ck_assert_int_eq(add("", 0, false), REASSEMBLY_MORE);
    ck_assert_int_eq(add("", 0, true), REASSEMBLY_WHOLE);
    ck_assert_uint_eq(whole.size, 0);
}
END_TEST

START_TEST(the_limit_is_exact_in_one_piece)
{
    static uint8_t bytes[LIMIT_CLIENT_FRAME_BYTES + 1];
    ck_assert_int_eq(
        reassembly_add(&incoming, &total, span_of(bytes, sizeof bytes - 1), 0, true, &whole),
        REASSEMBLY_WHOLE);
    ck_assert_int_eq(
        reassembly_add(&incoming, &total, span_of(bytes, sizeof bytes), 0, true, &whole),
        REASSEMBLY_TOO_BIG);
}
END_TEST

START_TEST(the_limit_is_exact_over_pieces)
{
    static uint8_t bytes[LIMIT_CLIENT_FRAME_BYTES - 1];
    struct span most = span_of(bytes, sizeof bytes);
    ck_assert_int_eq(reassembly_add(&incoming, &total, most, 1, false, &whole), REASSEMBLY_MORE);
    ck_assert_int_eq(add("x", 0, true), REASSEMBLY_WHOLE);
    ck_assert_uint_eq(whole.size, LIMIT_CLIENT_FRAME_BYTES);
    reassembly_reset(&incoming, &total);
    ck_assert_int_eq(reassembly_add(&incoming, &total, most, 0, false, &whole), REASSEMBLY_MORE);
    ck_assert_int_eq(add("xy", 0, true), REASSEMBLY_TOO_BIG);
}
END_TEST

START_TEST(an_announcement_is_refused_before_its_bytes_arrive)
{
    ck_assert_int_eq(add("x", LIMIT_CLIENT_FRAME_BYTES - 1, false), REASSEMBLY_MORE);
    reassembly_reset(&incoming, &total);
    ck_assert_int_eq(add("x", LIMIT_CLIENT_FRAME_BYTES, false), REASSEMBLY_TOO_BIG);
    reassembly_reset(&incoming, &total);
    ck_assert_int_eq(add("x", (size_t)1 << 62, false), REASSEMBLY_TOO_BIG);
    reassembly_reset(&incoming, &total);
    ck_assert_int_eq(add("x", SIZE_MAX, false), REASSEMBLY_TOO_BIG);
    ck_assert_ptr_null(incoming.text.data);
}
END_TEST

START_TEST(fragments_are_limited_even_when_they_are_empty)
{
    for (int i = 1; i < LIMIT_CLIENT_FRAGMENTS; i++)
        ck_assert_int_eq(add("", 0, false), REASSEMBLY_MORE);
    ck_assert_int_eq(add("last", 0, true), REASSEMBLY_WHOLE);
    reassembly_reset(&incoming, &total);
    for (int i = 1; i < LIMIT_CLIENT_FRAGMENTS; i++)
        ck_assert_int_eq(add("", 0, false), REASSEMBLY_MORE);
    ck_assert_int_eq(add("", 0, false), REASSEMBLY_TOO_BIG);
}
END_TEST

static enum reassembly_result add_to(struct reassembly *message, size_t size, bool is_last)
{
    static uint8_t bytes[8192];
    ck_assert_uint_le(size, sizeof bytes);
    return reassembly_add(message, &total, span_of(bytes, size), 0, is_last, &whole);
}

START_TEST(what_all_hold_is_bounded)
{
    struct reassembly other = {0};
    total.max_bytes = 10000;
    ck_assert_int_eq(add_to(&incoming, 8192, false), REASSEMBLY_MORE);
    ck_assert_int_eq(add_to(&incoming, 1808, false), REASSEMBLY_MORE);
    ck_assert_uint_eq(total.bytes, 10000);
    ck_assert_int_eq(add_to(&incoming, 1, false), REASSEMBLY_NO_ROOM);
    ck_assert_int_eq(add_to(&other, REASSEMBLY_SMALL_BYTES + 1, false), REASSEMBLY_NO_ROOM);
    ck_assert_uint_eq(total.bytes, 10000);
    reassembly_reset(&incoming, &total);
    ck_assert_uint_eq(total.bytes, 0);
    ck_assert_int_eq(add_to(&other, 8192, false), REASSEMBLY_MORE);
    reassembly_reset(&other, &total);
}
END_TEST

START_TEST(small_ones_and_ends_always_find_room)
{
    struct reassembly other = {0};
    total.max_bytes = 8192;
    ck_assert_int_eq(add_to(&incoming, 8192, false), REASSEMBLY_MORE);
    ck_assert_int_eq(add_to(&other, REASSEMBLY_SMALL_BYTES, false), REASSEMBLY_MORE);
    ck_assert_int_eq(add_to(&other, 1000, true), REASSEMBLY_WHOLE);
    ck_assert_uint_eq(whole.size, REASSEMBLY_SMALL_BYTES + 1000);
    reassembly_reset(&other, &total);
    ck_assert_int_eq(add_to(&other, 8192, true), REASSEMBLY_WHOLE); /* in one piece: not copied */
    ck_assert_uint_eq(total.bytes, 8192);
    ck_assert_int_eq(add_to(&incoming, 1000, true), REASSEMBLY_WHOLE);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("reassembly");
    TCase *tests = tcase_create("reassembly");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, a_message_in_one_piece_is_not_copied);
    tcase_add_test(tests, pieces_of_one_frame_are_joined);
    tcase_add_test(tests, fragments_are_joined_and_the_next_message_starts_anew);
    tcase_add_test(tests, an_empty_message_is_whole);
    tcase_add_test(tests, the_limit_is_exact_in_one_piece);
    tcase_add_test(tests, the_limit_is_exact_over_pieces);
    tcase_add_test(tests, an_announcement_is_refused_before_its_bytes_arrive);
    tcase_add_test(tests, fragments_are_limited_even_when_they_are_empty);
    tcase_add_test(tests, what_all_hold_is_bounded);
    tcase_add_test(tests, small_ones_and_ends_always_find_room);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
