#include <stdio.h>
#include <string.h>

#include "core_world.h"
#include "unit.h"

/* One worker "w", one gateway "g". Member 1 asks for chat unless a test says otherwise. */
#define CHECK(number, channel, id, type)                                                           \
    "{'op':'check','id':" number ",'checks':[{'channel':'" channel "','subscriber':{'id':'" id     \
    "','type':'" type "'},'site':'default','app':'','context':{'request_id':'x'}}]}"

static const struct world_question member = {
    .token = 7, .channel = "chat", .resource = "", .type = SUBSCRIBER_MEMBER, .id = "ann"};

static void answer(const char *peer, const char *id, const char *answers)
{
    char json[400];
    snprintf(json, sizeof json, "{'op':'answer','id':%s,'answers':%s}", id, answers);
    world_request(0, peer, json);
}

static void setup(void)
{
    world_setup();
    world_gateway("g", 11);
}

static void ask_member(uint64_t token)
{
    struct world_question question = member;
    question.token = token;
    world_read("g", &question);
}

static void refused(uint64_t token, bool is_temporary)
{
    struct bus_reply reply = expect_answer("g", token, STATUS_UNAVAILABLE);
    ck_assert_int_eq((reply.flags & BUS_REPLY_TEMPORARY) != 0, is_temporary);
}

START_TEST(nobody_says_anything)
{
    world_read("g", &member);
    struct bus_reply reply = expect_answer("g", 7, STATUS_OK);
    ck_assert_uint_eq(reply.grant_ms, BUS_GRANT_FOREVER);
}
END_TEST

START_TEST(a_handler_says_yes_no_and_for_how_long)
{
    static const struct {
        const char *answer;
        enum status status;
        uint32_t grant_ms;
    } cases[] = {
        {"[{'read':true}]", STATUS_OK, BUS_GRANT_FOREVER},
        {"[{'read':true,'ttl':null}]", STATUS_OK, BUS_GRANT_FOREVER},
        {"[{'read':true,'ttl':0}]", STATUS_OK, BUS_GRANT_ONCE},
        {"[{'read':true,'ttl':1.5}]", STATUS_OK, 1500},
        {"[{'read':false}]", STATUS_FORBIDDEN, 0},
        {"[{'read':false,'ttl':0}]", STATUS_FORBIDDEN, 0},
        {"[{'error':{'status':400,'message':'no such room'}}]", STATUS_BAD_INPUT, 0},
        {"[{'error':{'status':403,'message':'no'}}]", STATUS_UNAVAILABLE, 0},
        {"[{'error':{'status':500}}]", STATUS_UNAVAILABLE, 0},
        /* malformed, each */
        {"[{'read':1}]", STATUS_UNAVAILABLE, 0},
        {"[{'read':'true'}]", STATUS_UNAVAILABLE, 0},
        {"[{}]", STATUS_UNAVAILABLE, 0},
        {"[true]", STATUS_UNAVAILABLE, 0},
        {"[{'read':true,'ttl':-1}]", STATUS_UNAVAILABLE, 0},
        {"[{'read':true,'ttl':2592001}]", STATUS_UNAVAILABLE, 0},
        {"[{'read':true,'ttl':1e300}]", STATUS_UNAVAILABLE, 0},
        {"[{'read':true,'ttl':'60'}]", STATUS_UNAVAILABLE, 0},
        {"[{'read':true,'error':{'status':400}}]", STATUS_UNAVAILABLE, 0},
        {"[{'error':7}]", STATUS_UNAVAILABLE, 0},
        {"[]", STATUS_UNAVAILABLE, 0},
        {"[{'read':true},{'read':true}]", STATUS_UNAVAILABLE, 0},
        {"7", STATUS_UNAVAILABLE, 0},
    };
    world_handler("w", "[{'channel':'chat'}]");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char id[20], check[300];
        /* Another subscriber each time: nothing is kept for it, and no breaker opens. */
        struct world_question question = member;
        char name[20];
        snprintf(name, sizeof name, "m%zu", i);
        question.id = name;
        world_read("g", &question);
        snprintf(id, sizeof id, "%zu", i + 1);
        snprintf(check, sizeof check,
                 "{'op':'check','id':%s,'checks':[{'channel':'chat','subscriber':{'id':'%s',"
                 "'type':'MEMBER'},'site':'default','app':'','context':{'request_id':'x'}}]}",
                 id, name);
        expect_check("w", check);
        answer("w", id, cases[i].answer);
        struct bus_reply reply = expect_answer("g", 7, cases[i].status);
        if (cases[i].status == STATUS_OK)
            ck_assert_uint_eq(reply.grant_ms, cases[i].grant_ms);
        if (cases[i].status == STATUS_BAD_INPUT)
            ck_assert(span_is(reply.message, "no such room"));
    }
    expect_nothing();
}
END_TEST

