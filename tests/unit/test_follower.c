#include <string.h>

#include "cli/follower.h"
#include "unit.h"

/* One follower of "chat" (and "news"), what it says, and a clock. */
static follower_t *follower;
static int64_t now_ms;
static char *channels[] = {"chat", "news"};

static void given(size_t channel_count, const char *since_epoch, uint64_t since_offset, bool json)
{
    struct follower_settings settings = {
        .channels = channels,
        .channel_count = channel_count,
        .json = json,
        .since_epoch = since_epoch,
        .since_offset = since_offset,
        .seed = 7,
    };
    now_ms = 1000;
    follower = follower_new(&settings, now_ms);
    ck_assert_ptr_nonnull(follower);
}

static void teardown(void)
{
    follower_destroy(&follower);
    ck_assert_ptr_null(follower);
}

static void expect_text(struct buffer *buffer, const char *text)
{
    buffer_put_byte(buffer, '\0');
    ck_assert_str_eq((const char *)buffer->data, text);
    buffer_reset(buffer);
}

static void expect_sent(const char *text)
{
    expect_text(follower_outgoing(follower), text);
}

static void expect_messages(const char *text)
{
    expect_text(follower_messages(follower), text);
}

static void expect_notes(const char *text)
{
    expect_text(follower_notes(follower), text);
}

static void server_says(const char *text)
{
    follower_frame(follower, span_text(text), now_ms);
}

/* Opens a connection and forgets the first frame and the notes. */
static void when_opened(void)
{
    follower_connecting(follower, "ws://x");
    follower_opened(follower, now_ms);
    buffer_reset(follower_outgoing(follower));
    buffer_reset(follower_notes(follower));
    buffer_reset(follower_messages(follower));
}

static void when_subscribed(void)
{
    when_opened();
    server_says("{\"id\":1,\"connect\":{\"client\":\"c1\",\"ping\":25,\"pong\":true}}");
    server_says("{\"id\":2,\"subscribe\":{\"recoverable\":true,\"positioned\":true,"
                "\"epoch\":\"e1\",\"offset\":4}}");
    buffer_reset(follower_notes(follower));
    buffer_reset(follower_messages(follower));
}

START_TEST(the_first_frame_connects_and_subscribes)
{
    given(2, NULL, 0, false);
    ck_assert_int_eq(follower_wait(follower, now_ms), 0);
    follower_connecting(follower, "ws://x");
    expect_notes("connecting to ws://x\n");
    follower_opened(follower, now_ms);
    expect_sent("{\"id\":1,\"connect\":{\"name\":\"millrace\",\"version\":\"" MILLRACE_VERSION
                "\"}}\n"
                "{\"id\":2,\"subscribe\":{\"channel\":\"chat\",\"recoverable\":true,"
                "\"positioned\":true}}\n"
                "{\"id\":3,\"subscribe\":{\"channel\":\"news\",\"recoverable\":true,"
                "\"positioned\":true}}");
}
END_TEST

START_TEST(a_message_is_printed_with_address_and_offset)
{
    given(1, NULL, 0, false);
    when_subscribed();
    server_says("{\"push\":{\"channel\":\"chat\",\"pub\":{\"data\":{\"text\":\"a\",\"n\":[1,2.5]},"
                "\"offset\":5}}}\n"
                "{\"push\":{\"channel\":\"chat\",\"pub\":{\"data\":{},"
                "\"info\":{\"client\":\"\",\"user\":\"u\\n1\"},\"offset\":6}}}");
    expect_messages("chat 5 {\"text\":\"a\",\"n\":[1,2.5]}\nchat 6 {} from u?1\n");
    expect_notes("");
}
END_TEST

START_TEST(json_mode_prints_everything_as_objects)
{
    given(1, NULL, 0, true);
    follower_connecting(follower, "ws://x");
    follower_opened(follower, now_ms);
    server_says("{\"id\":1,\"connect\":{\"client\":\"c1\",\"ping\":25,\"pong\":true}}");
    server_says("{\"id\":2,\"subscribe\":{\"epoch\":\"e1\",\"offset\":4}}");
    server_says("{\"push\":{\"channel\":\"chat\",\"pub\":{\"data\":{\"a\":\"\\n\"},"
                "\"info\":{\"client\":\"\",\"user\":\"u1\"},\"offset\":5}}}");
    follower_closed(follower, 3501, span_text("bad request"), now_ms);
    expect_messages("{\"type\":\"connecting\",\"url\":\"ws://x\"}\n"
                    "{\"type\":\"connected\",\"client\":\"c1\"}\n"
                    "{\"type\":\"subscribed\",\"channel\":\"chat\",\"epoch\":\"e1\",\"offset\":4,"
                    "\"isSynced\":false}\n"
                    "{\"type\":\"message\",\"channel\":\"chat\",\"epoch\":\"e1\",\"offset\":5,"
                    "\"payload\":{\"a\":\"\\n\"},\"publisher\":{\"id\":\"u1\"}}\n"
                    "{\"type\":\"disconnected\",\"code\":3501,\"reason\":\"bad request\"}\n");
    expect_notes("");
}
END_TEST

