#include <stdio.h>
#include <string.h>

#include "client_world.h"
#include "proto/epoch.h"
#include "unit.h"

/* Clients that read too slowly, by the policies of their channels. */

/* As client 0 hears it; `missed` 0: nothing is told. */
static void expect_missed(unsigned long long offset, unsigned missed)
{
    char part[128] = "\"pub\":{\"data\"", number[32];
    if (missed > 0)
        snprintf(part, sizeof part, "\"pub\":{\"tags\":{\"missed\":\"%u\"},\"data\"", missed);
    snprintf(number, sizeof number, "\"offset\":%llu}}}", offset);
    char *text = world_next(&world, 0);
    ck_assert_ptr_nonnull(text);
    ck_assert_msg(strstr(text, part) && strstr(text, number), "%s came, expected %s ... %s", text,
                  part, number);
    free(text);
}

/* Clients 0 and 1 are subscribed to s0, which has this policy; the first one does not read. */
static void given_stalled(enum slow_reader policy, size_t queue_bytes, int64_t queue_ms)
{
    struct hub_settings settings = world_settings();
    settings.queue_bytes = queue_bytes;
    settings.queue_ms = queue_ms;
    settings.ping_ms = 10000000;
    world_open(&world, &settings);
    world.streams[0].slow_reader = policy;
    for (size_t client = 0; client < 2; client++) {
        world_connect(&world, client);
        subscribe(client, "s0");
    }
    world_stall(&world, 0);
}

/* With a broker that is heard. */
static void passed(int64_t ms)
{
    for (; ms > 0; ms -= 1000) {
        world_advance(&world, ms < 1000 ? ms : 1000);
        world_canary(&world);
        world_settle(&world);
    }
}

/* The other one has all of them. */
static void published_to_others(unsigned long long first, unsigned long long last)
{
    for (unsigned long long n = first; n <= last; n++) {
        published(0);
        expect_publication(1, n);
    }
}

START_TEST(disconnect_closes_beyond_the_bytes)
{
    given_stalled(SLOW_READER_DISCONNECT, 500, 20000);
    published_to_others(1, 20);
    expect_closed(CLIENT_CLOSE_SLOW);
    ck_assert_uint_eq(metrics()->closed_slow_total, 1);
    ck_assert_uint_eq(metrics()->closed_slow_late_total, 0);
    ck_assert_uint_eq(metrics()->dropped_latest_total + metrics()->dropped_oldest_total, 0);
    done();
}
END_TEST

START_TEST(disconnect_closes_beyond_the_time)
{
    given_stalled(SLOW_READER_DISCONNECT, 65536, 2000);
    published_to_others(1, 3);
    ck_assert_uint_eq(metrics()->lagging, 1);
    passed(1900);
    ck_assert(!world.clients[0].has_been_closed);
    ck_assert_uint_ge(metrics()->queue_oldest_ms, 1900);
    passed(200);
    expect_closed(CLIENT_CLOSE_SLOW);
    ck_assert_uint_eq(metrics()->closed_slow_late_total, 1);
    ck_assert_uint_eq(metrics()->lagging, 0);
    ck_assert_uint_eq(metrics()->queue_oldest_ms, 0);
    ck_assert(!world.clients[1].has_been_closed);
    done();
}
END_TEST

/* What one frame of the bus brings comes before any of it can be written. */
START_TEST(one_that_reads_is_not_closed_for_what_comes_at_once)
{
    given_stalled(SLOW_READER_DISCONNECT, 500, 20000);
    world_go_on(&world, 0);
    for (int n = 1; n <= 30; n++) {
        world.lose_next = true;
        world_publish(&world, 0);
    }
    world_digest(&world);
    world_settle(&world);
    ck_assert(!world.clients[0].has_been_closed);
    for (unsigned long long n = 1; n <= 30; n++)
        expect_publication(0, n);
    expect_nothing();
    ck_assert_uint_eq(metrics()->repaired_total, 30);
    done();
}
END_TEST