START_TEST(the_most_specific_handler_is_asked_and_no_other)
{
    struct world_question room = member;
    room.resource = "1";
    world_handler("d", "[{}]");
    world_handler("c", "[{'channel':'chat'}]");
    world_handler("r", "[{'channel':'chat','resource':'1'}]");
    world_read("g", &room);
    expect_check("r",
                 "{'op':'check','id':1,'checks':[{'channel':'chat','resource':'1','subscriber':"
                 "{'id':'ann','type':'MEMBER'},'site':'default','app':'','context':"
                 "{'request_id':'x'}}]}");
    answer("r", "1", "[{'read':false}]");
    expect_answer("g", 7, STATUS_FORBIDDEN);
    ask_member(8);
    expect_check("c", CHECK("2", "chat", "ann", "MEMBER"));
    answer("c", "2", "[{'error':{'status':503}}]"); /* never the next level */
    refused(8, false);
    struct world_question other = member;
    other.channel = "news";
    world_read("g", &other);
    expect_check("d", CHECK("3", "news", "ann", "MEMBER"));
    answer("d", "3", "[{'read':true}]");
    expect_answer("g", 7, STATUS_OK);
    expect_nothing();
}
END_TEST

START_TEST(rules_are_on_the_same_levels_behind_handlers)
{
    static const struct policy_rule rules[] = {
        {.label = "staff",
         .site = "",
         .app = "",
         .channel = "chat",
         .resource = "",
         .allow = "admin",
         .deny = ""},
        {.label = "lobby",
         .site = "",
         .app = "",
         .channel = "chat",
         .resource = "1",
         .allow = "everyone",
         .deny = ""},
    };
    world_policy(&(struct policy_settings){.rules = rules, .rule_count = 2});
    world_gateway("g", 11);
    world_read("g", &member);
    expect_answer("g", 7, STATUS_FORBIDDEN);
    struct world_question room = member;
    room.resource = "1";
    world_handler("w", "[{'channel':'chat'},{}]");
    world_read("g", &room); /* a rule of a more specific level */
    expect_answer("g", 7, STATUS_OK);
    world_read("g", &member); /* a handler of the same level */
    expect_check("w", CHECK("1", "chat", "ann", "MEMBER"));
    answer("w", "1", "[{'read':true}]");
    expect_answer("g", 7, STATUS_OK);
}
END_TEST

START_TEST(a_site_may_require_handlers_and_say_what_silence_means)
{
    static const struct policy_site site = {"default", true, UNAVAILABLE_RETRY};
    world_policy(&(struct policy_settings){.sites = &site, .site_count = 1});
    world_gateway("g", 11);
    world_read("g", &member);
    struct bus_reply reply = expect_answer("g", 7, STATUS_FORBIDDEN);
    ck_assert(memmem(reply.message.data, reply.message.size, "requires", 8));
    world_handler("w", "[{}]");
    world_read("g", &member);
    expect_check("w", CHECK("1", "chat", "ann", "MEMBER"));
    answer("w", "1", "[{'error':{'status':503}}]");
    refused(7, true);
}
END_TEST