START_TEST(a_reconnect_recovers_from_the_last_position)
{
    given(1, NULL, 0, false);
    when_subscribed();
    server_says("{\"push\":{\"channel\":\"chat\",\"pub\":{\"data\":{},\"offset\":5}}}");
    follower_closed(follower, 1006, span_text("gone"), now_ms);
    ck_assert_int_eq(follower_state(follower), FOLLOWER_WAITING);
    follower_connecting(follower, "ws://x");
    follower_opened(follower, now_ms);
    struct buffer *sent = follower_outgoing(follower);
    buffer_put_byte(sent, '\0');
    ck_assert_ptr_nonnull(
        strstr((char *)sent->data, "\"recover\":true,\"epoch\":\"e1\",\"offset\":5}}"));
    buffer_reset(sent);
    buffer_reset(follower_messages(follower));
    server_says("{\"id\":3,\"connect\":{\"client\":\"c2\"}}\n"
                "{\"id\":4,\"subscribe\":{\"was_recovering\":true,\"recovered\":true,"
                "\"epoch\":\"e1\",\"offset\":5,\"publications\":[{\"data\":{\"n\":6},\"offset\":6},"
                "{\"data\":{\"n\":7},\"offset\":7}]}}");
    expect_messages("chat 6 {\"n\":6}\nchat 7 {\"n\":7}\n");
    buffer_put_byte(follower_notes(follower), '\0');
    ck_assert_ptr_nonnull(strstr((char *)follower_notes(follower)->data,
                                 "subscribed to chat at e1:7, isSynced true\n"));
}
END_TEST

START_TEST(an_unrecovered_position_moves_to_the_new_one)
{
    given(1, "e0", 900, false);
    when_opened();
    server_says("{\"id\":1,\"connect\":{\"client\":\"c\"}}");
    buffer_reset(follower_notes(follower));
    server_says("{\"id\":2,\"subscribe\":{\"was_recovering\":true,\"epoch\":\"e1\",\"offset\":4}}");
    expect_notes("subscribed to chat at e1:4, isSynced false\n");
    server_says("{\"push\":{\"channel\":\"chat\",\"pub\":{\"data\":{},\"offset\":5}}}");
    expect_messages("chat 5 {}\n");
    expect_notes("");
}
END_TEST

START_TEST(a_hole_is_never_silent)
{
    given(1, NULL, 0, false);
    when_subscribed();
    server_says("{\"push\":{\"channel\":\"chat\",\"pub\":{\"data\":{},\"offset\":7}}}");
    expect_notes("hole in chat: 5 was expected, 7 came\n");
    expect_messages("chat 7 {}\n");
}
END_TEST

START_TEST(what_was_left_out_is_told_and_is_no_hole)
{
    given(1, NULL, 0, false);
    when_subscribed();
    server_says("{\"push\":{\"channel\":\"chat\",\"pub\":{\"tags\":{\"missed\":\"12\"},\"data\":{},"
                "\"offset\":17}}}");
    expect_notes("read too slowly from chat: missed 12 behind 4\n");
    expect_messages("chat 17 {}\n");
    /* Nonsense is none of it. */
    server_says("{\"push\":{\"channel\":\"chat\",\"pub\":{\"tags\":{\"missed\":\"x\"},\"data\":{},"
                "\"offset\":19}}}");
    expect_notes("hole in chat: 18 was expected, 19 came\n");
}
END_TEST

START_TEST(what_was_left_out_is_an_object_in_json)
{
    given(1, NULL, 0, true);
    when_subscribed();
    server_says("{\"push\":{\"channel\":\"chat\",\"pub\":{\"tags\":{\"missed\":\"2\"},\"data\":{},"
                "\"offset\":7}}}");
    buffer_put_byte(follower_messages(follower), '\0');
    ck_assert_ptr_nonnull(strstr((char *)follower_messages(follower)->data,
                                 "{\"type\":\"missed\",\"channel\":\"chat\",\"count\":2}\n"
                                 "{\"type\":\"message\""));
}
END_TEST