/* Nor is what was held meanwhile put at once. */
START_TEST(one_that_reads_is_not_closed_for_what_was_held)
{
    given_stalled(SLOW_READER_DISCONNECT, 200, 20000);
    world_go_on(&world, 0);
    world.lose_next = true;
    world_publish(&world, 0);
    world_publish(&world, 0); /* shows that the first one is missing */
    ck_assert(world_move_publication(&world) && world_move_question(&world));
    for (int n = 3; n <= 9; n++) { /* what one session may be put at once is less */
        world_publish(&world, 0);
        ck_assert(world_move_publication(&world));
    }
    answers_come();
    ck_assert_int_eq(hub_wait(world.hub, world.now_ms), 0); /* as soon as that was written */
    published(0); /* and this one has its place behind them */
    world_advance(&world, 200);
    for (size_t client = 0; client < 2; client++)
        for (unsigned long long n = 1; n <= 10; n++)
            expect_publication(client, n);
    expect_nothing();
    ck_assert_int_gt(hub_wait(world.hub, world.now_ms), 0);
    done();
}
END_TEST

/* Of a client that does not read, as much as there is in one frame; then the next is too much. */
START_TEST(one_that_does_not_read_is_closed_behind_what_came_at_once)
{
    given_stalled(SLOW_READER_DISCONNECT, 500, 20000);
    for (int n = 1; n <= 30; n++) {
        world.lose_next = true;
        world_publish(&world, 0);
    }
    world_digest(&world);
    world_settle(&world);
    expect_closed(CLIENT_CLOSE_SLOW);
    ck_assert(!world.clients[1].has_been_closed);
    done();
}
END_TEST

/* Client 0, to s0. */
static void comes_back(int id, int offset)
{
    char epoch[EPOCH_TEXT_BYTES];
    epoch_write(epoch, world.streams[0].epoch);
    world_send(&world, 0,
               "{\"id\":%d,\"subscribe\":{\"channel\":\"s0\",\"recover\":true,\"epoch\":\"%.16s\","
               "\"offset\":%d}}",
               id, epoch, offset);
    world_settle(&world);
}

/* A small queue, in which something waits when the reply comes, which is larger than all of it. */
START_TEST(a_recovery_comes_on_top_of_what_may_wait)
{
    given_stalled(SLOW_READER_DISCONNECT, 500, 20000);
    world_go_on(&world, 0);
    world_send(&world, 0, "{\"id\":3,\"unsubscribe\":{\"channel\":\"s0\"}}");
    expect("\"id\":3,");
    published_to_others(1, 30);
    world_stall(&world, 0);
    world_send(&world, 0, "{\"id\":4,\"rpc\":{\"method\":\"x\"}}");
    ck_assert_uint_eq(metrics()->lagging, 1);
    comes_back(5, 0);
    ck_assert_uint_gt(metrics()->bytes_queued, 1000);
    published_to_others(31, 32);
    ck_assert(!world.clients[0].has_been_closed);
    world_go_on(&world, 0);
    expect("\"error\"");
    expect("\"recovered\":true");
    expect_publication(0, 31);
    expect_publication(0, 32);

    world_stall(&world, 0); /* it was read: nothing is on top any more */
    published_to_others(33, 50);
    expect_closed(CLIENT_CLOSE_SLOW);
    done();
}
END_TEST

/* Eight messages for client 0, which may not read them before the broker has said so. */
static void given_held_for(enum slow_reader policy, int64_t ms)
{
    given_stalled(policy, 65536, 1000);
    world_go_on(&world, 0);
    world.streams[0].verdict.grant_ms = BUS_GRANT_ONCE;
    world_send(&world, 0, "{\"id\":3,\"unsubscribe\":{\"channel\":\"s0\"}}");
    world_send(&world, 0, "{\"id\":4,\"subscribe\":{\"channel\":\"s0\"}}");
    world_settle(&world);
    expect("\"id\":3,");
    expect("\"id\":4,");
    published_to_others(1, 8);
    ck_assert_uint_eq(metrics()->held_for_permit, 8);
    world_advance(&world, ms);
    world_stall(&world, 0);
    world_settle(&world);
    ck_assert_uint_eq(metrics()->lagging, 1);
}