START_TEST(auto_is_temporary_for_those_who_resume)
{
    world_handler("w", "[{}]");
    struct world_question resuming = member;
    resuming.flags = BUS_QUESTION_RESUMES;
    world_read("g", &resuming);
    expect_check("w", CHECK("1", "chat", "ann", "MEMBER"));
    answer("w", "1", "[{'error':{'status':503}}]");
    refused(7, true);
    world_read("g", &member);
    expect_check("w", CHECK("2", "chat", "ann", "MEMBER"));
    answer("w", "2", "[{'error':{'status':503}}]");
    refused(7, false);
}
END_TEST

START_TEST(preview_is_never_asked_about)
{
    world_handler("w", "[{}]");
    struct world_question preview = member;
    preview.is_preview = true;
    world_read("g", &preview);
    struct bus_reply reply = expect_answer("g", 7, STATUS_OK);
    ck_assert_uint_eq(reply.grant_ms, BUS_GRANT_FOREVER);
    expect_nothing();
}
END_TEST

START_TEST(check_each_asks_for_every_message_but_in_preview)
{
    world_settings.streams.rule.check_each = true;
    world_start();
    world_gateway("g", 11);
    world_read("g", &member);
    ck_assert_uint_eq(expect_answer("g", 7, STATUS_OK).grant_ms, BUS_GRANT_ONCE);
    world_handler("w", "[{}]");
    world_read("g", &member);
    expect_check("w", CHECK("1", "chat", "ann", "MEMBER"));
    answer("w", "1", "[{'read':true,'ttl':60}]");
    ck_assert_uint_eq(expect_answer("g", 7, STATUS_OK).grant_ms, BUS_GRANT_ONCE);
    world_read("g", &member); /* what was kept is not enough */
    expect_check("w", CHECK("2", "chat", "ann", "MEMBER"));
    answer("w", "2", "[{'read':true,'ttl':60}]");
    expect_answer("g", 7, STATUS_OK);
    struct world_question preview = member;
    preview.is_preview = true;
    world_read("g", &preview);
    ck_assert_uint_eq(expect_answer("g", 7, STATUS_OK).grant_ms, BUS_GRANT_FOREVER);
}
END_TEST

START_TEST(one_question_for_all_who_want_to_know)
{
    world_handler("w", "[{}]");
    ask_member(1);
    expect_check("w", CHECK("1", "chat", "ann", "MEMBER"));
    ask_member(2);
    ask_member(3);
    expect_nothing();
    answer("w", "1", "[{'read':true}]");
    core_answer(world, SIZE_MAX, world_now);
    struct bus_answer frame;
    ck_assert(bus_get_answer(take_frame("g"), &frame));
    ck_assert_uint_eq(frame.count, 3);
    expect_nothing();
    ask_member(4); /* an answer without ttl is for those attempts alone */
    expect_check("w", CHECK("2", "chat", "ann", "MEMBER"));
    ck_assert_uint_eq(world_metrics.checks_shared_total, 2);
}
END_TEST

START_TEST(who_shares_a_question)
{
    static const struct world_question others[] = {
        {2, "chat", "", SUBSCRIBER_MEMBER, "bob", 0, 0, false},
        {3, "chat", "", SUBSCRIBER_ADMIN, "ann", 0, 0, false},
        {4, "chat", "1", SUBSCRIBER_MEMBER, "ann", 0, 0, false},
        {5, "chat", "", SUBSCRIBER_VISITOR, "", 0, 0, false},
    };
    world_settings.asks.batches = 100;
    world_start();
    world_gateway("g", 11);
    world_handler("w", "[{}]");
    ask_member(1);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        world_read("g", &others[i]);
    drop_effects();
    ck_assert_uint_eq(world_metrics.checks_sent_total, 5);
    world_read("g", &others[3]); /* visitors who are nobody in particular */
    expect_nothing();
}
END_TEST

