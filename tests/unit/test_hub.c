#include <stdio.h>

#include "hub_world.h"
#include "proto/bus_codec.h"
#include "unit.h"

/* The client protocol's rules, one by one, with the broker in the test's hands. */

static struct world world;

static void given(void)
{
    struct hub_settings settings = world_settings();
    world_open(&world, &settings);
    world_connect(&world, 0);
}

static void given_settings(struct hub_settings settings)
{
    world_open(&world, &settings);
    world_connect(&world, 0);
}

static void done(void)
{
    world_close(&world);
}

static void expect_from(size_t client, const char *part)
{
    char *text = world_next(&world, client);
    ck_assert_msg(text != NULL, "nothing came, expected %s", part);
    ck_assert_msg(strstr(text, part) != NULL, "%s came, expected %s", text, part);
    free(text);
}

static void expect(const char *part)
{
    expect_from(0, part);
}

static void expect_nothing(void)
{
    char *text = world_next(&world, 0);
    ck_assert_msg(text == NULL, "%s came, expected nothing", text);
}

static void expect_closed(enum client_close code)
{
    ck_assert(world.clients[0].has_been_closed);
    ck_assert_int_eq(world.clients[0].code, code);
}

static void send(const char *text)
{
    world_send(&world, 0, "%s", text);
}

static void subscribed(const char *channel)
{
    world_send(&world, 0, "{\"id\":2,\"subscribe\":{\"channel\":\"%s\"}}", channel);
    world_settle(&world);
    expect("\"subscribe\":{");
}

START_TEST(connect_comes_first)
{
    given();
    world_disconnect(&world, 0);
    static const char *const first[] = {"{}", "{\"id\":1,\"subscribe\":{\"channel\":\"s0\"}}"};
    for (size_t i = 0; i < 2; i++) {
        world.clients[0].has_been_closed = false;
        world.clients[0].session = hub_session_opened(world.hub, (void *)0, world.now_ms);
        send(first[i]);
        expect_closed(CLIENT_CLOSE_BAD_REQUEST);
    }
    done();
}
END_TEST

START_TEST(connect_comes_once)
{
    given();
    send("{\"id\":2,\"connect\":{}}");
    expect_closed(CLIENT_CLOSE_BAD_REQUEST);
    done();
}
END_TEST

START_TEST(connect_comes_in_time)
{
    given();
    world_disconnect(&world, 0);
    world.clients[0].session = hub_session_opened(world.hub, (void *)0, world.now_ms);
    world_advance(&world, 9000);
    ck_assert(!world.clients[0].has_been_closed);
    world_advance(&world, 1200);
    expect_closed(CLIENT_CLOSE_STALE);
    done();
}
END_TEST

START_TEST(a_token_without_a_key_fails_closed)
{
    given();
    world_disconnect(&world, 0);
    world.clients[0].session = hub_session_opened(world.hub, (void *)0, world.now_ms);
    send("{\"id\":1,\"connect\":{\"token\":\"a.b.c\"}}");
    expect_closed(CLIENT_CLOSE_INVALID_TOKEN);
    done();
}
END_TEST

START_TEST(anonymous_can_be_refused)
{
    struct hub_settings settings = world_settings();
    settings.anonymous = false;
    world_open(&world, &settings);
    world.clients[0].session = hub_session_opened(world.hub, (void *)0, world.now_ms);
    send("{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{\"channel\":\"s0\"}}");
    expect("{\"id\":1,\"error\":{\"code\":101");
    expect_nothing(); /* the rest of that frame was sent in good faith */
    ck_assert(!world.clients[0].has_been_closed);
    send("{\"id\":3,\"subscribe\":{\"channel\":\"s0\"}}");
    expect_closed(CLIENT_CLOSE_BAD_REQUEST);
    done();
}
END_TEST