START_TEST(time_in_a_guard_is_no_time_in_the_queue)
{
    given_held_for(SLOW_READER_DISCONNECT, 1200);
    ck_assert_uint_eq(metrics()->queue_oldest_ms, 0);
    passed(900);
    ck_assert(!world.clients[0].has_been_closed);
    ck_assert_uint_ge(metrics()->queue_oldest_ms, 900);
    passed(200);
    expect_closed(CLIENT_CLOSE_SLOW);
    ck_assert_uint_eq(metrics()->closed_slow_late_total, 1);
    done();
}
END_TEST

START_TEST(time_in_a_guard_lets_no_message_go)
{
    given_held_for(SLOW_READER_DROP_OLDEST, 1200);
    passed(900);
    world_go_on(&world, 0);
    for (unsigned long long n = 1; n <= 8; n++)
        expect_missed(n, 0);
    ck_assert_uint_eq(metrics()->dropped_oldest_total, 0);
    done();
}
END_TEST

START_TEST(one_that_reads_in_time_is_not_closed)
{
    given_stalled(SLOW_READER_DISCONNECT, 65536, 2000);
    for (unsigned long long n = 1; n <= 40; n++) {
        published_to_others(n, n);
        passed(500);
        if (n <= 2)
            continue; /* it is always two behind */
        world_read(&world, 0, 1);
        expect_publication(0, n - 2);
    }
    ck_assert(!world.clients[0].has_been_closed);
    world_go_on(&world, 0);
    ck_assert_uint_eq(metrics()->lagging, 0);
    done();
}
END_TEST

START_TEST(latest_keeps_the_newest_and_tells)
{
    given_stalled(SLOW_READER_LATEST, 500, 20000); /* seven fit */
    published_to_others(1, 60);
    ck_assert(!world.clients[0].has_been_closed);
    unsigned long long dropped = metrics()->dropped_latest_total;
    ck_assert_uint_gt(dropped, 40);
    ck_assert_uint_le(metrics()->bytes_queued, 500);
    world_go_on(&world, 0);
    expect_missed(1, 0); /* it may have been on its way */
    expect_missed(2 + dropped, (unsigned)dropped);
    for (unsigned long long n = 3 + dropped; n <= 60; n++)
        expect_missed(n, 0);
    expect_nothing();
    published(0);
    expect_missed(61, 0);
    done();
}
END_TEST

/* The broker has other settings, and the gateway learns it with a subscription of another client.
 */
static void policy_becomes(enum slow_reader policy)
{
    world.streams[0].slow_reader = policy;
    world_disconnect(&world, 1);
    world_connect(&world, 1);
    subscribe(1, "s0");
}

START_TEST(what_is_missing_is_told_by_the_next_whatever_its_policy)
{
    given_stalled(SLOW_READER_LATEST, 500, 20000);
    published_to_others(1, 4);
    policy_becomes(SLOW_READER_DISCONNECT);
    published_to_others(5, 5);
    policy_becomes(SLOW_READER_LATEST);
    published_to_others(6, 8);
    ck_assert(!world.clients[0].has_been_closed);
    ck_assert_uint_gt(metrics()->dropped_latest_total, 0);
    world_go_on(&world, 0);
    expect_missed(1, 0);
    expect_missed(5, 3);
    expect_missed(7, 1);
    expect_missed(8, 0);
    expect_nothing();
    done();
}
END_TEST