START_TEST(an_answer_holds_as_long_as_it_said)
{
    world_handler("w", "[{}]");
    ask_member(1);
    expect_check("w", CHECK("1", "chat", "ann", "MEMBER"));
    answer("w", "1", "[{'read':true,'ttl':10}]");
    ck_assert_uint_eq(expect_answer("g", 1, STATUS_OK).grant_ms, 10000);
    world_now += 4000;
    ask_member(2);
    ck_assert_uint_eq(expect_answer("g", 2, STATUS_OK).grant_ms, 6000);
    world_now += 6000;
    ask_member(3);
    expect_check("w", CHECK("2", "chat", "ann", "MEMBER"));
    answer("w", "2", "[{'read':false,'ttl':10}]");
    expect_answer("g", 3, STATUS_FORBIDDEN);
    ask_member(4);
    expect_answer("g", 4, STATUS_FORBIDDEN);
    ck_assert_uint_eq(world_metrics.checks_kept_total, 2);
}
END_TEST

START_TEST(kept_answers_are_bounded)
{
    world_handler("w", "[{}]");
    for (int i = 1; i <= 5; i++) {
        struct world_question question = member;
        char id[20], check[300];
        snprintf(id, sizeof id, "m%d", i);
        question.id = id;
        world_read("g", &question);
        snprintf(
            check, sizeof check,
            "{'op':'check','id':%d,'checks':[{'channel':'chat','subscriber':{'id':'m%d','type':"
            "'MEMBER'},'site':'default','app':'','context':{'request_id':'x'}}]}",
            i, i);
        expect_check("w", check);
        snprintf(id, sizeof id, "%d", i);
        answer("w", id, "[{'read':true,'ttl':100}]");
        expect_answer("g", 7, STATUS_OK);
    }
    core_measure(world);
    ck_assert_uint_eq(world_metrics.grants, 3);
    ck_assert_uint_eq(world_metrics.grants_cut_total, 2);
}
END_TEST

START_TEST(silence_refuses_after_a_second_worker_was_asked)
{
    world_handler("a", "[{}]");
    world_handler("b", "[{}]");
    ask_member(1);
    core_take_effect(world, &(struct core_effect){0}); /* one of them */
    drop_effects();
    ck_assert_uint_eq(world_metrics.checks_sent_total, 1);
    world_advance(1100);
    ck_assert_uint_eq(world_metrics.checks_sent_total, 2);
    ck_assert_uint_eq(world_metrics.checks_again_total, 1);
    drop_effects();
    world_advance(1800);
    ck_assert_uint_eq(world_metrics.checks_late_total, 0);
    drop_effects();
    world_advance(200); /* 3 s and at most one slot of the wheel */
    ck_assert_uint_eq(world_metrics.checks_late_total, 1);
    ck_assert_uint_eq(world_metrics.permissions_granted_total, 0);
    answer("b", "2", "[{'read':true}]"); /* too late */
    answer("a", "1", "[{'read':true}]");
    ck_assert_uint_eq(world_metrics.permissions_granted_total, 0);
    ck_assert_uint_eq(world_metrics.permissions_refused_unavailable_total, 1);
    ck_assert_uint_eq(world_metrics.answers_strange_total, 2);
}
END_TEST

START_TEST(the_first_good_answer_wins)
{
    world_handler("a", "[{}]");
    ask_member(1);
    expect_check("a", CHECK("1", "chat", "ann", "MEMBER"));
    world_handler("b", "[{}]");
    world_now += 1100;
    core_tick(world, world_now);
    ck_assert_uint_eq(world_metrics.checks_again_total, 1);
    drop_effects();
    answer("b", "2", "[{'read':false}]");
    answer("a", "1", "[{'read':true}]");
    expect_answer("g", 1, STATUS_FORBIDDEN);
    core_answer(world, SIZE_MAX, world_now);
    expect_nothing();
}
END_TEST

