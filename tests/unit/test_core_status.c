#include <stdio.h>
#include <string.h>

#include "bytes.h"
#include "core_world.h"
#include "proto/figures.h"
#include "proto/json_doc.h"
#include "unit.h"

#define SECOND 1000

static struct buffer page;
static json_doc_t *doc;

static void setup(void)
{
    page = (struct buffer){0};
    doc = NULL;
    world_setup();
}

static void teardown(void)
{
    json_doc_destroy(&doc);
    buffer_free(&page);
    world_teardown();
}

/* What /status says now. */
static const struct json_value *status(void)
{
    struct buffer why = {0};
    json_doc_destroy(&doc);
    buffer_reset(&page);
    core_write_status(world, 4096, &page, world_now);
    doc = json_doc_parse(buffer_span(&page), 8, &why);
    ck_assert_msg(doc, "%.*s\n%.*s", SPAN_ARG(buffer_span(&why)), SPAN_ARG(buffer_span(&page)));
    buffer_free(&why);
    return json_doc_root(doc);
}

static const struct json_value *gateway(size_t index)
{
    return json_at(json_member(status(), "gateways"), index);
}

static int64_t figure(const char *name)
{
    return json_int_of(json_member(json_member(gateway(0), "figures"), name));
}

static double rate(const char *name)
{
    return json_number_of(json_member(json_member(gateway(0), "rates"), name));
}

static void expect_state(size_t index, const char *state, int64_t age_ms)
{
    assert_text(json_string_of(json_member(gateway(index), "state")), state);
    ck_assert_int_eq(json_int_of(json_member(gateway(index), "age_ms")), age_ms);
}

static void put_figures(const char *peer, const struct figures *figures)
{
    struct buffer values = {0}, frame = {0};
    figures_put(&values, figures);
    bus_put_figures(&frame, &(struct bus_figures){.values = buffer_span(&values)});
    world_frame(peer, &frame);
    buffer_free(&values);
    buffer_free(&frame);
}

static void send_figures(const char *peer, const struct figures *figures)
{
    put_figures(peer, figures);
    expect_nothing();
}

static void tick(int64_t after_ms)
{
    world_now += after_ms;
    core_tick(world, world_now);
}

START_TEST(a_node_without_gateways)
{
    tick(0);
    drop_effects();
    const struct json_value *root = status();
    assert_text(json_string_of(json_member(root, "node")), "node-1");
    assert_text(json_string_of(json_member(root, "version")), MILLRACE_VERSION);
    ck_assert_int_eq(json_int_of(json_member(root, "memory_bytes")), 4096);
    ck_assert_int_eq(json_int_of(json_member(root, "uptime_ms")), 0);
    ck_assert_int_eq(json_int_of(json_member(json_member(root, "broker"), "canary_number")), 1);
    ck_assert_ptr_nonnull(json_member(root, "gateways"));
    ck_assert_ptr_null(gateway(0));
}
END_TEST

START_TEST(the_last_figures_of_a_gateway)
{
    world_gateway("g", 0xabc);
    expect_state(0, "starting", 0);
    ck_assert_int_eq(json_type_of(json_member(gateway(0), "figures")), JSON_TYPE_NULL);
    assert_text(json_string_of(json_member(gateway(0), "name")), "g");
    assert_text(json_string_of(json_member(gateway(0), "incarnation")), "0000000000000abc");

    send_figures("g", &(struct figures){.uptime_ms = 1000, .ready = 1, .connections = 7});
    world_now += 300;
    expect_state(0, "ok", 300);
    ck_assert_int_eq(figure("connections"), 7);
    send_figures("g", &(struct figures){.uptime_ms = 2000, .ready = 1, .connections = 8});
    expect_state(0, "ok", 0);
    ck_assert_int_eq(figure("connections"), 8);
    send_figures("g", &(struct figures){.uptime_ms = 3000});
    expect_state(0, "unready", 0);
    send_figures("g", &(struct figures){.uptime_ms = 4000, .draining = 1});
    expect_state(0, "draining", 0);
    ck_assert_ptr_null(gateway(1));
}
END_TEST