START_TEST(pings_are_answered_and_missed)
{
    given(1, NULL, 0, false);
    when_subscribed();
    server_says("{}");
    expect_sent("{}");
    ck_assert_int_eq(follower_wait(follower, now_ms), 35000);
    now_ms += 34999;
    follower_tick(follower, now_ms);
    ck_assert_int_eq(follower_state(follower), FOLLOWER_OPEN);
    now_ms += 1;
    follower_tick(follower, now_ms);
    ck_assert_int_eq(follower_state(follower), FOLLOWER_DROP);
    follower_closed(follower, 1006, span_text("lost"), now_ms);
    buffer_put_byte(follower_notes(follower), '\0');
    ck_assert_ptr_nonnull(strstr((char *)follower_notes(follower)->data, "no ping"));
}
END_TEST

START_TEST(a_late_answer_drops_the_connection)
{
    given(1, NULL, 0, false);
    when_opened();
    now_ms += 5000;
    follower_tick(follower, now_ms);
    ck_assert_int_eq(follower_state(follower), FOLLOWER_DROP);
    follower_closed(follower, 1006, span_text("lost"), now_ms);
    when_opened();
    server_says("{\"id\":3,\"connect\":{\"client\":\"c\",\"ping\":25}}");
    ck_assert_int_eq(follower_wait(follower, now_ms), 5000);
    now_ms += 5000;
    follower_tick(follower, now_ms);
    ck_assert_int_eq(follower_state(follower), FOLLOWER_DROP);
}
END_TEST

START_TEST(terminal_codes_end_it)
{
    static const unsigned codes[] = {1009, 3500, 3508, 3999, 4500, 4999};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        given(1, NULL, 0, false);
        when_subscribed();
        follower_closed(follower, codes[i], span_text("why"), now_ms);
        ck_assert_int_eq(follower_state(follower), FOLLOWER_OVER);
        follower_destroy(&follower);
    }
}
END_TEST

START_TEST(other_codes_come_back)
{
    static const unsigned codes[] = {0, 1000, 1001, 1006, 1011, 3000, 3001, 3499, 4000, 4499, 5000};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        given(1, NULL, 0, false);
        when_subscribed();
        follower_closed(follower, codes[i], span_text("why"), now_ms);
        ck_assert_int_eq(follower_state(follower), FOLLOWER_WAITING);
        int64_t wait_ms = follower_wait(follower, now_ms);
        ck_assert(wait_ms >= 500 && wait_ms <= 1000);
        follower_destroy(&follower);
    }
}
END_TEST

START_TEST(backoff_grows_to_its_limit)
{
    for (unsigned failures = 0; failures < 40; failures++) {
        int64_t spread = failures < 6 ? 500 << failures : 20000;
        int64_t longest =
            follower_backoff_ms(failures, (uint32_t)(spread > 20000 ? 20000 : spread));
        ck_assert_int_eq(follower_backoff_ms(failures, 0), 500);
        ck_assert_int_eq(longest, 500 + (spread > 20000 ? 20000 : spread));
        ck_assert_int_le(follower_backoff_ms(failures, UINT32_MAX), 20500);
    }
}
END_TEST

START_TEST(refusals_end_or_wait)
{
    given(2, NULL, 0, false);
    when_opened();
    server_says("{\"id\":1,\"connect\":{\"client\":\"c\"}}");
    buffer_reset(follower_notes(follower));
    server_says("{\"id\":2,\"error\":{\"code\":403,\"message\":\"read permission refused\"}}");
    expect_notes("refused chat: 403 read permission refused\n");
    ck_assert_int_eq(follower_state(follower), FOLLOWER_OPEN);
    server_says("{\"id\":3,\"error\":{\"code\":100,\"message\":\"later\",\"temporary\":true}}");
    ck_assert_int_eq(follower_state(follower), FOLLOWER_OPEN);
    int64_t wait_ms = follower_wait(follower, now_ms);
    ck_assert(wait_ms >= 500 && wait_ms <= 1000);
    now_ms += wait_ms;
    follower_tick(follower, now_ms);
    expect_sent("{\"id\":4,\"subscribe\":{\"channel\":\"news\",\"recoverable\":true,"
                "\"positioned\":true}}");
    server_says("{\"id\":4,\"error\":{\"code\":404,\"message\":\"no\"}}");
    ck_assert_int_eq(follower_state(follower), FOLLOWER_OVER);
}
END_TEST

