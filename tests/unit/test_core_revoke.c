#include <stdio.h>

#include "core_world.h"
#include "unit.h"

static const struct world_question member = {
    .token = 7, .channel = "chat", .resource = "1", .type = SUBSCRIBER_MEMBER, .id = "ann"};

static void setup(void)
{
    world_setup();
    world_gateway("g", 11);
    world_gateway("h", 12);
}

static struct bus_revoke take_revoke(const char *gateway)
{
    struct bus_revoke revoke;
    ck_assert(bus_get_revoke(take_frame(gateway), &revoke));
    return revoke;
}

static void confirm(const char *gateway, uint64_t number, uint32_t affected, uint32_t ended)
{
    struct buffer frame = {0};
    bus_put_revoked(&frame,
                    &(struct bus_revoked){.number = number, .affected = affected, .ended = ended});
    world_frame(gateway, &frame);
    buffer_free(&frame);
}

/* In which order gateways are told is nobody's business. */
static void drop_revokes(void)
{
    drop_effects();
}

START_TEST(all_gateways_confirm)
{
    world_request(0, "p", "{'op':'revoke','id':1,'channel':'chat','mode':'deny'}");
    drop_revokes();
    confirm("g", 1, 3, 2);
    expect_nothing();
    confirm("g", 1, 3, 2); /* twice does not count */
    confirm("x", 1, 3, 2);
    confirm("h", 2, 3, 2); /* another number */
    expect_nothing();
    confirm("h", 1, 4, 4);
    expect_reply("p", "{'id':1,'ok':true,'affected':7,'ended':6,'unconfirmed':0}");
}
END_TEST

START_TEST(those_that_do_not_confirm_are_counted)
{
    world_request(0, "p", "{'op':'revoke','id':1,'channel':'chat','mode':'recheck'}");
    drop_revokes();
    confirm("g", 1, 3, 2);
    world_now += 1100;
    core_tick(world, world_now);
    struct core_effect effect;
    do
        core_take_effect(world, &effect);
    while (effect.kind == CORE_PUBLISH || effect.kind == CORE_SEND);
    ck_assert_int_eq(effect.kind, CORE_REPLY);
    ck_assert_uint_eq(world_metrics.revocations_unconfirmed_total, 1);
    confirm("h", 1, 9, 9);
    drop_effects();
}
END_TEST

START_TEST(without_gateways_there_is_nobody_to_ask)
{
    world_start();
    world_request(0, "p", "{'op':'revoke','id':1,'subscriber':{'id':'x'},'mode':'deny'}");
    expect_reply("p", "{'id':1,'ok':true,'affected':0,'ended':0,'unconfirmed':0}");
    world_request(0, "p", "{'op':'disconnect','id':1,'subscriber':{'id':'x'}}");
    expect_reply("p", "{'id':1,'ok':true,'affected':0,'unconfirmed':0}");
}
END_TEST

START_TEST(what_gateways_are_told)
{
    world_start();
    world_gateway("g", 11);
    world_request(1, "p",
                  "{'op':'revoke','id':1,'app':'chess','channel':'chat','resource':'1',"
                  "'subscriber':{'type':'MEMBER','id':'ann'},'mode':'deny'}");
    struct bus_revoke revoke = take_revoke("g");
    ck_assert_uint_eq(revoke.number, 1);
    ck_assert_uint_eq(revoke.mode, BUS_REVOKE_DENY);
    ck_assert_uint_eq(revoke.scope, BUS_SCOPE_SITE | BUS_SCOPE_APP | BUS_SCOPE_CHANNEL |
                                        BUS_SCOPE_RESOURCE | BUS_SCOPE_TYPE | BUS_SCOPE_SUBSCRIBER);
    ck_assert(span_is(revoke.site, "acme"));
    ck_assert(span_is(revoke.app, "chess"));
    ck_assert(span_is(revoke.channel, "chat"));
    ck_assert(span_is(revoke.resource, "1"));
    ck_assert(span_is(revoke.subscriber, "ann"));
    ck_assert_uint_eq(revoke.type, SUBSCRIBER_MEMBER);
    world_request(0, "p", "{'op':'disconnect','id':1,'subscriber':{'id':'ann'},'reason':'spam'}");
    revoke = take_revoke("g");
    ck_assert_uint_eq(revoke.number, 2);
    ck_assert_uint_eq(revoke.mode, BUS_REVOKE_DISCONNECT);
    ck_assert_uint_eq(revoke.scope, BUS_SCOPE_SITE | BUS_SCOPE_SUBSCRIBER);
    ck_assert(span_is(revoke.reason, "spam"));
    confirm("g", 2, 2, 2);
    expect_reply("p", "{'id':1,'ok':true,'affected':2,'unconfirmed':0}");
}
END_TEST