START_TEST(answers_that_nobody_asked_for_change_nothing)
{
    world_handler("w", "[{}]");
    world_handler("v", "[{}]");
    ask_member(1);
    drop_effects();
    answer("x", "1", "[{'read':true}]");   /* a stranger */
    answer("w", "9", "[{'read':true}]");   /* no such question */
    answer("w", "'1'", "[{'read':true}]"); /* no number */
    world_request(0, "w", "{'op':'answer','answers':[{'read':true}]}");
    core_answer(world, SIZE_MAX, world_now);
    expect_nothing();
    ck_assert_uint_eq(world_metrics.answers_strange_total, 4);
    answer("v", "1", "[{'read':true}]");
    answer("w", "1", "[{'read':true}]"); /* one of them is the one, the other one is twice */
    expect_answer("g", 1, STATUS_OK);
    answer("v", "1", "[{'read':false}]");
    answer("w", "1", "[{'read':false}]");
    core_answer(world, SIZE_MAX, world_now);
    expect_nothing();
}
END_TEST

START_TEST(a_worker_that_is_gone_is_noticed_by_the_send)
{
    world_handler("a", "[{}]");
    world_handler("b", "[{}]");
    ask_member(1);
    struct core_effect effect;
    core_take_effect(world, &effect);
    ck_assert_int_eq(effect.kind, CORE_REPLY);
    char first = (char)effect.peer.data[0];
    core_sent(world, effect.to, CORE_GONE);
    core_answer(world, SIZE_MAX, world_now);
    expect_check(first == 'a' ? "b" : "a", CHECK("2", "chat", "ann", "MEMBER"));
    ck_assert_uint_eq(world_metrics.workers_gone_total, 1);
    answer(first == 'a' ? "b" : "a", "2", "[{'read':true}]");
    expect_answer("g", 1, STATUS_OK);
}
END_TEST

START_TEST(nobody_is_there_to_ask)
{
    world_handler("w", "[{}]");
    ask_member(1);
    world_lost("w");
    core_answer(world, SIZE_MAX, world_now);
    refused(1, false);
    ask_member(2); /* the registration stays, so nobody is let in */
    refused(2, false);
    ck_assert_uint_eq(world_metrics.checks_unreachable_total, 2);
    world_handler("v", "[{}]");
    ask_member(3);
    expect_check("v", CHECK("2", "chat", "ann", "MEMBER"));
}
END_TEST

START_TEST(workers_that_vanish_when_they_are_asked_open_the_breaker)
{
    for (uint64_t i = 1; i <= 5; i++) {
        char peer[] = {(char)('a' + i), '\0'};
        world_handler(peer, "[{}]");
        ask_member(i);
        world_lost(peer);
        core_answer(world, SIZE_MAX, world_now);
        refused(i, false);
    }
    core_measure(world);
    ck_assert_uint_eq(world_metrics.breakers_open, 1);
    world_handler("w", "[{}]");
    ask_member(6); /* not before the next probe is due */
    refused(6, false);
    ck_assert_uint_eq(world_metrics.checks_broken_total, 1);
}
END_TEST

START_TEST(nobody_reads_without_being_somebody)
{
    static const uint8_t kinds[] = {BUS_SUBSCRIBE, BUS_PERMIT};
    for (size_t i = 0; i < sizeof kinds; i++) {
        struct buffer items = {0}, frame = {0};
        bus_put_question(
            &items,
            &(struct bus_question){.kind = kinds[i], .token = 7, .address = world_key("chat", "")});
        bus_put_ask(&frame, &(struct bus_ask){.count = 1, .items = buffer_span(&items)});
        world_frame("g", &frame);
        expect_answer("g", 7, STATUS_BAD_INPUT);
        buffer_free(&items);
        buffer_free(&frame);
    }
}
END_TEST