START_TEST(a_refused_connect_ends_unless_it_is_temporary)
{
    given(1, NULL, 0, false);
    when_opened();
    server_says("{\"id\":1,\"error\":{\"code\":100,\"message\":\"m\",\"temporary\":true}}");
    ck_assert_int_eq(follower_state(follower), FOLLOWER_DROP);
    follower_closed(follower, 1006, span_text("lost"), now_ms);
    when_opened();
    server_says("{\"id\":3,\"error\":{\"code\":103,\"message\":\"permission denied\"}}");
    expect_notes("connection refused: 103 permission denied\n");
    ck_assert_int_eq(follower_state(follower), FOLLOWER_OVER);
}
END_TEST

START_TEST(unsubscribe_codes_end_or_resubscribe)
{
    given(1, NULL, 0, false);
    when_subscribed();
    server_says("{\"push\":{\"channel\":\"chat\",\"unsubscribe\":{\"code\":2500,"
                "\"reason\":\"insufficient state\"}}}");
    expect_notes("unsubscribed from chat: 2500 insufficient state\n");
    expect_sent("{\"id\":3,\"subscribe\":{\"channel\":\"chat\",\"recoverable\":true,"
                "\"positioned\":true,\"recover\":true,\"epoch\":\"e1\",\"offset\":4}}");
    server_says("{\"id\":3,\"subscribe\":{\"was_recovering\":true,\"epoch\":\"e2\",\"offset\":0}}");
    server_says(
        "{\"push\":{\"channel\":\"chat\",\"unsubscribe\":{\"code\":2000,\"reason\":\"r\"}}}");
    ck_assert_int_eq(follower_state(follower), FOLLOWER_OVER);
}
END_TEST

START_TEST(nonsense_drops_the_connection)
{
    static const char *lines[] = {
        "nonsense",
        "[]",
        "{\"push\":",
        "1",
        "{\"push\":{\"channel\":\"chat\",\"pub\":{\"data\":3,\"offset\":5}}}",
        "{\"push\":{\"channel\":\"chat\",\"pub\":{\"offset\":5}}}"};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        given(1, NULL, 0, false);
        when_subscribed();
        server_says(lines[i]);
        ck_assert_int_eq(follower_state(follower), FOLLOWER_DROP);
        follower_destroy(&follower);
    }
}
END_TEST

START_TEST(what_is_not_known_is_ignored)
{
    given(1, NULL, 0, false);
    when_subscribed();
    server_says("{\"push\":{\"channel\":\"other\",\"pub\":{\"data\":{},\"offset\":5}}}\n"
                "{\"push\":{\"channel\":\"chat\",\"join\":{}}}\n"
                "{\"id\":99,\"subscribe\":{}}\n"
                "{\"new\":{}}");
    ck_assert_int_eq(follower_state(follower), FOLLOWER_OPEN);
    expect_messages("");
    expect_sent("");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("follower");
    TCase *tests = tcase_create("all");
    tcase_add_checked_fixture(tests, NULL, teardown);
    tcase_add_test(tests, the_first_frame_connects_and_subscribes);
    tcase_add_test(tests, a_message_is_printed_with_address_and_offset);
    tcase_add_test(tests, json_mode_prints_everything_as_objects);
    tcase_add_test(tests, a_reconnect_recovers_from_the_last_position);
    tcase_add_test(tests, an_unrecovered_position_moves_to_the_new_one);
    tcase_add_test(tests, a_hole_is_never_silent);
    tcase_add_test(tests, what_was_left_out_is_told_and_is_no_hole);
    tcase_add_test(tests, what_was_left_out_is_an_object_in_json);
    tcase_add_test(tests, pings_are_answered_and_missed);
    tcase_add_test(tests, a_late_answer_drops_the_connection);
    tcase_add_test(tests, terminal_codes_end_it);
    tcase_add_test(tests, other_codes_come_back);
    tcase_add_test(tests, backoff_grows_to_its_limit);
    tcase_add_test(tests, refusals_end_or_wait);
    tcase_add_test(tests, a_refused_connect_ends_unless_it_is_temporary);
    tcase_add_test(tests, unsubscribe_codes_end_or_resubscribe);
    tcase_add_test(tests, nonsense_drops_the_connection);
    tcase_add_test(tests, what_is_not_known_is_ignored);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
