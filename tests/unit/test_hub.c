#include <stdio.h>

#include "client_world.h"
#include "heap.h"
#include "unit.h"

/* The client protocol's rules, one by one, with the broker in the test's hands. */

START_TEST(connect_comes_first)
{
    given();
    world_disconnect(&world, 0);
    static const char *const first[] = {"{}", "{\"id\":1,\"subscribe\":{\"channel\":\"s0\"}}"};
    for (size_t i = 0; i < 2; i++) {
        world.clients[0].has_been_closed = false;
        world.clients[0].session = hub_session_opened(world.hub, (void *)0, world.now_ms);
        say(first[i]);
        expect_closed(CLIENT_CLOSE_BAD_REQUEST);
    }
    done();
}
END_TEST

START_TEST(connect_comes_once)
{
    given();
    say("{\"id\":2,\"connect\":{}}");
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
    say("{\"id\":1,\"connect\":{\"token\":\"a.b.c\"}}");
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
    say("{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{\"channel\":\"s0\"}}");
    expect("{\"id\":1,\"error\":{\"code\":101");
    expect_nothing(); /* the rest of that frame was sent in good faith */
    ck_assert(!world.clients[0].has_been_closed);
    say("{\"id\":3,\"subscribe\":{\"channel\":\"s0\"}}");
    expect_closed(CLIENT_CLOSE_BAD_REQUEST);
    done();
}
END_TEST

START_TEST(the_reply_comes_before_any_push)
{
    given();
    say("{\"id\":2,\"subscribe\":{\"channel\":\"s0\"}}");
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
    say("{\"id\":2,\"subscribe\":{\"channel\":\"s0\"}}\n{\"id\":3,\"unsubscribe\":{\"channel\":"
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
    subscribe(0, "s0");
    say("{\"id\":3,\"unsubscribe\":{\"channel\":\"s0\"}}");
    expect("{\"id\":3,\"unsubscribe\":{}}");
    world_publish(&world, 0);
    world_settle(&world);
    expect_nothing();
    say("{\"id\":4,\"unsubscribe\":{\"channel\":\"s0\"}}");
    expect("{\"id\":4,\"unsubscribe\":{}}"); /* must never fail */
    done();
}
END_TEST

START_TEST(each_address_once)
{
    given();
    subscribe(0, "s0");
    say("{\"id\":3,\"subscribe\":{\"channel\":\"s0\"}}");
    expect("{\"id\":3,\"error\":{\"code\":105");
    say("{\"id\":4,\"subscribe\":{\"channel\":\"/s0\"}}");
    expect("{\"id\":4,\"error\":{\"code\":105");
    done();
}
END_TEST

START_TEST(each_client_hears_its_own_string)
{
    given();
    world_connect(&world, 1);
    subscribe(0, "s0");
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
    subscribe(0, "s0");
    subscribe(0, "s1");
    say("{\"id\":4,\"subscribe\":{\"channel\":\"s2\"}}");
    expect("{\"id\":4,\"error\":{\"code\":106");
    say("{\"id\":5,\"unsubscribe\":{\"channel\":\"s0\"}}");
    expect("\"unsubscribe\":{}");
    say("{\"id\":6,\"subscribe\":{\"channel\":\"s2\"}}");
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
        say(cases[i][0]);
        expect(cases[i][1]);
    }
    say("{\"send\":{\"data\":{}}}");
    expect_closed(CLIENT_CLOSE_NOT_AVAILABLE);
    done();
}
END_TEST

START_TEST(pings_want_pongs)
{
    given();
    say("{}"); /* nobody asked */
    expect_closed(CLIENT_CLOSE_BAD_REQUEST);
    world_connect(&world, 0);
    world_advance(&world, 26000);
    expect("{}");
    say("{}");
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
    say("{\"id\":2,\"subscribe\":{\"channel\":\"s0\"}}");
    say("{\"id\":3,\"unsubscribe\":{\"channel\":\"s0\"}}");
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
    subscribe(0, "s1");
    world_break_link(&world);
    say("{\"id\":3,\"subscribe\":{\"channel\":\"s0\"}}");
    expect("{\"id\":3,\"error\":{\"code\":100");
    world_publish(&world, 1);
    world_mend_link(&world);
    world_settle(&world);
    expect("\"pub\"");
    done();
}
END_TEST