START_TEST(rates_by_the_clock_of_the_gateway)
{
    world_gateway("g", 1);
    send_figures("g", &(struct figures){.uptime_ms = 1000, .deliveries_total = 100});
    ck_assert_double_eq(rate("deliveries_total"), 0);
    world_now += 30; /* the frames were under way: half a second lies between them */
    send_figures("g", &(struct figures){.uptime_ms = 1500, .deliveries_total = 350});
    ck_assert_double_eq(rate("deliveries_total"), 500);
    ck_assert_double_eq(rate("gaps_total"), 0);
    /* Numbers that go back, or a clock that does not move: no rate, no nonsense. */
    send_figures("g", &(struct figures){.uptime_ms = 2000, .deliveries_total = 5});
    ck_assert_double_eq(rate("deliveries_total"), 0);
    send_figures("g", &(struct figures){.uptime_ms = 2000, .deliveries_total = 50});
    ck_assert_double_eq(rate("deliveries_total"), 0);
    /* The greatest numbers that a peer can send are still JSON. */
    send_figures("g", &(struct figures){.uptime_ms = 2001, .deliveries_total = INT64_MAX});
    ck_assert_double_gt(rate("deliveries_total"), 9e21);
}
END_TEST

START_TEST(rates_of_the_broker)
{
    world_gateway("g", 1);
    tick(0);
    drop_effects();
    world_subscribe("chat", NULL, true);
    world_publish("chat", 5);
    tick(SECOND);
    drop_effects();
    const struct json_value *rates = json_member(status(), "rates");
    ck_assert_double_eq(json_number_of(json_member(rates, "acknowledged_total")), 5);
    ck_assert_double_eq(json_number_of(json_member(rates, "published_total")), 5);
    tick(SECOND);
    drop_effects();
    rates = json_member(status(), "rates");
    ck_assert_double_eq(json_number_of(json_member(rates, "acknowledged_total")), 0);
}
END_TEST

static void second(void)
{
    tick(SECOND);
    drop_effects();
}

START_TEST(a_silent_gateway_is_shown_and_counted)
{
    tick(0);
    drop_effects();
    world_gateway("g", 1);
    send_figures("g", &(struct figures){.uptime_ms = 1000, .ready = 1, .connections = 7});
    second();
    second();
    expect_state(0, "ok", 2000);
    ck_assert_uint_eq(world_metrics.gateways_silent, 0);
    second();
    expect_state(0, "silent", 3000);
    ck_assert_int_eq(figure("connections"), 7);
    ck_assert_uint_eq(world_metrics.gateways_silent, 1);
    send_figures("g", &(struct figures){.uptime_ms = 6000, .ready = 1});
    expect_state(0, "ok", 0);
    second();
    ck_assert_uint_eq(world_metrics.gateways_silent, 0);
}
END_TEST

START_TEST(one_that_never_sends_figures_becomes_silent)
{
    tick(0);
    drop_effects();
    world_gateway("g", 1);
    second();
    second();
    expect_state(0, "starting", 2000);
    second();
    expect_state(0, "silent", 3000);
}
END_TEST

START_TEST(one_that_is_gone_disappears_and_is_counted)
{
    struct buffer frame = {0};
    struct span welcome;
    world_gateway("g", 1);
    send_figures("g", &(struct figures){.uptime_ms = 1000, .ready = 1});
    bus_put_hello(&frame, &(struct bus_hello){
                              .version = BUS_VERSION, .gateway = span_text("g"), .incarnation = 1});
    world_frame("g", &frame);
    core_sent(world, take_unsent_frame("g", &welcome), CORE_GONE);
    expect_log(CORE_GATEWAY_LEFT, "g");
    ck_assert_ptr_null(gateway(0));
    ck_assert_uint_eq(world_metrics.gateways_gone_total, 1);
    second();
    second();
    second();
    ck_assert_uint_eq(world_metrics.gateways_silent, 0);
    world_gateway("g", 1); /* it is back, and has not said anything yet */
    expect_state(0, "starting", 0);
    ck_assert_uint_eq(world_metrics.gateways_gone_total, 1);
    buffer_free(&frame);
}
END_TEST