START_TEST(latest_has_the_newest_only_when_it_waited_too_long)
{
    given_stalled(SLOW_READER_LATEST, 65536, 2000);
    published_to_others(1, 10);
    passed(2100);
    world_go_on(&world, 0);
    expect_missed(1, 0);
    expect_missed(10, 8);
    expect_nothing();
    done();
}
END_TEST

START_TEST(a_newest_one_waits_for_ever_until_a_newer_one_comes)
{
    given_stalled(SLOW_READER_LATEST, 65536, 2000);
    published_to_others(1, 2);
    passed(50000);
    ck_assert(!world.clients[0].has_been_closed);
    published_to_others(3, 3);
    passed(600); /* it is looked at four times in queue_ms */
    world_go_on(&world, 0);
    expect_missed(1, 0);
    expect_missed(3, 1);
    done();
}
END_TEST

START_TEST(drop_oldest_keeps_what_there_is_room_for)
{
    given_stalled(SLOW_READER_DROP_OLDEST, 500, 20000);
    published_to_others(1, 60);
    ck_assert(!world.clients[0].has_been_closed);
    unsigned long long dropped = metrics()->dropped_oldest_total;
    ck_assert_uint_gt(dropped, 40);
    ck_assert_uint_lt(dropped, 57); /* three quarters of the queue stay full */
    world_go_on(&world, 0);
    expect_missed(1, 0);
    expect_missed(2 + dropped, (unsigned)dropped);
    for (unsigned long long n = 3 + dropped; n <= 60; n++)
        expect_missed(n, 0);
    expect_nothing();
    done();
}
END_TEST

START_TEST(drop_oldest_keeps_what_has_not_waited_too_long)
{
    given_stalled(SLOW_READER_DROP_OLDEST, 65536, 2000);
    published_to_others(1, 4);
    passed(1500);
    published_to_others(5, 6);
    passed(700);
    world_go_on(&world, 0);
    expect_missed(1, 0);
    expect_missed(5, 3);
    expect_missed(6, 0);
    done();
}
END_TEST

START_TEST(what_may_go_makes_room_for_what_must_not)
{
    given_stalled(SLOW_READER_LATEST, 600, 20000);
    published_to_others(1, 7);
    for (int i = 0; i < 3; i++)
        world_send(&world, 0, "{\"id\":%d,\"rpc\":{\"method\":\"x\"}}", 10 + i);
    ck_assert(!world.clients[0].has_been_closed);
    world_go_on(&world, 0);
    expect_missed(1, 0);
    expect_missed(7, 5);
    for (int i = 0; i < 3; i++)
        expect("\"error\"");
    done();
}
END_TEST

START_TEST(what_must_not_go_fills_three_quarters_at_most)
{
    given_stalled(SLOW_READER_LATEST, 600, 20000);
    for (int i = 0; i < 8; i++)
        world_send(&world, 0, "{\"id\":%d,\"rpc\":{\"method\":\"x\"}}", 10 + i);
    ck_assert(!world.clients[0].has_been_closed);
    published_to_others(1, 4);
    expect_closed(CLIENT_CLOSE_SLOW);
    done();
}
END_TEST

START_TEST(replies_must_be_read_in_time_whatever_the_channels_say)
{
    given_stalled(SLOW_READER_LATEST, 65536, 2000);
    published_to_others(1, 2);
    world_send(&world, 0, "{\"id\":10,\"rpc\":{\"method\":\"x\"}}");
    passed(2200);
    expect_closed(CLIENT_CLOSE_SLOW);
    done();
}
END_TEST

START_TEST(what_was_left_out_untold_is_restored_after_a_reconnect)
{
    given_stalled(SLOW_READER_LATEST, 500, 20000);
    published_to_others(1, 20);
    world_read(&world, 0, 1);
    expect_missed(1, 0);
    world_disconnect(&world, 0);
    world_connect(&world, 0);
    comes_back(3, 1);
    expect("\"publications\":[{\"data\":{\"e\":1,\"n\":2},\"offset\":2}");
    done();
}
END_TEST

