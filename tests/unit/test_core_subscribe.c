#include <string.h>

#include "bytes.h"
#include "core_world.h"
#include "proto/figures.h"
#include "unit.h"

#define SECOND 1000

/* --- hello --- */

START_TEST(hello_is_answered_with_welcome)
{
    struct buffer frame = {0};
    bus_put_hello(&frame, &(struct bus_hello){.version = BUS_VERSION,
                                              .gateway = span_text("gateway-1"),
                                              .incarnation = 5});
    world_frame("g", &frame);
    expect_log(CORE_GATEWAY_JOINED, "gateway-1");
    struct bus_welcome welcome;
    ck_assert(bus_get_welcome(take_frame("g"), &welcome));
    ck_assert_uint_eq(welcome.version, BUS_VERSION);
    ck_assert_uint_eq(welcome.broker, WORLD_NONCE);
    assert_text(welcome.node, "node-1");
    ck_assert_uint_eq(bus_frame_type(take_frame("g")), BUS_STANDING);

    world_frame("g", &frame); /* once more: the same gateway, no news */
    ck_assert(bus_get_welcome(take_frame("g"), &welcome));
    expect_nothing();
    core_measure(world);
    ck_assert_uint_eq(world_metrics.gateways, 1);
    buffer_free(&frame);
}
END_TEST

START_TEST(another_version_is_refused)
{
    struct buffer frame = {0};
    bus_put_hello(&frame, &(struct bus_hello){.version = BUS_VERSION + 1,
                                              .gateway = span_text("g"),
                                              .incarnation = 5});
    world_frame("g", &frame);
    const char *why = "this broker speaks bus version 4, the gateway 5";
    struct bus_refused refused;
    expect_log(CORE_GATEWAY_REFUSED, why);
    ck_assert(bus_get_refused(take_frame("g"), &refused));
    ck_assert_uint_eq(refused.status, STATUS_BAD_INPUT);
    assert_text(refused.message, why);
    core_measure(world);
    ck_assert_uint_eq(world_metrics.gateways, 0);
    ck_assert_uint_eq(world_metrics.gateways_refused_total, 1);

    world_frame("g", &frame); /* once more: the same answer, no news */
    ck_assert(bus_get_refused(take_frame("g"), &refused));
    expect_nothing();

    /* One that is laid out in another way. */
    static const uint8_t other[] = "\1\0\3\0\1g12345678";
    core_gateway_frame(world, span_text("h"), span_of(other, sizeof other - 1), world_now);
    expect_log(CORE_GATEWAY_REFUSED, "this broker speaks bus version 4, the gateway 3");
    ck_assert(bus_get_refused(take_frame("h"), &refused));
    ck_assert_uint_eq(world_metrics.gateway_frames_malformed_total, 0);
    buffer_reset(&frame);
    bus_put_hello(&frame, &(struct bus_hello){.version = 0, .gateway = span_text("h")});
    world_frame("h", &frame); /* no version of ours */
    expect_nothing();
    ck_assert_uint_eq(world_metrics.gateway_frames_malformed_total, 1);
    buffer_free(&frame);
}
END_TEST

START_TEST(a_gateway_that_reconnects_replaces_itself)
{
    world_gateway("old", 5);
    world_gateway("other", 6);
    world_hello("new", "new", 5);
    expect_log(CORE_GATEWAY_LEFT, "old");
    expect_log(CORE_GATEWAY_JOINED, "new");
    take_frame("new");
    take_frame("new");
    core_measure(world);
    ck_assert_uint_eq(world_metrics.gateways, 2);
}
END_TEST

/* --- one name --- */

/* The next effect: the peer is told whether a newer gateway has its name. */
static void told(const char *peer, bool replaced, enum core_sent sent)
{
    struct span frame;
    struct bus_standing standing;
    party_t *party = take_unsent_frame(peer, &frame);
    ck_assert(bus_get_standing(frame, &standing));
    ck_assert_int_eq(standing.replaced, replaced);
    core_sent(world, party, sent);
}

/* The next effects: a gateway of this name is in. */
static void joined(const char *peer, const char *name)
{
    struct bus_welcome welcome;
    expect_log(CORE_GATEWAY_JOINED, name);
    ck_assert(bus_get_welcome(take_frame(peer), &welcome));
    ck_assert_uint_eq(welcome.broker, WORLD_NONCE);
}