START_TEST(a_gateway_that_reconnects_is_not_gone)
{
    struct buffer frame = {0};
    world_gateway("old", 5);
    send_figures("old", &(struct figures){.uptime_ms = 1000});
    bus_put_hello(
        &frame,
        &(struct bus_hello){.version = BUS_VERSION, .gateway = span_text("new"), .incarnation = 5});
    world_frame("new", &frame);
    drop_effects();
    expect_state(0, "starting", 0);
    ck_assert_ptr_null(gateway(1));
    ck_assert_uint_eq(world_metrics.gateways_gone_total, 0);
    buffer_free(&frame);
}
END_TEST

START_TEST(bad_figures_are_counted_and_dropped)
{
    struct buffer frame = {0};
    world_gateway("g", 1);
    send_figures("g", &(struct figures){.connections = 3});
    bus_put_figures(&frame, &(struct bus_figures){.values = BYTES("1234567")});
    world_frame("g", &frame);
    ck_assert_uint_eq(world_metrics.gateway_frames_malformed_total, 1);
    frame.size--;
    world_frame("g", &frame);
    ck_assert_uint_eq(world_metrics.gateway_frames_malformed_total, 2);
    expect_nothing();
    ck_assert_int_eq(figure("connections"), 3);
    buffer_free(&frame);
}
END_TEST

START_TEST(figures_of_a_stranger_are_not_shown)
{
    put_figures("stranger", &(struct figures){.connections = 3});
    struct bus_refused refused;
    ck_assert(bus_get_refused(take_frame("stranger"), &refused)); /* it thinks that we know it */
    ck_assert_uint_eq(refused.status, STATUS_NOT_FOUND);
    ck_assert_ptr_null(gateway(0));
    world_gateway("stranger", 1);
    expect_state(0, "starting", 0);
}
END_TEST

/* --- silence --- */

/* Ends with what the core says of the gateway; the broker's own seconds count. */
static void seconds(int count)
{
    for (int i = 0; i < count; i++) {
        world_now += 1000;
        core_tick(world, world_now);
    }
}

static void expect_told(enum core_effect_kind kind)
{
    struct core_effect effect;
    do
        core_take_effect(world, &effect);
    while (effect.kind == CORE_PUBLISH || effect.kind == CORE_SEND);
    ck_assert_int_eq(effect.kind, kind);
}

START_TEST(a_gateway_that_hangs_is_told_once_and_its_waking_too)
{
    world_gateway("g", 1);
    send_figures("g", &(struct figures){.ready = 1});
    seconds(3);
    drop_effects();
    seconds(1);
    expect_told(CORE_GATEWAY_SILENT);
    seconds(4);
    expect_told(CORE_NOTHING);
    put_figures("g", &(struct figures){.ready = 1});
    expect_told(CORE_GATEWAY_HEARD);
    send_figures("g", &(struct figures){.ready = 1});
}
END_TEST

START_TEST(a_broker_that_hung_calls_nobody_silent)
{
    world_gateway("g", 1);
    send_figures("g", &(struct figures){.ready = 1});
    drop_effects();
    for (int i = 0; i < 3; i++) {
        world_now += 60000;
        core_tick(world, world_now);
    }
    expect_told(CORE_NOTHING);
}
END_TEST

static void expect_gateways(uint64_t count)
{
    core_measure(world);
    ck_assert_uint_eq(world_metrics.gateways, count);
}

/* What one second brought. */
struct happened {
    unsigned silent, heard, reinstated, replaced;
    unsigned told;    /* frames standing */
    char peer[16];    /* whom the last one was for */
    bool is_replaced; /* and what it said */
};

static void note(struct happened *happened, const struct core_effect *effect)
{
    struct bus_standing standing;
    happened->silent += effect->kind == CORE_GATEWAY_SILENT;
    happened->heard += effect->kind == CORE_GATEWAY_HEARD;
    happened->reinstated += effect->kind == CORE_GATEWAY_REINSTATED;
    happened->replaced += effect->kind == CORE_GATEWAY_REPLACED;
    if (effect->kind == CORE_SEND && bus_get_standing(effect->bytes, &standing)) {
        happened->told++;
        snprintf(happened->peer, sizeof happened->peer, "%.*s", SPAN_ARG(effect->peer));
        happened->is_replaced = standing.replaced;
    }
}

