#include <stdio.h>
#include <string.h>

#include "permission_world.h"
#include "unit.h"

/* Who may read: what handlers, rules and sites say of it, how long that holds and who shares an
 * answer. */

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
        char number[20], name[20];
        /* Another subscriber each time: nothing is kept for it, and no breaker opens. */
        snprintf(name, sizeof name, "m%zu", i);
        snprintf(number, sizeof number, "%zu", i + 1);
        ask_as(name);
        check_answered(number, name, cases[i].answer);
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
    check_answered("1", "ann", "[{'read':true}]");
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
    check_answered("1", "ann", "[{'error':{'status':503}}]");
    refused(7, true);
}
END_TEST

START_TEST(auto_is_temporary_for_those_who_resume)
{
    world_handler("w", "[{}]");
    struct world_question resuming = member;
    resuming.flags = BUS_QUESTION_RESUMES;
    world_read("g", &resuming);
    check_answered("1", "ann", "[{'error':{'status':503}}]");
    refused(7, true);
    world_read("g", &member);
    check_answered("2", "ann", "[{'error':{'status':503}}]");
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
    check_answered("1", "ann", "[{'read':true,'ttl':60}]");
    ck_assert_uint_eq(expect_answer("g", 7, STATUS_OK).grant_ms, BUS_GRANT_ONCE);
    world_read("g", &member); /* what was kept is not enough */
    check_answered("2", "ann", "[{'read':true,'ttl':60}]");
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
    check_answered("1", "ann", "[{'read':true,'ttl':10}]");
    ck_assert_uint_eq(expect_answer("g", 1, STATUS_OK).grant_ms, 10000);
    world_now += 4000;
    ask_member(2);
    ck_assert_uint_eq(expect_answer("g", 2, STATUS_OK).grant_ms, 6000);
    world_now += 6000;
    ask_member(3);
    check_answered("2", "ann", "[{'read':false,'ttl':10}]");
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
        char number[20], name[20];
        snprintf(number, sizeof number, "%d", i);
        snprintf(name, sizeof name, "m%d", i);
        ask_as(name);
        check_answered(number, name, "[{'read':true,'ttl':100}]");
        expect_answer("g", 7, STATUS_OK);
    }
    core_measure(world);
    ck_assert_uint_eq(world_metrics.grants, 3);
    ck_assert_uint_eq(world_metrics.grants_cut_total, 2);
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
    world_request(0, "p", EXPLAIN_ANN);
    expect_reply("p", "{'id':1,'ok':true,'read':true,'status':0,'level':'none','by':'none',"
                      "'source':'static','took_ms':0}");
    world_handler("w", "[{'channel':'chat'}]");
    world_request(0, "p", EXPLAIN_ANN);
    core_answer(world, SIZE_MAX, world_now);
    expect_check("w", CHECK("1", "chat", "ann", "MEMBER"));
    world_now += 20;
    answer("w", "1", "[{'read':true,'ttl':60}]");
    expect_reply("p", "{'id':1,'ok':true,'read':true,'status':0,'level':'channel','by':'handler',"
                      "'source':'live','ttl':60.0,'took_ms':20}");
    world_request(0, "p", EXPLAIN_ANN);
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
    world_request(2, "p", EXPLAIN_ANN);
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
        world_request(0, "p", EXPLAIN_ANN);
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
    TCase *tests = tcase_create("all");
    tcase_add_checked_fixture(tests, permission_setup, world_teardown);
    tcase_add_test(tests, nobody_says_anything);
    tcase_add_test(tests, a_handler_says_yes_no_and_for_how_long);
    tcase_add_test(tests, the_most_specific_handler_is_asked_and_no_other);
    tcase_add_test(tests, rules_are_on_the_same_levels_behind_handlers);
    tcase_add_test(tests, a_site_may_require_handlers_and_say_what_silence_means);
    tcase_add_test(tests, auto_is_temporary_for_those_who_resume);
    tcase_add_test(tests, preview_is_never_asked_about);
    tcase_add_test(tests, check_each_asks_for_every_message_but_in_preview);
    tcase_add_test(tests, one_question_for_all_who_want_to_know);
    tcase_add_test(tests, who_shares_a_question);
    tcase_add_test(tests, an_answer_holds_as_long_as_it_said);
    tcase_add_test(tests, kept_answers_are_bounded);
    tcase_add_test(tests, nobody_reads_without_being_somebody);
    tcase_add_test(tests, a_question_about_a_message_joins_none_that_is_under_way);
    tcase_add_test(tests, a_gateway_that_left_is_not_answered);
    tcase_add_test(tests, who_explains);
    tcase_add_test(tests, an_explanation_is_as_strict_as_the_channel);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