/* An empty answer, to find out whether the peer is there. */
static void probed(const char *peer, enum core_sent sent)
{
    struct span frame;
    struct bus_answer answer;
    party_t *party = take_unsent_frame(peer, &frame);
    ck_assert(bus_get_answer(frame, &answer));
    ck_assert_uint_eq(answer.count, 0);
    core_sent(world, party, sent);
}

static void hello_at(const char *peer, uint64_t incarnation, uint64_t started_ms)
{
    struct buffer frame = {0};
    bus_put_hello(&frame, &(struct bus_hello){.version = BUS_VERSION,
                                              .gateway = span_text("one"),
                                              .incarnation = incarnation,
                                              .started_ms = started_ms});
    world_frame(peer, &frame);
    buffer_free(&frame);
}

static void expect_gateways(uint64_t all, uint64_t replaced)
{
    core_measure(world);
    ck_assert_uint_eq(world_metrics.gateways, all);
    ck_assert_uint_eq(world_metrics.gateways_replaced, replaced);
}

/* "one" and a newer one that has its name. */
static void twins(void)
{
    world_gateway("one", 5);
    world_hello("second", "one", 6);
    joined("second", "one");
    told("one", true, CORE_SENT);
    told("second", false, CORE_SENT);
    expect_log(CORE_GATEWAY_REPLACED, "one");
    expect_nothing();
    expect_gateways(2, 1);
}

START_TEST(the_newer_of_two_has_the_name_and_the_older_goes_on)
{
    twins();
    world_hello("one", "one", 5); /* again: no news */
    ck_assert_uint_eq(bus_frame_type(take_frame("one")), BUS_WELCOME);
    world_hello("second", "one", 6);
    ck_assert_uint_eq(bus_frame_type(take_frame("second")), BUS_WELCOME);
    expect_nothing();
    expect_gateways(2, 1);
    ck_assert_uint_eq(world_metrics.gateways_replaced_total, 1);
    world_gateway("another", 7); /* of its own name */
    expect_gateways(3, 1);
}
END_TEST

START_TEST(the_older_of_two_is_told_when_it_joins)
{
    world_gateway("one", 6);
    world_hello("old", "one", 5); /* as after a restart of the broker */
    joined("old", "one");
    told("old", true, CORE_SENT);
    probed("one", CORE_SENT);
    expect_log(CORE_GATEWAY_REPLACED, "one");
    expect_nothing();
    expect_gateways(2, 1);
}
END_TEST

START_TEST(newer_means_started_later)
{
    hello_at("late", 1, 2000);
    joined("late", "one");
    told("late", false, CORE_SENT);
    hello_at("early", 2, 1000);
    joined("early", "one");
    told("early", true, CORE_SENT);
    probed("late", CORE_SENT);
    expect_log(CORE_GATEWAY_REPLACED, "one");
    expect_nothing();
}
END_TEST

START_TEST(of_two_that_started_at_once_one_has_the_name)
{
    for (int order = 0; order < 2; order++) {
        world_start();
        hello_at(order == 0 ? "low" : "high", order == 0 ? 1 : 2, 1000);
        drop_effects();
        hello_at(order == 0 ? "high" : "low", order == 0 ? 2 : 1, 1000);
        joined(order == 0 ? "high" : "low", "one");
        told("low", true, CORE_SENT);
    }
}
END_TEST

START_TEST(of_a_gateway_that_died_and_was_started_again_nothing_is_said)
{
    world_gateway("one", 5);
    world_hello("second", "one", 6);
    joined("second", "one");
    told("one", true, CORE_GONE);
    told("second", false, CORE_SENT);
    expect_log(CORE_GATEWAY_LEFT, "one");
    expect_nothing();
    expect_gateways(1, 0);
    ck_assert_uint_eq(world_metrics.gateways_replaced_total, 0);
}
END_TEST

START_TEST(one_that_died_is_found_out_also_when_the_clock_went_back)
{
    world_gateway("one", 6);
    world_hello("second", "one", 5);
    joined("second", "one");
    told("second", true, CORE_SENT);
    probed("one", CORE_GONE);
    expect_log(CORE_GATEWAY_REPLACED, "one");
    expect_log(CORE_GATEWAY_LEFT, "one");
    expect_log(CORE_GATEWAY_REINSTATED, "one");
    told("second", false, CORE_SENT);
    expect_nothing();
    expect_gateways(1, 0);
}
END_TEST

