#include "client_world.h"
#include "proto/bus_codec.h"
#include "unit.h"

/* Losses that nothing shows by itself: the broker's canaries, their absence, and the audit of each
 * address now and then. */

/* --- ready --- */

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

/* --- causes to ask for what is missing --- */

/* A client that is not pinged for hours. */
static void given_quiet(int64_t audit_ms)
{
    struct hub_settings settings = world_settings();
    settings.ping_ms = 10000000;
    settings.audit_ms = audit_ms;
    given_settings(settings);
}

/* Offset 1 of s0 is lost on its way, and nothing has told of it yet. */
static void given_a_silent_hole(void)
{
    given_quiet(40000);
    subscribe(0, "s0");
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
    ck_assert_uint_eq(metrics()->publications_link_lost_total, 1);
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

/* What it has delivered as 2 and 3 is something else now, and 4 must not follow it. */
START_TEST(a_broker_that_has_gone_back_is_found_out_whatever_it_has_published_since)
{
    given();
    subscribe(0, "s0");
    for (int i = 0; i < 3; i++)
        world_publish(&world, 0);
    world_settle(&world);
    for (int i = 0; i < 3; i++)
        expect("\"pub\":{\"data\":{\"e\":1,");
    world_go_back(&world, 0, 2, (uint64_t)_i);
    world_settle(&world);
    expect_nothing();
    world_advance(&world, 100);
    expect("\"unsubscribe\":{\"code\":2500,");
    expect_nothing();
    done();
}
END_TEST

START_TEST(a_broker_that_came_back_with_everything_goes_on)
{
    given();
    subscribe(0, "s0");
    for (int times = 0; times < 3; times++) {
        world_publish(&world, 0);
        world_settle(&world);
        expect("\"pub\":{\"data\":{\"e\":1,");
        world_go_back(&world, 0, 0, 3);
        world_settle(&world);
        for (int i = 0; i < 3; i++)
            expect("\"pub\":{\"data\":{\"e\":1,");
        world_break_link(&world); /* the same broker: it knows what it said itself */
        world_mend_link(&world);
        world_publish(&world, 0);
        world_settle(&world);
        expect("\"pub\":{\"data\":{\"e\":1,");
    }
    world_advance(&world, 100);
    expect_nothing();
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

/* Who was revoked meanwhile was revoked without it. */
START_TEST(a_gateway_that_hung_delivers_nothing_before_it_has_asked)
{
    given_quiet(40000);
    subscribe(0, "s0");
    world_canary(&world);
    world_settle(&world);
    world.now_ms += 4000;
    world_canary(&world); /* what waits for it is read before any timer is looked at */
    world_publish(&world, 0);
    while (world_move_publication(&world))
        continue;
    expect_nothing();
    ck_assert_uint_eq(metrics()->canaries_silent_total, 1);
    world_settle(&world);
    expect("\"pub\":{\"data\":{\"e\":1,\"n\":1}");
    done();
}
END_TEST

START_TEST(a_long_silence_is_no_storm)
{
    given();
    subscribe(0, "s0");
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
    subscribe(0, "s0");
    world_break_link(&world);
    world_advance(&world, 20000);
    ck_assert_uint_eq(metrics()->canaries_silent_total, 0);
    world_mend_link(&world); /* from here on they are due */
    world_advance(&world, 2900);
    ck_assert_uint_eq(metrics()->canaries_silent_total, 0);
    done();
}
END_TEST

/* --- the audit --- */

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
    subscribe(0, "s0");
    subscribe(0, "s1");
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
    subscribe(0, "s0");
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
    subscribe(0, "s0");
    for (int second = 0; second < 41 && world.questions.count == 0; second++) {
        hear_canary();
        world_advance(&world, 1000);
    }
    world_publish(&world, 0); /* on its way for long */
    ck_assert_uint_eq(world.questions.count, 1);
    answered();
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

int main(void)
{
    Suite *suite = suite_create("hub_silence");
    TCase *tests = tcase_create("all");
    tcase_add_test(tests, ready_needs_link_and_canary);
    tcase_add_test(tests, ready_needs_a_canary_of_this_broker);
    tcase_add_test(tests, three_seconds_of_silence_are_a_cause);
    tcase_add_test(tests, a_skipped_canary_is_a_cause);
    tcase_add_test(tests, a_canary_of_another_broker_is_a_cause);
    tcase_add_test(tests, a_lost_publications_link_is_a_cause);
    tcase_add_test(tests, a_control_link_that_comes_back_is_a_cause);
    tcase_add_loop_test(
        tests, a_broker_that_has_gone_back_is_found_out_whatever_it_has_published_since, 0, 4);
    tcase_add_test(tests, a_broker_that_came_back_with_everything_goes_on);
    tcase_add_test(tests, canaries_in_their_order_are_none);
    tcase_add_test(tests, a_gateway_that_hung_delivers_nothing_before_it_has_asked);
    tcase_add_test(tests, a_long_silence_is_no_storm);
    tcase_add_test(tests, without_the_link_nobody_waits_for_canaries);
    tcase_add_test(tests, the_audit_finds_what_nothing_else_has_shown);
    tcase_add_test(tests, the_audit_comes_once_in_its_time);
    tcase_add_test(tests, the_audit_can_be_off);
    tcase_add_test(tests, an_answer_that_overtakes_is_no_hole);
    tcase_add_test(tests, a_lost_audit_is_asked_again);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