START_TEST(without_a_broker_nothing_is_queued_for_new_addresses)
{
    given();
    subscribe(0, "s0");
    world_break_link(&world);
    for (unsigned id = 3; id < 9; id++) {
        char command[128], error[32];
        snprintf(command, sizeof command, "{\"id\":%u,\"subscribe\":{\"channel\":\"s%u\"}}", id,
                 1 + id % 2);
        say(command);
        snprintf(error, sizeof error, "{\"id\":%u,\"error\":{\"code\":100", id);
        expect(error);
    }
    ck_assert_uint_eq(world.topics.count, 0);
    ck_assert_uint_eq(metrics()->addresses, 1);
    ck_assert_uint_eq(metrics()->linger_cut_total, 0);
    world_mend_link(&world);
    subscribe(0, "s1");
    done();
}
END_TEST

START_TEST(a_slow_reader_is_closed_and_others_are_not)
{
    struct hub_settings settings = world_settings();
    settings.queue_bytes = 400;
    given_settings(settings);
    world_connect(&world, 1);
    subscribe(0, "s0");
    world_send(&world, 1, "{\"id\":2,\"subscribe\":{\"channel\":\"s0\"}}");
    world_settle(&world);
    expect_from(1, "\"subscribe\"");
    /* Client 0 asks for more in one turn than its queue holds. */
    char commands[2048] = "";
    for (int i = 0; i < 20; i++)
        snprintf(commands + strlen(commands), sizeof commands - strlen(commands),
                 "{\"id\":%d,\"rpc\":{\"method\":\"s0\"}}%s", 10 + i, i < 19 ? "\n" : "");
    say(commands);
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
    subscribe(0, "s0");
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
    subscribe(0, "s0");
    subscribe(0, "s1");
    subscribe(0, "s2");
    world_disconnect(&world, 0);
    world_settle(&world);
    ck_assert_int_eq(world.streams[0].has_interest + world.streams[1].has_interest +
                         world.streams[2].has_interest,
                     1);
    ck_assert_uint_eq(metrics()->linger_cut_total, 2);
    done();
}
END_TEST

#define CROWD 4000

/* So many subscribe to s0 and go again, one after the other. */
static void crowd_comes_and_goes(void)
{
    static session_t *crowd[CROWD];
    world_stall(&world, 1); /* what they are told does not matter */
    for (int i = 0; i < CROWD; i++) {
        crowd[i] = hub_session_opened(world.hub, (void *)1, world.now_ms);
        world.clients[1].session = crowd[i];
        world_send(&world, 1,
                   "{\"id\":1,\"connect\":{}}\n"
                   "{\"id\":2,\"subscribe\":{\"channel\":\"s0\"}}");
    }
    world_settle(&world);
    ck_assert_uint_eq(metrics()->subscriptions, CROWD + 1);
    for (int i = 0; i < CROWD; i++)
        hub_session_closed(world.hub, crowd[i], world.now_ms);
    world.clients[1].session = NULL;
}

START_TEST(who_stays_when_a_crowd_has_left_keeps_no_room_for_it)
{
    given();
    subscribe(0, "s0");
    crowd_comes_and_goes();
    published(0);
    expect_publication(0, 1);
    size_t with = heap_bytes();
    say("{\"id\":3,\"unsubscribe\":{\"channel\":\"s0\"}}");
    ck_assert_uint_lt(with, heap_bytes() + 8192);
    done();
}
END_TEST

START_TEST(a_lost_epoch_is_told_before_anything_else)
{
    given();
    subscribe(0, "s0");
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
    say("{\"id\":2,\"subscribe\":{\"channel\":\"s0\"}}");
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
    ck_assert_uint_eq(metrics()->fences_late_total, 1);
    done();
}
END_TEST

static void given_room_to_hold(size_t bytes)
{
    struct hub_settings settings = world_settings();
    settings.held_bytes = bytes;
    given_settings(settings);
    subscribe(0, "s0");
    subscribe(0, "s1");
}