static struct happened take_all(void)
{
    struct happened happened = {0};
    struct core_effect effect;
    for (core_take_effect(world, &effect); effect.kind; core_take_effect(world, &effect)) {
        note(&happened, &effect);
        if (effect.to)
            core_sent(world, effect.to, CORE_SENT);
    }
    return happened;
}

static struct happened a_second(void)
{
    tick(1000);
    return take_all();
}

static void expect_standing(const struct happened *happened, const char *peer, bool is_replaced)
{
    ck_assert_uint_eq(happened->told, 1);
    ck_assert_str_eq(happened->peer, peer);
    ck_assert_int_eq(happened->is_replaced, is_replaced);
    ck_assert_uint_eq(happened->replaced, is_replaced);
    ck_assert_uint_eq(happened->reinstated, !is_replaced);
}

/* "g", and "h" that was started later with its name. */
static void twins(void)
{
    world_gateway("g", 1);
    world_hello("h", "g", 2);
    drop_effects();
    put_figures("g", &(struct figures){.ready = 0});
    put_figures("h", &(struct figures){.ready = 1});
    drop_effects();
    ck_assert_uint_eq(world_metrics.gateways_replaced, 1);
}

START_TEST(of_two_with_one_name_the_older_is_replaced)
{
    twins();
    assert_text(json_string_of(json_member(gateway(0), "state")), "ok"); /* h */
    assert_text(json_string_of(json_member(gateway(1), "state")), "replaced");
    expect_gateways(2);
}
END_TEST

START_TEST(a_newer_gateway_that_hangs_leaves_its_name_to_the_older_until_it_wakes)
{
    twins();
    struct happened happened;
    for (int i = 0; i < 5; i++) {
        put_figures("g", &(struct figures){.ready = 0});
        happened = a_second();
        ck_assert_uint_eq(happened.told, i == 4);
    }
    expect_standing(&happened, "g", false);

    put_figures("g", &(struct figures){.ready = 1});
    put_figures("h", &(struct figures){.ready = 1}); /* it wakes */
    happened = a_second();
    ck_assert_uint_eq(happened.heard, 1);
    expect_standing(&happened, "g", true);
    expect_gateways(2);
    ck_assert_uint_eq(world_metrics.gateways_replaced, 1);
}
END_TEST

START_TEST(a_newer_gateway_that_drains_leaves_its_name_to_the_older)
{
    twins();
    put_figures("g", &(struct figures){.ready = 0});
    put_figures("h", &(struct figures){.draining = 1});
    struct happened happened = a_second();
    expect_standing(&happened, "g", false);
    assert_text(json_string_of(json_member(gateway(0), "state")), "draining");
    ck_assert_uint_eq(world_metrics.gateways_replaced, 0);
    put_figures("g", &(struct figures){.ready = 1});
    put_figures("h", &(struct figures){.draining = 1});
    ck_assert_uint_eq(a_second().told, 0);
}
END_TEST

START_TEST(a_newer_gateway_that_is_not_ready_leaves_its_name_to_the_older)
{
    twins();
    for (int i = 0; i < 6; i++) {
        put_figures("g", &(struct figures){.ready = 0}); /* because it is replaced */
        put_figures("h", &(struct figures){.ready = 0}); /* it may need a moment */
        ck_assert_uint_eq(world_metrics.gateways_replaced, 1);
        struct happened happened = a_second();
        ck_assert_uint_eq(happened.told, i == 5);
    }
    ck_assert_uint_eq(world_metrics.gateways_replaced, 0);
    put_figures("g", &(struct figures){.ready = 1});
    put_figures("h", &(struct figures){.ready = 0});
    ck_assert_uint_eq(a_second().told, 0);
    put_figures("g", &(struct figures){.ready = 1});
    put_figures("h", &(struct figures){.ready = 1});
    struct happened happened = a_second();
    expect_standing(&happened, "g", true);
}
END_TEST