START_TEST(what_an_ended_subscription_missed_is_not_told_to_the_next)
{
    given_stalled(SLOW_READER_LATEST, 700, 20000);
    published_to_others(1, 4);
    world_send(&world, 0, "{\"id\":3,\"unsubscribe\":{\"channel\":\"s0\"}}");
    world_send(&world, 0, "{\"id\":4,\"subscribe\":{\"channel\":\"s0\"}}");
    world_settle(&world);
    published_to_others(5, 9);
    world_go_on(&world, 0);
    expect_missed(1, 0);
    expect_missed(4, 2);
    expect("\"id\":3,");
    expect("\"id\":4,");
    while (world.clients[0].frame_count > 1) {
        char *text = world_next(&world, 0);
        ck_assert_ptr_nonnull(text);
        free(text);
    }
    char *text = world_next(&world, 0);
    ck_assert_ptr_nonnull(strstr(text, "\"offset\":9}"));
    free(text);
    done();
}
END_TEST

START_TEST(another_queue_ms_holds_for_those_who_lag_already)
{
    given_stalled(SLOW_READER_DISCONNECT, 65536, 3600000);
    published_to_others(1, 3);
    passed(1000);
    struct hub_settings settings = world_settings();
    settings.queue_ms = 2000;
    hub_configure(world.hub, &settings, world.now_ms);
    passed(900);
    ck_assert(!world.clients[0].has_been_closed);
    passed(200);
    expect_closed(CLIENT_CLOSE_SLOW);
    done();
}
END_TEST

START_TEST(a_ping_may_wait)
{
    struct hub_settings settings = world_settings();
    settings.queue_ms = 100;
    settings.ping_ms = 1000;
    given_settings(settings);
    world_stall(&world, 0);
    passed(5000);
    ck_assert(!world.clients[0].has_been_closed);
    passed(8000);
    expect_closed(CLIENT_CLOSE_NO_PONG);
    done();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("lag");
    TCase *tests = tcase_create("lag");
    tcase_add_test(tests, disconnect_closes_beyond_the_bytes);
    tcase_add_test(tests, disconnect_closes_beyond_the_time);
    tcase_add_test(tests, one_that_reads_is_not_closed_for_what_comes_at_once);
    tcase_add_test(tests, one_that_reads_is_not_closed_for_what_was_held);
    tcase_add_test(tests, one_that_does_not_read_is_closed_behind_what_came_at_once);
    tcase_add_test(tests, a_recovery_comes_on_top_of_what_may_wait);
    tcase_add_test(tests, time_in_a_guard_is_no_time_in_the_queue);
    tcase_add_test(tests, time_in_a_guard_lets_no_message_go);
    tcase_add_test(tests, one_that_reads_in_time_is_not_closed);
    tcase_add_test(tests, latest_keeps_the_newest_and_tells);
    tcase_add_test(tests, what_is_missing_is_told_by_the_next_whatever_its_policy);
    tcase_add_test(tests, latest_has_the_newest_only_when_it_waited_too_long);
    tcase_add_test(tests, a_newest_one_waits_for_ever_until_a_newer_one_comes);
    tcase_add_test(tests, drop_oldest_keeps_what_there_is_room_for);
    tcase_add_test(tests, drop_oldest_keeps_what_has_not_waited_too_long);
    tcase_add_test(tests, what_may_go_makes_room_for_what_must_not);
    tcase_add_test(tests, what_must_not_go_fills_three_quarters_at_most);
    tcase_add_test(tests, replies_must_be_read_in_time_whatever_the_channels_say);
    tcase_add_test(tests, what_was_left_out_untold_is_restored_after_a_reconnect);
    tcase_add_test(tests, what_an_ended_subscription_missed_is_not_told_to_the_next);
    tcase_add_test(tests, another_queue_ms_holds_for_those_who_lag_already);
    tcase_add_test(tests, a_ping_may_wait);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