START_TEST(what_all_addresses_hold_is_bounded_and_the_rest_is_fetched)
{
    given_room_to_hold(600);
    hub_publications_lost(world.hub, world.now_ms);
    for (int i = 0; i < 5; i++) { /* no fence comes back */
        published(0);
        published(1);
    }
    expect_nothing();
    ck_assert_uint_gt(metrics()->held_bytes, 0);
    ck_assert_uint_le(metrics()->held_bytes, 600);
    ck_assert_uint_gt(metrics()->held_refused_total, 5);
    world_settle(&world);
    for (int i = 0; i < 10; i++)
        expect("\"pub\"");
    expect_nothing();
    ck_assert_uint_eq(metrics()->held_bytes, 0);
    published(0);
    expect_publication(0, 6);
    done();
}
END_TEST

START_TEST(what_is_not_held_behind_an_answer_is_asked_for_at_once)
{
    given_room_to_hold(200); /* one publication */
    world.lose_next = true;
    world_publish(&world, 0);
    published(0);
    while (world_move_question(&world)) /* the answer does not know what comes now */
        continue;
    published(0);
    ck_assert_uint_eq(metrics()->held_refused_total, 1);
    world_settle(&world);
    for (unsigned offset = 1; offset <= 3; offset++)
        expect_publication(0, offset);
    expect_nothing();
    ck_assert_uint_eq(metrics()->held_bytes, 0);
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
    say("{\"id\":2,\"subscribe\":{\"channel\":\"s0\",\"recover\":true,\"epoch\":"
        "\"0000000000000001\",\"offset\":1}}\n"
        "{\"id\":3,\"subscribe\":{\"channel\":\"s1\",\"recover\":true,\"epoch\":"
        "\"0000000000000002\",\"offset\":2}}");
    fenced();
    ck_assert_uint_eq(world.questions.count, 1);
    world_move_question(&world);
    ck_assert_uint_eq(world.questions.count, 0); /* the second waits for the first */
    world_settle(&world);
    expect("\"recovered\":true");
    expect("\"recovered\":true");
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
    say("{\"id\":2,\"subscribe\":{\"channel\":\"s0\"}}\n{\"id\":3,\"unsubscribe\":{\"channel\":"
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
    TCase *tests = tcase_create("all");
    tcase_add_test(tests, connect_comes_first);
    tcase_add_test(tests, connect_comes_once);
    tcase_add_test(tests, connect_comes_in_time);
    tcase_add_test(tests, a_token_without_a_key_fails_closed);
    tcase_add_test(tests, anonymous_can_be_refused);
    tcase_add_test(tests, the_reply_comes_before_any_push);
    tcase_add_test(tests, commands_of_one_channel_are_serial);
    tcase_add_test(tests, no_push_after_unsubscribe);
    tcase_add_test(tests, each_address_once);
    tcase_add_test(tests, each_client_hears_its_own_string);
    tcase_add_test(tests, subscriptions_are_bounded);
    tcase_add_test(tests, what_clients_may_not_do);
    tcase_add_test(tests, pings_want_pongs);
    tcase_add_test(tests, silence_of_the_broker_is_answered_in_time);
    tcase_add_test(tests, without_a_broker_the_error_is_temporary);
    tcase_add_test(tests, without_a_broker_nothing_is_queued_for_new_addresses);
    tcase_add_test(tests, a_slow_reader_is_closed_and_others_are_not);
    tcase_add_test(tests, an_address_is_left_after_a_while);
    tcase_add_test(tests, few_addresses_linger_at_once);
    tcase_add_test(tests, who_stays_when_a_crowd_has_left_keeps_no_room_for_it);
    tcase_add_test(tests, a_lost_epoch_is_told_before_anything_else);
    tcase_add_test(tests, a_late_fence_is_sent_again);
    tcase_add_test(tests, what_all_addresses_hold_is_bounded_and_the_rest_is_fetched);
    tcase_add_test(tests, what_is_not_held_behind_an_answer_is_asked_for_at_once);
    tcase_add_test(tests, recoveries_come_one_after_the_other);
    tcase_add_test(tests, sessions_are_closed_until_so_many_are_left);
    tcase_add_test(tests, commands_in_flight_are_bounded);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