START_TEST(bad_requests)
{
    static const struct world_refusal cases[] = {
        {0, "{'op':'revoke','id':1,'mode':'deny'}", STATUS_BAD_INPUT, "a channel or a subscriber"},
        {0, "{'op':'revoke','id':1,'channel':'chat'}", STATUS_BAD_INPUT, "mode"},
        {0, "{'op':'revoke','id':1,'channel':'chat','mode':'later'}", STATUS_BAD_INPUT, "recheck"},
        {0, "{'op':'revoke','id':1,'channel':'a b','mode':'deny'}", STATUS_BAD_INPUT, "channel"},
        {0, "{'op':'revoke','id':1,'resource':'a','mode':'deny'}", STATUS_BAD_INPUT,
         "needs a channel"},
        {0, "{'op':'revoke','id':1,'subscriber':7,'mode':'deny'}", STATUS_BAD_INPUT, "subscriber"},
        {0, "{'op':'revoke','id':1,'subscriber':{},'mode':'deny'}", STATUS_BAD_INPUT,
         "id must be a string"},
        {0, "{'op':'revoke','id':1,'subscriber':{'id':'a','type':'USER'},'mode':'deny'}",
         STATUS_BAD_INPUT, "VISITOR, MEMBER or ADMIN"},
        {0, "{'op':'revoke','id':1,'channel':'chat','mode':'deny','site':'acme'}", STATUS_FORBIDDEN,
         "site"},
        {2, "{'op':'revoke','id':1,'channel':'chat','mode':'deny'}", STATUS_FORBIDDEN,
         "may not revoke"},
        {0, "{'op':'disconnect','id':1}", STATUS_BAD_INPUT, "subscriber: missing"},
        {2, "{'op':'disconnect','id':1,'subscriber':{'id':'a'}}", STATUS_FORBIDDEN,
         "may not revoke"},
        {0, "{'op':'disconnect','id':1,'subscriber':{'id':'a'},'reason':7}", STATUS_BAD_INPUT,
         "reason"},
    };
    expect_refusals("p", cases, sizeof cases / sizeof *cases);
    ck_assert_uint_eq(core_revocation_number(world), 0);
}
END_TEST

/* The worker says yes to what it was asked last. */
static void say_yes(const char *id)
{
    char json[200];
    snprintf(json, sizeof json, "{'op':'answer','id':%s,'answers':[{'read':true,'ttl':100}]}", id);
    world_request(0, "w", json);
}

START_TEST(a_question_under_way_is_asked_again)
{
    world_handler("w", "[{}]");
    world_read("g", &member);
    drop_effects();
    ck_assert_uint_eq(world_metrics.checks_sent_total, 1);
    world_request(0, "p", "{'op':'revoke','id':1,'channel':'chat','mode':'deny'}");
    drop_revokes();
    core_answer(world, SIZE_MAX, world_now);
    drop_effects();
    ck_assert_uint_eq(world_metrics.checks_sent_total, 2);
    say_yes("1"); /* was asked before */
    core_answer(world, SIZE_MAX, world_now);
    expect_nothing();
    world_request(0, "w", "{'op':'answer','id':2,'answers':[{'read':false}]}");
    expect_answer("g", 7, STATUS_FORBIDDEN);
    expect_nothing();
    ck_assert_uint_eq(world_metrics.permissions_granted_total, 0);
}
END_TEST

START_TEST(a_yes_that_was_not_told_yet_does_not_count)
{
    world_handler("w", "[{}]");
    world_read("g", &member);
    drop_effects();
    say_yes("1");
    world_request(0, "p", "{'op':'revoke','id':1,'channel':'chat','mode':'deny'}");
    drop_revokes();
    core_answer(world, SIZE_MAX, world_now);
    drop_effects();
    ck_assert_uint_eq(world_metrics.checks_sent_total, 2);
    world_request(0, "w", "{'op':'answer','id':2,'answers':[{'read':false}]}");
    expect_answer("g", 7, STATUS_FORBIDDEN);
}
END_TEST