START_TEST(the_reply_comes_before_any_push)
{
    given();
    send("{\"id\":2,\"subscribe\":{\"channel\":\"s0\"}}");
    while (world_move_topic(&world))
        continue;
    world_publish(&world, 0); /* in front of the fence's answer */
    world_settle(&world);
    world_publish(&world, 0);
    world_settle(&world);
    expect("\"offset\":1");
    expect("{\"push\":{\"channel\":\"s0\",\"pub\":{\"data\":{\"e\":1,\"n\":2},\"offset\":2}}}");
    expect_nothing();
    done();
}
END_TEST

START_TEST(commands_of_one_channel_are_serial)
{
    given();
    send("{\"id\":2,\"subscribe\":{\"channel\":\"s0\"}}\n{\"id\":3,\"unsubscribe\":{\"channel\":"
         "\"s0\"}}\n"
         "{\"id\":4,\"subscribe\":{\"channel\":\"s0\"}}\n{\"id\":5,\"unsubscribe\":{\"channel\":"
         "\"s0\"}}\n"
         "{\"id\":6,\"subscribe\":{\"channel\":\"s0\"}}");
    world_settle(&world);
    expect("{\"id\":2,\"subscribe\":{");
    expect("{\"id\":3,\"unsubscribe\":{}}");
    expect("{\"id\":4,\"subscribe\":{");
    expect("{\"id\":5,\"unsubscribe\":{}}");
    expect("{\"id\":6,\"subscribe\":{");
    world_publish(&world, 0);
    world_settle(&world);
    expect("\"push\"");
    done();
}
END_TEST

START_TEST(no_push_after_unsubscribe)
{
    given();
    subscribed("s0");
    send("{\"id\":3,\"unsubscribe\":{\"channel\":\"s0\"}}");
    expect("{\"id\":3,\"unsubscribe\":{}}");
    world_publish(&world, 0);
    world_settle(&world);
    expect_nothing();
    send("{\"id\":4,\"unsubscribe\":{\"channel\":\"s0\"}}");
    expect("{\"id\":4,\"unsubscribe\":{}}"); /* must never fail */
    done();
}
END_TEST

START_TEST(each_address_once)
{
    given();
    subscribed("s0");
    send("{\"id\":3,\"subscribe\":{\"channel\":\"s0\"}}");
    expect("{\"id\":3,\"error\":{\"code\":105");
    send("{\"id\":4,\"subscribe\":{\"channel\":\"/s0\"}}");
    expect("{\"id\":4,\"error\":{\"code\":105");
    done();
}
END_TEST

START_TEST(each_client_hears_its_own_string)
{
    given();
    world_connect(&world, 1);
    subscribed("s0");
    world_send(&world, 1, "{\"id\":2,\"subscribe\":{\"channel\":\"/s0\"}}");
    world_settle(&world);
    expect_from(1, "\"subscribe\"");
    world_publish(&world, 0);
    world_settle(&world);
    expect("{\"push\":{\"channel\":\"s0\",");
    expect_from(1, "{\"push\":{\"channel\":\"/s0\",");
    done();
}
END_TEST

START_TEST(subscriptions_are_bounded)
{
    struct hub_settings settings = world_settings();
    settings.subscriptions = 2;
    given_settings(settings);
    subscribed("s0");
    subscribed("s1");
    send("{\"id\":4,\"subscribe\":{\"channel\":\"s2\"}}");
    expect("{\"id\":4,\"error\":{\"code\":106");
    send("{\"id\":5,\"unsubscribe\":{\"channel\":\"s0\"}}");
    expect("\"unsubscribe\":{}");
    send("{\"id\":6,\"subscribe\":{\"channel\":\"s2\"}}");
    world_settle(&world);
    expect("{\"id\":6,\"subscribe\":{");
    done();
}
END_TEST