/* What was asked before a message came says nothing about that message. */
START_TEST(a_question_about_a_message_joins_none_that_is_under_way)
{
    world_handler("w", "[{}]");
    struct world_question permit = member;
    permit.kind = BUS_PERMIT;
    world_read("g", &permit);
    expect_check("w", CHECK("1", "chat", "ann", "MEMBER"));
    permit.token = 8;
    world_read("g", &permit);
    expect_check("w", CHECK("2", "chat", "ann", "MEMBER"));
    answer("w", "1", "[{'read':true,'ttl':0}]");
    expect_answer("g", 7, STATUS_OK);
    answer("w", "2", "[{'read':false}]");
    expect_answer("g", 8, STATUS_FORBIDDEN);
    expect_nothing();
    core_measure(world);
    ck_assert_uint_eq(world_metrics.checks_open, 0);
}
END_TEST

START_TEST(a_last_moment_is_no_failure_of_the_handler)
{
    world_settings.asks.again_ms = 5000;
    world_start();
    world_gateway("g", 11);
    world_handler("w", "[{}]");
    for (uint64_t i = 1; i <= 10; i++) {
        struct buffer asker = {0};
        bus_put_asker(&asker, &(struct bus_asker){.type = SUBSCRIBER_VISITOR, .within_ms = 100});
        world_ask("g",
                  &(struct bus_question){.kind = BUS_SUBSCRIBE,
                                         .token = i,
                                         .address = world_key("chat", ""),
                                         .asker = buffer_span(&asker)},
                  1);
        buffer_free(&asker);
        core_answer(world, SIZE_MAX, world_now);
        drop_effects();
        world_advance(300);
        drop_effects();
    }
    ck_assert_uint_eq(world_metrics.batches_late_total, 10);
    ck_assert_uint_eq(world_metrics.breakers_opened_total, 0);
}
END_TEST

START_TEST(idle_workers_are_sent_an_empty_question)
{
    world_handler("w", "[{}]");
    world_now += 2100;
    core_tick(world, world_now);
    struct core_effect effect;
    do
        core_take_effect(world, &effect);
    while (effect.kind != CORE_REPLY && effect.kind != CORE_NOTHING);
    ck_assert_int_eq(effect.kind, CORE_REPLY);
    core_sent(world, effect.to, CORE_SENT);
    answer("w", "0", "[]");
    ck_assert_uint_eq(world_metrics.answers_strange_total, 0);
}
END_TEST

/* Five messages without an answer. */
static void break_handler(void)
{
    for (uint64_t i = 1; i <= 5; i++) {
        ask_member(i);
        drop_effects();
        world_advance(3200);
        drop_effects();
    }
    core_measure(world);
    ck_assert_uint_eq(world_metrics.breakers_open, 1);
}

START_TEST(a_breaker_opens_and_lets_probes_through)
{
    world_handler("w", "[{}]");
    break_handler();
    uint64_t sent = world_metrics.checks_sent_total;
    ask_member(10);
    refused(10, false);
    ck_assert_uint_eq(world_metrics.checks_sent_total, sent);
    world_advance(1000);
    drop_effects();
    ask_member(11); /* the probe */
    ck_assert_uint_eq(world_metrics.checks_sent_total, sent + 1);
    struct world_question bob = member;
    bob.id = "bob";
    world_read("g", &bob);
    ck_assert_uint_eq(world_metrics.checks_sent_total, sent + 1);
    ck_assert_uint_eq(world_metrics.checks_broken_total, 2);
    drop_effects();
    answer("w", "6", "[{'read':true}]");
    expect_answer("g", 11, STATUS_OK);
    core_measure(world);
    ck_assert_uint_eq(world_metrics.breakers_open, 0);
}
END_TEST