START_TEST(kept_answers_go_and_others_stay)
{
    static const struct {
        const char *json;
        bool is_asked;
    } cases[] = {
        {"{'op':'revoke','channel':'chat','mode':'recheck'}", true},
        {"{'op':'revoke','channel':'chat','resource':'1','mode':'recheck'}", true},
        {"{'op':'revoke','channel':'chat','resource':'','mode':'recheck'}", false},
        {"{'op':'revoke','channel':'other','mode':'recheck'}", false},
        {"{'op':'revoke','subscriber':{'id':'ann'},'mode':'recheck'}", true},
        {"{'op':'revoke','subscriber':{'id':'ann','type':'MEMBER'},'mode':'recheck'}", true},
        {"{'op':'revoke','subscriber':{'id':'ann','type':'ADMIN'},'mode':'recheck'}", false},
        {"{'op':'revoke','subscriber':{'id':'bob'},'mode':'recheck'}", false},
        {"{'op':'disconnect','subscriber':{'id':'ann'}}", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        world_start();
        world_gateway("g", 11);
        world_handler("w", "[{}]");
        world_read("g", &member);
        drop_effects();
        say_yes("1");
        core_answer(world, SIZE_MAX, world_now);
        drop_effects();
        world_request(0, "p", cases[i].json);
        world_read("g", &member);
        drop_effects();
        ck_assert_msg(world_metrics.checks_sent_total == 1u + cases[i].is_asked, "%s",
                      cases[i].json);
    }
}
END_TEST

/* Says hello again and takes what comes in front of the welcome. */
static void return_with(uint64_t broker, uint64_t revoked)
{
    struct buffer frame = {0};
    bus_put_hello(&frame, &(struct bus_hello){.version = BUS_VERSION,
                                              .gateway = span_text("g"),
                                              .incarnation = 11,
                                              .broker = broker,
                                              .revoked = revoked});
    world_frame("g2", &frame);
    buffer_free(&frame);
}

static void expect_welcome(uint64_t revoked)
{
    struct bus_welcome welcome;
    ck_assert(bus_get_welcome(take_frame("g2"), &welcome));
    ck_assert_uint_eq(welcome.revoked, revoked);
}

/* The same of one that joins: what becomes of its name comes last. */
static void expect_joined(uint64_t revoked)
{
    expect_welcome(revoked);
    ck_assert_uint_eq(bus_frame_type(take_frame("g2")), BUS_STANDING);
}

static void revoke_chat(int times)
{
    for (int i = 0; i < times; i++)
        world_request(0, "p", "{'op':'revoke','channel':'chat','mode':'deny'}");
    drop_effects();
}

START_TEST(a_gateway_that_was_away_gets_what_it_lacks)
{
    revoke_chat(4);
    return_with(WORLD_NONCE, 2);
    expect_log(CORE_GATEWAY_LEFT, "g");
    expect_log(CORE_GATEWAY_JOINED, "g");
    ck_assert_uint_eq(take_revoke("g2").number, 3);
    ck_assert_uint_eq(take_revoke("g2").number, 4);
    expect_joined(4);
    expect_nothing();
}
END_TEST

START_TEST(when_nobody_knows_what_it_lacks_all_is_asked_again)
{
    revoke_chat(4); /* three are kept */
    static const struct {
        uint64_t broker, revoked;
    } cases[] = {{WORLD_NONCE, 0}, {WORLD_NONCE + 7, 4}, {WORLD_NONCE, 5}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        return_with(cases[i].broker, cases[i].revoked);
        struct core_effect effect;
        do
            core_take_effect(world, &effect);
        while (effect.kind == CORE_GATEWAY_LEFT || effect.kind == CORE_GATEWAY_JOINED);
        struct bus_revoke revoke;
        ck_assert(bus_get_revoke(effect.bytes, &revoke));
        ck_assert_uint_eq(revoke.mode, BUS_REVOKE_RECHECK);
        ck_assert_uint_eq(revoke.scope, BUS_SCOPE_FORGOTTEN);
        ck_assert_uint_eq(revoke.number, 1);
        core_sent(world, effect.to, CORE_SENT);
        for (uint64_t number = 2; number <= 4; number++)
            ck_assert_uint_eq(take_revoke("g2").number, number); /* those that are kept */
        if (i == 0)
            expect_joined(4);
        else
            expect_welcome(4);
    }
    ck_assert_uint_eq(world_metrics.revocations_unknown_total, 3);
}
END_TEST

START_TEST(a_gateway_of_another_life_gets_what_was_said_in_this_one)
{
    revoke_chat(2);
    return_with(WORLD_NONCE + 7, 40);
    struct core_effect effect;
    do
        core_take_effect(world, &effect);
    while (effect.kind == CORE_GATEWAY_LEFT || effect.kind == CORE_GATEWAY_JOINED);
    core_sent(world, effect.to, CORE_SENT); /* all is asked again */
    ck_assert_uint_eq(take_revoke("g2").number, 1);
    ck_assert_uint_eq(take_revoke("g2").number, 2);
    expect_welcome(2);
}
END_TEST

START_TEST(a_gateway_that_was_lost_a_moment_ago_has_not_confirmed)
{
    world_settings.presence.return_ms = 1000;
    world_start();
    world_now += 1000; /* nobody can be out there from before the start any more */
    core_tick(world, world_now);
    drop_effects();
    world_gateway("g", 11);
    world_request(0, "p", "{'op':'revoke','channel':'chat','mode':'deny'}");
    struct core_effect effect;
    core_take_effect(world, &effect);
    core_sent(world, effect.to, CORE_GONE);
    drop_effects();
    world_request(0, "p", "{'op':'revoke','id':1,'channel':'chat','mode':'deny'}");
    expect_reply("p", "{'id':1,'ok':true,'affected':0,'ended':0,'unconfirmed':1}");
    world_now += 1000;
    world_request(0, "p", "{'op':'revoke','id':1,'channel':'chat','mode':'deny'}");
    expect_reply("p", "{'id':1,'ok':true,'affected':0,'ended':0,'unconfirmed':0}");
}
END_TEST

START_TEST(a_new_gateway_lacks_nothing)
{
    revoke_chat(1);
    return_with(0, 0);
    drop_effects();
    ck_assert_uint_eq(world_metrics.revocations_unknown_total, 0);
}
END_TEST

START_TEST(a_gateway_that_leaves_does_not_confirm)
{
    world_request(0, "p", "{'op':'revoke','id':1,'channel':'chat','mode':'deny'}");
    struct core_effect effect;
    for (int i = 0; i < 2; i++) {
        core_take_effect(world, &effect);
        ck_assert_int_eq(effect.kind, CORE_SEND);
        core_sent(world, effect.to, span_is(effect.peer, "h") ? CORE_GONE : CORE_SENT);
    }
    confirm("g", 1, 1, 1);
    expect_log(CORE_GATEWAY_LEFT, "h");
    expect_reply("p", "{'id':1,'ok':true,'affected':1,'ended':1,'unconfirmed':1}");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("core_revoke");
    TCase *cases = tcase_create("all");
    tcase_add_checked_fixture(cases, setup, world_teardown);
    tcase_add_test(cases, all_gateways_confirm);
    tcase_add_test(cases, those_that_do_not_confirm_are_counted);
    tcase_add_test(cases, without_gateways_there_is_nobody_to_ask);
    tcase_add_test(cases, what_gateways_are_told);
    tcase_add_test(cases, bad_requests);
    tcase_add_test(cases, a_question_under_way_is_asked_again);
    tcase_add_test(cases, a_yes_that_was_not_told_yet_does_not_count);
    tcase_add_test(cases, kept_answers_go_and_others_stay);
    tcase_add_test(cases, a_gateway_that_was_away_gets_what_it_lacks);
    tcase_add_test(cases, when_nobody_knows_what_it_lacks_all_is_asked_again);
    tcase_add_test(cases, a_gateway_of_another_life_gets_what_was_said_in_this_one);
    tcase_add_test(cases, a_gateway_that_was_lost_a_moment_ago_has_not_confirmed);
    tcase_add_test(cases, a_new_gateway_lacks_nothing);
    tcase_add_test(cases, a_gateway_that_leaves_does_not_confirm);
    suite_add_tcase(suite, cases);
    return unit_run(suite);
}