START_TEST(when_both_hang_and_wake_the_newer_has_the_name_again)
{
    twins();
    for (int i = 0; i < 8; i++)
        ck_assert_uint_eq(a_second().reinstated, 0);
    ck_assert_uint_eq(world_metrics.gateways_replaced, 0);
    put_figures("g", &(struct figures){.ready = 1});
    put_figures("h", &(struct figures){.ready = 1});
    struct happened happened = a_second();
    ck_assert_uint_eq(happened.replaced, 1);
    ck_assert_uint_eq(world_metrics.gateways_replaced, 1);
    assert_text(json_string_of(json_member(gateway(1), "state")), "replaced");
}
END_TEST

START_TEST(an_older_gateway_that_hangs_is_told_all_the_same)
{
    world_gateway("g", 1);
    send_figures("g", &(struct figures){.ready = 1});
    seconds(6);
    drop_effects();
    world_hello("h", "g", 2);
    ck_assert_uint_eq(take_all().replaced, 0);
    expect_gateways(2); /* its clients are there: what is revoked is to be confirmed by it */
    put_figures("h", &(struct figures){.ready = 1});
    put_figures("g", &(struct figures){.ready = 1}); /* it wakes */
    struct happened happened = a_second();
    expect_standing(&happened, "g", true);
    expect_gateways(2);
}
END_TEST

START_TEST(names_are_escaped)
{
    struct buffer frame = {0};
    bus_put_hello(&frame, &(struct bus_hello){.version = BUS_VERSION,
                                              .gateway = BYTES("a\"\\\x1b[31m\n\xc2\x9b\0z"),
                                              .incarnation = 1});
    world_frame("g", &frame);
    drop_effects();
    assert_text(json_string_of(json_member(gateway(0), "name")),
                "a\"\\\xef\xbf\xbd[31m\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz");
    for (size_t i = 0; i < page.size; i++)
        ck_assert(page.data[i] >= 0x20 && page.data[i] < 0x7f);
    buffer_free(&frame);
}
END_TEST

START_TEST(the_list_is_bounded)
{
    char name[8];
    for (unsigned i = 0; i < CORE_STATUS_GATEWAYS + 3; i++) {
        snprintf(name, sizeof name, "g%u", i);
        world_gateway(name, i);
        send_figures(name, &(struct figures){.connections = i});
    }
    const struct json_value *root = status();
    ck_assert_int_eq(json_int_of(json_member(root, "gateways_unlisted")), 3);
    ck_assert_ptr_nonnull(gateway(CORE_STATUS_GATEWAYS - 1));
    ck_assert_ptr_null(gateway(CORE_STATUS_GATEWAYS));
    ck_assert_uint_lt(page.size, 512 * 1024);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("core_status");
    TCase *tests = tcase_create("all");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, a_node_without_gateways);
    tcase_add_test(tests, the_last_figures_of_a_gateway);
    tcase_add_test(tests, rates_by_the_clock_of_the_gateway);
    tcase_add_test(tests, rates_of_the_broker);
    tcase_add_test(tests, a_silent_gateway_is_shown_and_counted);
    tcase_add_test(tests, one_that_never_sends_figures_becomes_silent);
    tcase_add_test(tests, one_that_is_gone_disappears_and_is_counted);
    tcase_add_test(tests, a_gateway_that_reconnects_is_not_gone);
    tcase_add_test(tests, bad_figures_are_counted_and_dropped);
    tcase_add_test(tests, figures_of_a_stranger_are_not_shown);
    tcase_add_test(tests, a_gateway_that_hangs_is_told_once_and_its_waking_too);
    tcase_add_test(tests, a_broker_that_hung_calls_nobody_silent);
    tcase_add_test(tests, of_two_with_one_name_the_older_is_replaced);
    tcase_add_test(tests, a_newer_gateway_that_hangs_leaves_its_name_to_the_older_until_it_wakes);
    tcase_add_test(tests, a_newer_gateway_that_drains_leaves_its_name_to_the_older);
    tcase_add_test(tests, a_newer_gateway_that_is_not_ready_leaves_its_name_to_the_older);
    tcase_add_test(tests, when_both_hang_and_wake_the_newer_has_the_name_again);
    tcase_add_test(tests, an_older_gateway_that_hangs_is_told_all_the_same);
    tcase_add_test(tests, names_are_escaped);
    tcase_add_test(tests, the_list_is_bounded);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
