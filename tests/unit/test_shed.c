#include "gateway/shed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/frame.h"
#include "proto/client_codec.h"
#include "proto/ws_frame.h"
#include "unit.h"

/* What an outbox lets go, and what is told about it. */

static outbox_pool_t *pool;
static outbox_t outbox;
static shed_t *shed;
static struct shed_outcome outcome;

static void setup(void)
{
    pool = outbox_pool_new();
    shed = shed_new();
    ck_assert(pool && shed);
}

static void teardown(void)
{
    outbox_clear(&outbox, pool);
    ck_assert_uint_eq(outbox.bytes, 0);
    ck_assert_uint_eq(pool->bytes, 0);
    shed_destroy(&shed);
    outbox_pool_destroy(&pool);
}

static void put(const char *text, struct frame_about about)
{
    uint8_t *to;
    payload_t *frame = frame_new(strlen(text), &about, &to);
    ck_assert_ptr_nonnull(frame);
    memcpy(to, text, strlen(text));
    ck_assert(outbox_put(&outbox, pool, frame, SIZE_MAX));
    payload_release(&frame);
}

/* <n of the stream> */
static void published(enum slow_reader policy, uint64_t stream, unsigned n, int64_t since_ms)
{
    char text[32];
    snprintf(text, sizeof text, "<%u of %llu>", n, (unsigned long long)stream);
    put(text, (struct frame_about){since_ms, stream, 0, 1, policy});
}

static void latest(uint64_t stream, unsigned n)
{
    published(SLOW_READER_LATEST, stream, n, 1000);
}

static void oldest(uint64_t stream, unsigned n)
{
    published(SLOW_READER_DROP_OLDEST, stream, n, 1000);
}

static void within(size_t bytes, int64_t before_ms)
{
    ck_assert(shed_outbox(shed, &outbox, pool, &(struct shed_bounds){bytes, before_ms}, &outcome));
}

static void expect(const char *expected)
{
    static payload_t *frames[10000];
    size_t count = outbox_peek(&outbox, frames, 10000, SIZE_MAX);
    char text[100000] = "";
    size_t size = 0, bytes = 0;
    for (size_t i = 0; i < count; i++) {
        const uint8_t *from = ws_frame_payload(frames[i]->data);
        size_t part = frames[i]->size - (size_t)(from - frames[i]->data);
        memcpy(text + size, from, part);
        size += part;
        bytes += frames[i]->size;
    }
    text[size] = '\0';
    ck_assert_str_eq(text, expected);
    ck_assert_uint_eq(outbox.bytes, bytes);
    ck_assert_uint_eq(pool->bytes, bytes);
}

START_TEST(nothing_goes_within_the_bounds)
{
    latest(1, 1);
    latest(1, 2);
    latest(1, 3);
    within(outbox.bytes, 999);
    expect("<1 of 1><2 of 1><3 of 1>");
    ck_assert_uint_eq(outcome.latest + outcome.oldest, 0);
    ck_assert_int_eq(outcome.kept_since_ms, 0);
}
END_TEST

START_TEST(of_latest_the_newest_stays_and_tells)
{
    put("{}", (struct frame_about){0});
    latest(1, 1);
    latest(2, 1);
    latest(1, 2);
    latest(1, 3);
    latest(3, 1);
    within(outbox.bytes - 1, 0);
    expect("{}<1 of 2><\"tags\":{\"missed\":\"2\"},3 of 1><1 of 3>");
    ck_assert_uint_eq(outcome.latest, 2);
    ck_assert_uint_eq(outcome.oldest, 0);
}
END_TEST

START_TEST(what_may_be_on_its_way_stays)
{
    latest(1, 1);
    latest(1, 2);
    latest(1, 3);
    within(0, 0);
    expect("<1 of 1><\"tags\":{\"missed\":\"1\"},3 of 1>");
    within(0, 5000);
    expect("<1 of 1><\"tags\":{\"missed\":\"1\"},3 of 1>");
}
END_TEST

START_TEST(what_may_not_go_tells_what_went_in_front_of_it)
{
    put("{}", (struct frame_about){0});
    latest(1, 1);
    oldest(1, 2);
    published(SLOW_READER_DISCONNECT, 1, 3, 1000);
    latest(1, 4);
    latest(1, 5);
    within(0, 0);
    expect("{}<\"tags\":{\"missed\":\"2\"},3 of 1><\"tags\":{\"missed\":\"1\"},5 of 1>");
    ck_assert_int_eq(outcome.kept_since_ms, 1000);
}
END_TEST

START_TEST(of_drop_oldest_as_many_go_as_needed)
{
    put("{}", (struct frame_about){0});
    for (unsigned n = 1; n <= 6; n++)
        oldest(n % 2 + 1, n);
    within(outbox.bytes - 2 * 10, 0); /* each takes 10 */
    expect("{}<\"tags\":{\"missed\":\"1\"},3 of 2><\"tags\":{\"missed\":\"1\"},4 of 1>"
           "<5 of 2><6 of 1>");
    ck_assert_uint_eq(outcome.oldest, 2);
}
END_TEST

START_TEST(what_a_frame_told_is_told_by_the_next)
{
    put("{}", (struct frame_about){0});
    for (unsigned n = 1; n <= 12; n++)
        oldest(1, n);
    within(outbox.bytes - 1, 0);
    within(outbox.bytes - 1, 0);
    within(outbox.bytes - 1, 0);
    within(0, 0);
    expect("{}<\"tags\":{\"missed\":\"11\"},12 of 1>");
    oldest(1, 13);
    within(0, 0);
    expect("{}<\"tags\":{\"missed\":\"12\"},13 of 1>");
}
END_TEST