START_TEST(errors_of_a_handler_that_answers_open_no_breaker)
{
    world_handler("w", "[{}]");
    for (int i = 1; i <= 20; i++) {
        char id[20];
        snprintf(id, sizeof id, "%d", i);
        ask_member((uint64_t)i);
        drop_effects();
        answer("w", id, "[{'error':{'status':503}}]");
        refused((uint64_t)i, false);
    }
    ck_assert_uint_eq(world_metrics.breakers_opened_total, 0);
}
END_TEST

START_TEST(questions_of_a_site_are_bounded)
{
    world_settings.asks.checks = 2;
    world_start();
    world_gateway("g", 11);
    world_handler("w", "[{}]");
    struct world_question question = member;
    question.id = "a";
    world_read("g", &question);
    question.id = "b";
    world_read("g", &question);
    drop_effects();
    question.id = "c";
    world_read("g", &question);
    refused(7, false);
    ck_assert_uint_eq(world_metrics.checks_busy_total, 1);
    ck_assert_uint_eq(world_metrics.permissions_granted_total, 0);
}
END_TEST

START_TEST(messages_under_way_are_bounded_and_gather)
{
    world_handler("w", "[{}]"); /* three messages at once, as the settings say */
    for (int i = 0; i < 100; i++) {
        struct world_question question = member;
        char id[20];
        snprintf(id, sizeof id, "m%d", i);
        question.id = id;
        world_read("g", &question);
    }
    drop_effects();
    ck_assert_uint_eq(world_metrics.batches_sent_total, 3);
    answer("w", "1", "[{'read':true}]");
    core_answer(world, SIZE_MAX, world_now);
    drop_effects();
    ck_assert_uint_eq(world_metrics.batches_sent_total, 4);
    ck_assert_uint_eq(world_metrics.checks_sent_total, 100);
}
END_TEST

START_TEST(a_gateway_that_left_is_not_answered)
{
    world_handler("w", "[{}]");
    ask_member(1);
    expect_check("w", CHECK("1", "chat", "ann", "MEMBER"));
    world_now += 2100;
    core_tick(world, world_now); /* probes it */
    struct core_effect effect;
    for (;;) {
        core_take_effect(world, &effect);
        if (effect.kind == CORE_NOTHING)
            break;
        if (effect.to)
            core_sent(world, effect.to, effect.kind == CORE_SEND ? CORE_GONE : CORE_SENT);
    }
    answer("w", "1", "[{'read':true}]");
    core_answer(world, SIZE_MAX, world_now);
    expect_nothing();
}
END_TEST

START_TEST(who_explains)
{
    static const char question[] = "{'op':'explain','id':1,'channel':'chat','subscriber':{'type':"
                                   "'MEMBER','id':'ann'}}";
    world_request(0, "p", question);
    expect_reply("p", "{'id':1,'ok':true,'read':true,'status':0,'level':'none','by':'none',"
                      "'source':'static','took_ms':0}");
    world_handler("w", "[{'channel':'chat'}]");
    world_request(0, "p", question);
    core_answer(world, SIZE_MAX, world_now);
    expect_check("w", CHECK("1", "chat", "ann", "MEMBER"));
    world_now += 20;
    answer("w", "1", "[{'read':true,'ttl':60}]");
    expect_reply("p", "{'id':1,'ok':true,'read':true,'status':0,'level':'channel','by':'handler',"
                      "'source':'live','ttl':60.0,'took_ms':20}");
    world_request(0, "p", question);
    expect_reply("p", "{'id':1,'ok':true,'read':true,'status':0,'level':'channel','by':'handler',"
                      "'source':'cached','ttl':60.0,'took_ms':0}");
    world_request(0, "p", "{'op':'explain','id':2,'channel':'chat','subscriber':{'id':'ann'}}");
    expect_refusal("p", "2", STATUS_BAD_INPUT, "type must be given");
    world_request(0, "p",
                  "{'op':'explain','id':2,'channel':'chat','subscriber':{'id':'ann',"
                  "'type':'member'}}");
    expect_refusal("p", "2", STATUS_BAD_INPUT, "VISITOR, MEMBER or ADMIN");
    world_request(0, "p",
                  "{'op':'explain','id':2,'channel':'chat','subscriber':{'id':'',"
                  "'type':'MEMBER'}}");
    expect_refusal("p", "2", STATUS_BAD_INPUT, "only visitors");
    world_request(2, "p", question);
    expect_refusal("p", "1", STATUS_FORBIDDEN, "may not handle permissions");
}
END_TEST