START_TEST(the_name_goes_back_to_the_newest_that_is_left)
{
    twins();
    world_hello("third", "one", 7);
    joined("third", "one");
    told("second", true, CORE_SENT);
    struct span frame;
    party_t *third = take_unsent_frame("third", &frame);
    expect_log(CORE_GATEWAY_REPLACED, "one");
    expect_gateways(3, 2);

    core_sent(world, third, CORE_GONE);
    expect_log(CORE_GATEWAY_LEFT, "one");
    expect_log(CORE_GATEWAY_REINSTATED, "one");
    told("second", false, CORE_SENT);
    expect_nothing();
    expect_gateways(2, 1);
}
END_TEST

static void figures_of(const char *peer)
{
    struct buffer frame = {0}, values = {0};
    figures_put(&values, &(struct figures){0});
    bus_put_figures(&frame, &(struct bus_figures){.values = buffer_span(&values)});
    world_frame(peer, &frame);
    buffer_free(&frame);
    buffer_free(&values);
}

START_TEST(a_lost_word_of_the_replacement_is_said_again)
{
    world_gateway("one", 5);
    world_hello("second", "one", 6);
    joined("second", "one");
    told("one", true, CORE_DROPPED); /* its queue is full */
    told("second", false, CORE_SENT);
    expect_nothing();
    expect_gateways(2, 0);
    figures_of("one");
    told("one", true, CORE_SENT);
    expect_log(CORE_GATEWAY_REPLACED, "one");
    figures_of("one");
    expect_nothing();
    expect_gateways(2, 1);
}
END_TEST

START_TEST(the_same_gateway_by_another_way_is_no_duplicate)
{
    world_gateway("one", 5);
    world_hello("again", "one", 5); /* its connection broke, and nobody has noticed yet */
    expect_log(CORE_GATEWAY_LEFT, "one");
    joined("again", "one");
    told("again", false, CORE_SENT);
    expect_nothing();
    expect_gateways(1, 0);
}
END_TEST

START_TEST(the_older_of_two_by_another_way_is_welcome_before_it_hears_of_its_name)
{
    twins();
    world_hello("again", "one", 5);
    expect_log(CORE_GATEWAY_LEFT, "one");
    joined("again", "one");
    told("again", true, CORE_SENT);
    probed("second", CORE_SENT);
    expect_log(CORE_GATEWAY_REPLACED, "one");
    expect_nothing();
    expect_gateways(2, 1);
}
END_TEST

START_TEST(another_name_frees_the_first_one)
{
    twins();
    world_hello("second", "two", 6);
    expect_log(CORE_GATEWAY_LEFT, "one");
    expect_log(CORE_GATEWAY_REINSTATED, "one");
    told("one", false, CORE_SENT);
    joined("second", "two");
    told("second", false, CORE_SENT);
    expect_nothing();
    expect_gateways(2, 0);
}
END_TEST

/* Runs the seconds until the core sends a frame. */
static void wait_for_frame(struct core_effect *effect)
{
    for (int i = 0; i < 12; i++) {
        world_now += SECOND;
        core_tick(world, world_now);
        do
            core_take_effect(world, effect);
        while (effect->kind == CORE_PUBLISH);
        if (effect->kind == CORE_SEND)
            return;
    }
    ck_abort_msg("nothing was sent");
}

START_TEST(a_gateway_that_is_gone_is_noticed)
{
    world_gateway("g", 5);
    struct core_effect effect;
    struct bus_answer answer;
    wait_for_frame(&effect);
    ck_assert(bus_get_answer(effect.bytes, &answer));
    ck_assert_uint_eq(answer.count, 0);
    core_sent(world, effect.to, CORE_SENT); /* it is still there */
    wait_for_frame(&effect);
    core_sent(world, effect.to, CORE_GONE);
    expect_log(CORE_GATEWAY_LEFT, "g");
    core_measure(world);
    ck_assert_uint_eq(world_metrics.gateways, 0);
}
END_TEST

/* --- XPUB --- */