START_TEST(what_clients_may_not_do)
{
    given();
    static const char *const cases[][2] = {
        {"{\"id\":2,\"publish\":{\"channel\":\"s0\",\"data\":{}}}", "\"code\":103"},
        {"{\"id\":3,\"rpc\":{\"method\":\"x\"}}", "\"code\":108"},
        {"{\"id\":4,\"presence\":{\"channel\":\"s0\"}}", "\"code\":103"},
        {"{\"id\":5,\"presence_stats\":{\"channel\":\"s0\"}}", "\"code\":103"},
        {"{\"id\":6,\"history\":{\"channel\":\"s0\"}}", "\"code\":103"},
        {"{\"id\":7,\"sub_refresh\":{\"channel\":\"s0\",\"token\":\"\"}}", "\"code\":103"},
        {"{\"id\":8,\"subscribe\":{\"channel\":\"a b\"}}", "\"code\":400"},
        {"{\"id\":9,\"subscribe\":{\"channel\":\"app/s0\"}}", "\"code\":404"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        send(cases[i][0]);
        expect(cases[i][1]);
    }
    send("{\"send\":{\"data\":{}}}");
    expect_closed(CLIENT_CLOSE_NOT_AVAILABLE);
    done();
}
END_TEST

START_TEST(pings_want_pongs)
{
    given();
    send("{}"); /* nobody asked */
    expect_closed(CLIENT_CLOSE_BAD_REQUEST);
    world_connect(&world, 0);
    world_advance(&world, 26000);
    expect("{}");
    send("{}");
    world_advance(&world, 26000);
    expect("{}");
    world_advance(&world, 10200);
    expect_closed(CLIENT_CLOSE_NO_PONG);
    done();
}
END_TEST

START_TEST(silence_of_the_broker_is_answered_in_time)
{
    given();
    send("{\"id\":2,\"subscribe\":{\"channel\":\"s0\"}}");
    send("{\"id\":3,\"unsubscribe\":{\"channel\":\"s0\"}}");
    world_advance(&world, 3900);
    expect_nothing();
    world_advance(&world, 300);
    expect("{\"id\":2,\"error\":{\"code\":100,\"message\":\"the broker did not answer in "
           "time\",\"temporary\":true}}");
    expect("{\"id\":3,\"unsubscribe\":{}}");
    world_settle(&world); /* the late answer meets nobody */
    expect_nothing();
    done();
}
END_TEST

START_TEST(without_a_broker_the_error_is_temporary)
{
    given();
    subscribed("s1");
    world_break_link(&world);
    send("{\"id\":3,\"subscribe\":{\"channel\":\"s0\"}}");
    expect("{\"id\":3,\"error\":{\"code\":100");
    world_publish(&world, 1);
    world_mend_link(&world);
    world_settle(&world);
    expect("\"pub\"");
    done();
}
END_TEST

START_TEST(a_slow_reader_is_closed_and_others_are_not)
{
    struct hub_settings settings = world_settings();
    settings.queue_bytes = 400;
    given_settings(settings);
    world_connect(&world, 1);
    subscribed("s0");
    world_send(&world, 1, "{\"id\":2,\"subscribe\":{\"channel\":\"s0\"}}");
    world_settle(&world);
    expect_from(1, "\"subscribe\"");
    /* Client 0 asks for more in one turn than its queue holds. */
    char commands[2048] = "";
    for (int i = 0; i < 20; i++)
        snprintf(commands + strlen(commands), sizeof commands - strlen(commands),
                 "{\"id\":%d,\"rpc\":{\"method\":\"s0\"}}%s", 10 + i, i < 19 ? "\n" : "");
    send(commands);
    expect_closed(CLIENT_CLOSE_SLOW);
    expect_nothing(); /* what was queued is not worth sending */
    world_publish(&world, 0);
    world_settle(&world);
    expect_from(1, "\"pub\"");
    ck_assert(!world.clients[1].has_been_closed);
    done();
}
END_TEST

START_TEST(an_address_is_left_after_a_while)
{
    given();
    subscribed("s0");
    ck_assert(world.streams[0].has_interest);
    world_disconnect(&world, 0);
    world_advance(&world, 9000);
    world_settle(&world);
    ck_assert(world.streams[0].has_interest);
    world_advance(&world, 1200);
    world_settle(&world);
    ck_assert(!world.streams[0].has_interest);
    done();
}
END_TEST

START_TEST(few_addresses_linger_at_once)
{
    struct hub_settings settings = world_settings();
    settings.linger_addresses = 1;
    given_settings(settings);
    subscribed("s0");
    subscribed("s1");
    subscribed("s2");
    world_disconnect(&world, 0);
    world_settle(&world);
    ck_assert_int_eq(world.streams[0].has_interest + world.streams[1].has_interest +
                         world.streams[2].has_interest,
                     1);
    ck_assert_uint_eq(hub_metrics(world.hub, world.now_ms)->linger_cut_total, 2);
    done();
}
END_TEST

START_TEST(a_lost_epoch_is_told_before_anything_else)
{
    given();
    subscribed("s0");
    world_publish(&world, 0);
    world_settle(&world);
    expect("\"offset\":1");
    world_forget(&world, 0);
    world_publish(&world, 0);
    world_settle(&world);
    expect_nothing();
    world_advance(&world, 100);
    expect("{\"push\":{\"channel\":\"s0\",\"unsubscribe\":{\"code\":2500,\"reason\":\"insufficient "
           "state\"}}}");
    world_publish(&world, 0);
    world_settle(&world);
    expect_nothing();
    done();
}
END_TEST

START_TEST(a_late_fence_is_sent_again)
{
    given();
    send("{\"id\":2,\"subscribe\":{\"channel\":\"s0\"}}");
    while (world.topics.count) { /* the broker's end was not there yet: all topics are lost */
        world_move_topic(&world);
    }
    while (world.publications.count) {
        struct buffer *lost = &world.publications.items[--world.publications.count];
        buffer_free(lost);
    }
    world_advance(&world, 1100);
    world_settle(&world);
    expect("{\"id\":2,\"subscribe\":{");
    ck_assert_uint_eq(hub_metrics(world.hub, world.now_ms)->fences_late_total, 1);
    done();
}
END_TEST

START_TEST(recoveries_come_one_after_the_other)
{
    given();
    for (int i = 0; i < 3; i++) {
        world_publish(&world, 0);
        world_publish(&world, 1);
    }
    send("{\"id\":2,\"subscribe\":{\"channel\":\"s0\",\"recover\":true,\"epoch\":"
         "\"0000000000000001\",\"offset\":1}}\n"
         "{\"id\":3,\"subscribe\":{\"channel\":\"s1\",\"recover\":true,\"epoch\":"
         "\"0000000000000002\",\"offset\":2}}");
    while (world_move_topic(&world) || world_move_publication(&world))
        continue;
    ck_assert_uint_eq(world.questions.count, 1);
    world_move_question(&world);
    ck_assert_uint_eq(world.questions.count, 0); /* the second waits for the first */
    world_settle(&world);
    expect("\"recovered\":true");
    expect("\"recovered\":true");
    done();
}
END_TEST

START_TEST(ready_needs_link_and_canary)
{
    given();
    ck_assert(!hub_is_ready(world.hub, world.now_ms));
    world_canary(&world);
    world_settle(&world);
    ck_assert(hub_is_ready(world.hub, world.now_ms));
    ck_assert(!hub_is_ready(world.hub, world.now_ms + 6000));
    world_break_link(&world);
    ck_assert(!hub_is_ready(world.hub, world.now_ms));
    done();
}
END_TEST

START_TEST(ready_needs_a_canary_of_this_broker)
{
    given();
    world_canary(&world);
    world_settle(&world);
    ck_assert(hub_is_ready(world.hub, world.now_ms));
    world_restart_broker(&world);
    ck_assert(!hub_is_ready(world.hub, world.now_ms)); /* the last canary was another one's */
    world_canary(&world);
    world_settle(&world);
    ck_assert(hub_is_ready(world.hub, world.now_ms));
    done();
}
END_TEST

/* A client that is not pinged for hours. */
static void given_quiet(int64_t audit_ms)
{
    struct hub_settings settings = world_settings();
    settings.ping_ms = 10000000;
    settings.audit_ms = audit_ms;
    given_settings(settings);
}

static const struct hub_metrics *metrics(void)
{
    return hub_metrics(world.hub, world.now_ms);
}

/* Offset 1 of s0 is lost on its way, and nothing has told of it yet. */
static void given_a_silent_hole(void)
{
    given_quiet(40000);
    subscribed("s0");
    world_canary(&world);
    world.lose_next = true;
    world_publish(&world, 0);
    world_settle(&world);
    expect_nothing();
    ck_assert_uint_eq(metrics()->resyncs_total, 1); /* that of the start */
}

static void expect_mended(void)
{
    world_settle(&world);
    expect("\"pub\":{\"data\":{\"e\":1,\"n\":1}");
    expect_nothing();
    ck_assert_uint_eq(metrics()->resyncs_total, 2);
}

START_TEST(three_seconds_of_silence_are_a_cause)
{
    given_a_silent_hole();
    world_advance(&world, 2900);
    world_settle(&world);
    expect_nothing();
    world_advance(&world, 200);
    expect_mended();
    ck_assert_uint_eq(metrics()->canaries_silent_total, 1);
    done();
}
END_TEST

START_TEST(a_skipped_canary_is_a_cause)
{
    given_a_silent_hole();
    world.canary++;
    world_canary(&world);
    expect_mended();
    ck_assert_uint_eq(metrics()->canaries_missed_total, 1);
    done();
}
END_TEST

START_TEST(a_canary_of_another_broker_is_a_cause)
{
    given_a_silent_hole();
    world.broker++;
    world_canary(&world); /* with the number that would be next */
    expect_mended();
    done();
}
END_TEST

START_TEST(a_lost_publications_link_is_a_cause)
{
    given_a_silent_hole();
    hub_publications_lost(world.hub, world.now_ms);
    world_advance(&world, 16);
    expect_mended();
    ck_assert_uint_eq(hub_metrics(world.hub, world.now_ms)->publications_link_lost_total, 1);
    done();
}
END_TEST

START_TEST(a_control_link_that_comes_back_is_a_cause)
{
    given_a_silent_hole();
    world_break_link(&world);
    world_mend_link(&world);
    expect_mended();
    done();
}
END_TEST

START_TEST(canaries_in_their_order_are_none)
{
    given_a_silent_hole();
    for (int second = 0; second < 30; second++) {
        world_canary(&world);
        world_settle(&world);
        world_advance(&world, 1000);
    }
    ck_assert_uint_eq(metrics()->resyncs_total, 1);
    done();
}
END_TEST

START_TEST(a_long_silence_is_no_storm)
{
    given();
    subscribed("s0");
    for (int second = 0; second < 600; second++) {
        world_advance(&world, 1000);
        world_settle(&world);
    }
    ck_assert_uint_ge(metrics()->canaries_silent_total, 10);
    ck_assert_uint_le(metrics()->canaries_silent_total, 20);
    world_canary(&world); /* the voice is back: the next silence counts from 3 s again */
    world_settle(&world);
    uint64_t before = metrics()->canaries_silent_total;
    world_advance(&world, 3100);
    ck_assert_uint_eq(metrics()->canaries_silent_total, before + 1);
    done();
}
END_TEST

START_TEST(without_the_link_nobody_waits_for_canaries)
{
    given();
    subscribed("s0");
    world_break_link(&world);
    world_advance(&world, 20000);
    ck_assert_uint_eq(metrics()->canaries_silent_total, 0);
    world_mend_link(&world); /* from here on they are due */
    world_advance(&world, 2900);
    ck_assert_uint_eq(metrics()->canaries_silent_total, 0);
    done();
}
END_TEST

/* The seconds of a broker whose digests get lost. */
static void seconds_without_digests(int count)
{
    for (int i = 0; i < count; i++) {
        world_advance(&world, 1000);
        world_canary(&world);
        world_settle(&world);
    }
}

START_TEST(the_audit_finds_what_nothing_else_has_shown)
{
    given_a_silent_hole();
    seconds_without_digests(43);
    expect("\"pub\":{\"data\":{\"e\":1,\"n\":1}");
    expect_nothing();
    ck_assert_uint_eq(metrics()->audit_holes_total, 1);
    ck_assert_uint_eq(metrics()->gaps_total, 1);
    ck_assert_uint_eq(metrics()->resyncs_total, 1);
    ck_assert_uint_ge(metrics()->audited_total, 1);
    ck_assert_uint_le(metrics()->audited_total, 2);
    done();
}
END_TEST

START_TEST(the_audit_comes_once_in_its_time)
{
    given_quiet(40000);
    subscribed("s0");
    subscribed("s1");
    seconds_without_digests(41);
    uint64_t before = metrics()->audited_total;
    seconds_without_digests(400);
    ck_assert_uint_eq(metrics()->audited_total - before, 20);
    ck_assert_uint_eq(metrics()->audit_holes_total, 0);
    done();
}
END_TEST

START_TEST(the_audit_can_be_off)
{
    given_quiet(0);
    subscribed("s0");
    world_canary(&world);
    world.lose_next = true;
    world_publish(&world, 0);
    seconds_without_digests(200);
    expect_nothing();
    ck_assert_uint_eq(metrics()->audited_total, 0);
    done();
}
END_TEST

/* A canary that overtakes what waits in the world's queue. */
static void hear_canary(void)
{
    uint8_t canary[BUS_CANARY_BYTES];
    bus_write_canary(canary, world.broker, ++world.canary);
    hub_publication(world.hub, span_of(canary, sizeof canary), world.now_ms);
}

START_TEST(an_answer_that_overtakes_is_no_hole)
{
    given_quiet(40000);
    subscribed("s0");
    for (int second = 0; second < 41 && world.questions.count == 0; second++) {
        hear_canary();
        world_advance(&world, 1000);
    }
    world_publish(&world, 0); /* on its way for long */
    ck_assert_uint_eq(world.questions.count, 1);
    while (world_move_question(&world) || world_move_answer(&world))
        continue;
    ck_assert_uint_eq(metrics()->audited_total, 1);
    hear_canary(); /* was sent before the publication */
    world_canary(&world);
    world_settle(&world);
    expect("\"pub\"");
    ck_assert_uint_eq(metrics()->gaps_total, 0);
    done();
}
END_TEST

START_TEST(a_lost_audit_is_asked_again)
{
    given_a_silent_hole();
    for (int second = 0; second < 41 && world.questions.count == 0; second++) {
        world_canary(&world);
        world_move_publication(&world);
        world_advance(&world, 1000);
    }
    ck_assert_uint_eq(world.questions.count, 1);
    buffer_free(&world.questions.items[--world.questions.count]); /* lost on its way */
    seconds_without_digests(45);
    expect("\"pub\"");
    ck_assert_uint_eq(metrics()->audit_unanswered_total, 1);
    ck_assert_uint_eq(metrics()->audit_holes_total, 1);
    done();
}
END_TEST

START_TEST(sessions_are_closed_until_so_many_are_left)
{
    given();
    for (size_t client = 1; client < 4; client++)
        world_connect(&world, client);
    hub_close_sessions(world.hub, CLIENT_CLOSE_SHUTDOWN, 3, world.now_ms);
    ck_assert_uint_eq(hub_session_open_count(world.hub), 3);
    ck_assert_uint_eq(hub_session_count(world.hub), 4); /* until its client is gone */
    hub_close_sessions(world.hub, CLIENT_CLOSE_SHUTDOWN, 3, world.now_ms);
    ck_assert_uint_eq(hub_session_open_count(world.hub), 3);
    world_advance(&world, 16);
    ck_assert_uint_eq(hub_session_count(world.hub), 3);
    expect_closed(CLIENT_CLOSE_SHUTDOWN); /* the oldest */
    hub_close_sessions(world.hub, CLIENT_CLOSE_SHUTDOWN, 0, world.now_ms);
    ck_assert_uint_eq(hub_session_open_count(world.hub), 0);
    world_advance(&world, 16);
    ck_assert_uint_eq(hub_session_count(world.hub), 0);
    done();
}
END_TEST

START_TEST(commands_in_flight_are_bounded)
{
    struct hub_settings settings = world_settings();
    settings.pending_commands = 3;
    given_settings(settings);
    send("{\"id\":2,\"subscribe\":{\"channel\":\"s0\"}}\n{\"id\":3,\"unsubscribe\":{\"channel\":"
         "\"s0\"}}\n"
         "{\"id\":4,\"subscribe\":{\"channel\":\"s0\"}}\n{\"id\":5,\"unsubscribe\":{\"channel\":"
         "\"s0\"}}");
    expect_closed(CLIENT_CLOSE_TOO_MANY_REQUESTS);
    done();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("hub");
    TCase *rules = tcase_create("rules");
    tcase_add_test(rules, connect_comes_first);
    tcase_add_test(rules, connect_comes_once);
    tcase_add_test(rules, connect_comes_in_time);
    tcase_add_test(rules, a_token_without_a_key_fails_closed);
    tcase_add_test(rules, anonymous_can_be_refused);
    tcase_add_test(rules, the_reply_comes_before_any_push);
    tcase_add_test(rules, commands_of_one_channel_are_serial);
    tcase_add_test(rules, no_push_after_unsubscribe);
    tcase_add_test(rules, each_address_once);
    tcase_add_test(rules, each_client_hears_its_own_string);
    tcase_add_test(rules, subscriptions_are_bounded);
    tcase_add_test(rules, what_clients_may_not_do);
    tcase_add_test(rules, pings_want_pongs);
    tcase_add_test(rules, silence_of_the_broker_is_answered_in_time);
    tcase_add_test(rules, without_a_broker_the_error_is_temporary);
    tcase_add_test(rules, a_slow_reader_is_closed_and_others_are_not);
    tcase_add_test(rules, an_address_is_left_after_a_while);
    tcase_add_test(rules, few_addresses_linger_at_once);
    tcase_add_test(rules, a_lost_epoch_is_told_before_anything_else);
    tcase_add_test(rules, a_late_fence_is_sent_again);
    tcase_add_test(rules, recoveries_come_one_after_the_other);
    tcase_add_test(rules, ready_needs_link_and_canary);
    tcase_add_test(rules, ready_needs_a_canary_of_this_broker);
    tcase_add_test(rules, three_seconds_of_silence_are_a_cause);
    tcase_add_test(rules, a_skipped_canary_is_a_cause);
    tcase_add_test(rules, a_canary_of_another_broker_is_a_cause);
    tcase_add_test(rules, a_lost_publications_link_is_a_cause);
    tcase_add_test(rules, a_control_link_that_comes_back_is_a_cause);
    tcase_add_test(rules, canaries_in_their_order_are_none);
    tcase_add_test(rules, a_long_silence_is_no_storm);
    tcase_add_test(rules, without_the_link_nobody_waits_for_canaries);
    tcase_add_test(rules, the_audit_finds_what_nothing_else_has_shown);
    tcase_add_test(rules, the_audit_comes_once_in_its_time);
    tcase_add_test(rules, the_audit_can_be_off);
    tcase_add_test(rules, an_answer_that_overtakes_is_no_hole);
    tcase_add_test(rules, a_lost_audit_is_asked_again);
    tcase_add_test(rules, sessions_are_closed_until_so_many_are_left);
    tcase_add_test(rules, commands_in_flight_are_bounded);
    suite_add_tcase(suite, rules);
    return unit_run(suite);
}