START_TEST(an_explanation_is_as_strict_as_the_channel)
{
    world_settings.streams.rule.check_each = true;
    world_start();
    world_handler("w", "[{}]");
    for (int i = 1; i <= 2; i++) {
        char id[20];
        snprintf(id, sizeof id, "%d", i);
        world_request(0, "p",
                      "{'op':'explain','id':1,'channel':'chat','subscriber':{'type':"
                      "'MEMBER','id':'ann'}}");
        core_answer(world, SIZE_MAX, world_now);
        drop_effects();
        answer("w", id, "[{'read':true,'ttl':60}]");
        expect_reply("p", "{'id':1,'ok':true,'read':true,'status':0,'level':'default','by':"
                          "'handler','source':'live','ttl':0.0,'took_ms':0}");
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("core_permission");
    TCase *cases = tcase_create("all");
    tcase_add_checked_fixture(cases, setup, world_teardown);
    tcase_add_test(cases, nobody_says_anything);
    tcase_add_test(cases, a_handler_says_yes_no_and_for_how_long);
    tcase_add_test(cases, the_most_specific_handler_is_asked_and_no_other);
    tcase_add_test(cases, rules_are_on_the_same_levels_behind_handlers);
    tcase_add_test(cases, a_site_may_require_handlers_and_say_what_silence_means);
    tcase_add_test(cases, auto_is_temporary_for_those_who_resume);
    tcase_add_test(cases, preview_is_never_asked_about);
    tcase_add_test(cases, check_each_asks_for_every_message_but_in_preview);
    tcase_add_test(cases, one_question_for_all_who_want_to_know);
    tcase_add_test(cases, who_shares_a_question);
    tcase_add_test(cases, an_answer_holds_as_long_as_it_said);
    tcase_add_test(cases, kept_answers_are_bounded);
    tcase_add_test(cases, silence_refuses_after_a_second_worker_was_asked);
    tcase_add_test(cases, the_first_good_answer_wins);
    tcase_add_test(cases, answers_that_nobody_asked_for_change_nothing);
    tcase_add_test(cases, a_worker_that_is_gone_is_noticed_by_the_send);
    tcase_add_test(cases, nobody_is_there_to_ask);
    tcase_add_test(cases, workers_that_vanish_when_they_are_asked_open_the_breaker);
    tcase_add_test(cases, nobody_reads_without_being_somebody);
    tcase_add_test(cases, a_question_about_a_message_joins_none_that_is_under_way);
    tcase_add_test(cases, a_last_moment_is_no_failure_of_the_handler);
    tcase_add_test(cases, idle_workers_are_sent_an_empty_question);
    tcase_add_test(cases, a_breaker_opens_and_lets_probes_through);
    tcase_add_test(cases, errors_of_a_handler_that_answers_open_no_breaker);
    tcase_add_test(cases, questions_of_a_site_are_bounded);
    tcase_add_test(cases, messages_under_way_are_bounded_and_gather);
    tcase_add_test(cases, a_gateway_that_left_is_not_answered);
    tcase_add_test(cases, who_explains);
    tcase_add_test(cases, an_explanation_is_as_strict_as_the_channel);
    suite_add_tcase(suite, cases);
    return unit_run(suite);
}