START_TEST(a_fence_comes_back_as_it_was)
{
    uint8_t fence[BUS_FENCE_BYTES];
    bus_write_fence(fence, 5, 9);
    world_event(true, span_of(fence, sizeof fence));
    expect_published_bytes(span_of(fence, sizeof fence));
    world_event(false, span_of(fence, sizeof fence));
    expect_nothing();
    ck_assert_uint_eq(world_metrics.fences_total, 1);
}
END_TEST

START_TEST(interest_is_counted_and_ends)
{
    world_subscribe("a", NULL, true);
    world_subscribe("a", "room", true);
    core_measure(world);
    ck_assert_uint_eq(world_metrics.streams_interested, 2);
    world_subscribe("a", NULL, false);
    world_subscribe("never", NULL, false);
    core_measure(world);
    ck_assert_uint_eq(world_metrics.streams_interested, 1);
    ck_assert_uint_eq(world_metrics.streams, 2);
    ck_assert_uint_eq(world_metrics.subscriptions_malformed_total, 0);
}
END_TEST

START_TEST(topics_that_are_none_are_counted)
{
    const struct span bad[] = {BYTES(""),     BYTES("P"), BYTES("Pxyz"),  BYTES("F"),
                               BYTES("F123"), BYTES("X"), BYTES("C1234"), BYTES("D1")};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        world_event(true, bad[i]);
    ck_assert_uint_eq(world_metrics.subscriptions_malformed_total, sizeof bad / sizeof *bad);
    core_xpub_event(world, BYTES("\2C"), world_now);
    core_xpub_event(world, BYTES(""), world_now);
    ck_assert_uint_eq(world_metrics.subscriptions_malformed_total, sizeof bad / sizeof *bad + 2);
    world_event(true, BYTES("C"));
    world_event(true, BYTES("D"));
    world_event(false, BYTES("D"));
    ck_assert_uint_eq(world_metrics.subscriptions_malformed_total, sizeof bad / sizeof *bad + 2);
    expect_nothing();
}
END_TEST

START_TEST(an_interest_without_room_makes_everything_published)
{
    world_settings.streams.headers = 1;
    world_start();
    world_subscribe("b", NULL, true);
    world_subscribe("a", NULL, true); /* no header for it */
    ck_assert_uint_eq(world_metrics.interest_lost_total, 1);
    world_subscribe("b", NULL, false);
    world_now += 3600000 + SECOND;
    core_tick(world, world_now); /* the header of b ends: there is room for a */
    drop_effects();
    world_request(0, "p", "{'op':'publish','channel':'a','payload':{}}");
    core_stored(world, expect_append("a", NULL, 4, 1, NULL), STORE_COMMITTED, world_now);
    expect_publication("a", NULL, 4, 1, "'data':{}");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("core_subscribe");
    TCase *tests = tcase_create("core_subscribe");
    tcase_add_checked_fixture(tests, world_setup, world_teardown);
    tcase_add_test(tests, hello_is_answered_with_welcome);
    tcase_add_test(tests, another_version_is_refused);
    tcase_add_test(tests, a_gateway_that_reconnects_replaces_itself);
    tcase_add_test(tests, the_newer_of_two_has_the_name_and_the_older_goes_on);
    tcase_add_test(tests, the_older_of_two_is_told_when_it_joins);
    tcase_add_test(tests, newer_means_started_later);
    tcase_add_test(tests, of_two_that_started_at_once_one_has_the_name);
    tcase_add_test(tests, of_a_gateway_that_died_and_was_started_again_nothing_is_said);
    tcase_add_test(tests, one_that_died_is_found_out_also_when_the_clock_went_back);
    tcase_add_test(tests, the_name_goes_back_to_the_newest_that_is_left);
    tcase_add_test(tests, a_lost_word_of_the_replacement_is_said_again);
    tcase_add_test(tests, the_same_gateway_by_another_way_is_no_duplicate);
    tcase_add_test(tests, the_older_of_two_by_another_way_is_welcome_before_it_hears_of_its_name);
    tcase_add_test(tests, another_name_frees_the_first_one);
    tcase_add_test(tests, a_gateway_that_is_gone_is_noticed);
    tcase_add_test(tests, a_fence_comes_back_as_it_was);
    tcase_add_test(tests, interest_is_counted_and_ends);
    tcase_add_test(tests, topics_that_are_none_are_counted);
    tcase_add_test(tests, an_interest_without_room_makes_everything_published);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