START_TEST(what_has_waited_too_long_goes_and_newer_ones_stay)
{
    put("{}", (struct frame_about){0});
    for (unsigned n = 1; n <= 4; n++)
        published(SLOW_READER_DROP_OLDEST, 1, n, 1000 + n);
    within(SIZE_MAX, 1000);
    ck_assert_uint_eq(outcome.oldest, 0);
    within(SIZE_MAX, 1002);
    expect("{}<\"tags\":{\"missed\":\"2\"},3 of 1><4 of 1>");
    within(SIZE_MAX, 5000);
    expect("{}<\"tags\":{\"missed\":\"3\"},4 of 1>");
    ck_assert_int_eq(outcome.kept_since_ms, 0);
}
END_TEST

START_TEST(the_age_of_what_must_stay_is_told)
{
    published(SLOW_READER_LATEST, 1, 1, 500);
    put("reply", (struct frame_about){.since_ms = 700});
    put("reply", (struct frame_about){.since_ms = 900});
    within(SIZE_MAX, 0);
    ck_assert_int_eq(outcome.kept_since_ms, 700);
}
END_TEST

START_TEST(what_was_missed_before_a_subscription_is_none_of_its_business)
{
    put("{}", (struct frame_about){0});
    latest(7, 1);
    latest(7, 2);
    put("[subscribed]", (struct frame_about){.since_ms = 1000, .stream = 7});
    latest(7, 5);
    latest(7, 6);
    within(0, 0);
    expect(
        "{}<\"tags\":{\"missed\":\"1\"},2 of 7>[subscribed]<\"tags\":{\"missed\":\"1\"},6 of 7>");
}
END_TEST

START_TEST(frames_of_others_are_not_touched)
{
    outbox_t other = {0};
    payload_t *frames[3], *seen[3];
    for (size_t i = 0; i < 3; i++) {
        uint8_t *to;
        frames[i] = frame_new(3, &(struct frame_about){1, 1, 0, 1, SLOW_READER_LATEST}, &to);
        memcpy(to, "<x>", 3);
        ck_assert(outbox_put(&outbox, pool, frames[i], SIZE_MAX));
        ck_assert(outbox_put(&other, pool, frames[i], SIZE_MAX));
        payload_release(&frames[i]);
    }
    within(0, 0);
    ck_assert_uint_eq(outbox_peek(&other, seen, 3, SIZE_MAX), 3);
    for (size_t i = 0; i < 3; i++)
        ck_assert_mem_eq(ws_frame_payload(seen[i]->data), "<x>", 3);
    ck_assert_uint_eq(seen[0]->references, 2);
    ck_assert_uint_eq(seen[1]->references, 1);
    ck_assert_uint_eq(seen[2]->references, 1); /* of the slow one there is a copy */
    outbox_clear(&other, pool);
}
END_TEST

START_TEST(a_frame_that_grows_has_the_header_of_its_size)
{
    char text[128] = "<";
    memset(text + 1, 'x', 119);
    put("{}", (struct frame_about){0});
    put(text, (struct frame_about){1, 1, 0, 1, SLOW_READER_LATEST});
    put(text, (struct frame_about){1, 1, 0, 1, SLOW_READER_LATEST});
    within(0, 0);
    char expected[256];
    snprintf(expected, sizeof expected, "{}<\"tags\":{\"missed\":\"1\"},%s", text + 1);
    expect(expected);
}
END_TEST

/* More streams than there are places at first. */
START_TEST(each_of_many_streams_keeps_its_newest)
{
    static char expected[100000];
    size_t size = (size_t)sprintf(expected, "{}");
    put("{}", (struct frame_about){0});
    for (unsigned n = 1; n <= 3; n++)
        for (uint64_t stream = 1; stream <= 1000; stream++)
            latest(stream << 30, n);
    within(0, 0);
    for (uint64_t stream = 1; stream <= 1000; stream++)
        size += (size_t)sprintf(expected + size, "<\"tags\":{\"missed\":\"2\"},3 of %llu>",
                                (unsigned long long)(stream << 30));
    expect(expected);
    ck_assert_uint_eq(outcome.latest, 2000);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("shed");
    TCase *tests = tcase_create("shed");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, nothing_goes_within_the_bounds);
    tcase_add_test(tests, of_latest_the_newest_stays_and_tells);
    tcase_add_test(tests, what_may_be_on_its_way_stays);
    tcase_add_test(tests, what_may_not_go_tells_what_went_in_front_of_it);
    tcase_add_test(tests, of_drop_oldest_as_many_go_as_needed);
    tcase_add_test(tests, what_a_frame_told_is_told_by_the_next);
    tcase_add_test(tests, what_has_waited_too_long_goes_and_newer_ones_stay);
    tcase_add_test(tests, the_age_of_what_must_stay_is_told);
    tcase_add_test(tests, what_was_missed_before_a_subscription_is_none_of_its_business);
    tcase_add_test(tests, frames_of_others_are_not_touched);
    tcase_add_test(tests, a_frame_that_grows_has_the_header_of_its_size);
    tcase_add_test(tests, each_of_many_streams_keeps_its_newest);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
