#include <stdio.h>

#include "bytes.h"
#include "permission_world.h"
#include "unit.h"

/* The workers of a handler: silent, slow, strange, gone, or asked for too much. */

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

/* --- hearts --- */

/* A second of the broker's; "v" answers its heartbeat, others do not. */
static void beat(void)
{
    world_now += 1000;
    core_tick(world, world_now);
    core_answer(world, SIZE_MAX, world_now);
}

static void beats(int seconds)
{
    for (int i = 0; i < seconds; i++) {
        beat();
        drop_effects();
        answer("v", "0", "[]");
    }
}

/* The next of these for the log; other effects are dropped. */
static void expect_told(enum core_effect_kind kind)
{
    struct core_effect effect;
    do {
        core_take_effect(world, &effect);
        if (effect.to)
            core_sent(world, effect.to, CORE_SENT);
    } while (effect.kind != kind && effect.kind != CORE_NOTHING);
    ck_assert_int_eq(effect.kind, kind);
    assert_text(effect.bytes, "default");
}

/* "v" and "w" answer for all; then "w" hangs, so that it would be silent a second later. */
static void let_one_hang(void)
{
    world_handler("v", "[{}]");
    world_handler("w", "[{}]");
    answer("w", "0", "[]");
    beats(3);
    ck_assert_uint_eq(world_metrics.workers_silent_total, 0);
}

START_TEST(a_worker_that_hangs_is_not_asked_until_it_wakes)
{
    let_one_hang();
    beat();
    expect_told(CORE_WORKER_SILENT);
    drop_effects();
    answer("v", "0", "[]");
    ck_assert_uint_eq(world_metrics.workers_silent, 1);
    static const char *const numbers[] = {"1", "2", "3"};
    for (uint64_t i = 0; i < 3; i++) {
        char check[300];
        snprintf(check, sizeof check, CHECK("%s", "chat", "ann", "MEMBER"), numbers[i]);
        ask_member(i);
        expect_check("v", check);
        answer("v", numbers[i], "[{'read':true}]");
        expect_answer("g", i, STATUS_OK);
    }
    answer("w", "0", "[]");
    expect_told(CORE_WORKER_HEARD);
    beats(1);
    ck_assert_uint_eq(world_metrics.workers_silent, 0);
    ask_member(9);
    expect_check("w", CHECK("4", "chat", "ann", "MEMBER"));
}
END_TEST

START_TEST(what_a_worker_that_hangs_was_asked_is_asked_elsewhere)
{
    world_settings.asks.again_ms = 5000; /* nobody else is asked before */
    world_start();
    world_gateway("g", 11);
    let_one_hang();
    ask_member(1);
    expect_check("w", CHECK("1", "chat", "ann", "MEMBER"));
    beat();
    expect_told(CORE_WORKER_SILENT);
    drop_effects();
    ck_assert_uint_eq(world_metrics.checks_sent_total, 2);
    answer("w", "1", "[{'read':false}]"); /* it wakes up to what is not asked any more */
    expect_told(CORE_WORKER_HEARD);
    ck_assert_uint_eq(world_metrics.answers_strange_total, 1);
    answer("v", "2", "[{'read':true}]");
    expect_answer("g", 1, STATUS_OK);
}
END_TEST

START_TEST(when_all_hang_nobody_is_let_in_and_nobody_waits)
{
    world_handler("w", "[{}]");
    answer("w", "0", "[]");
    beats(4);
    ask_member(1);
    refused(1, false);
    ck_assert_uint_eq(world_metrics.checks_unreachable_total, 1);
    answer("w", "0", "[]");
    drop_effects();
    ask_member(2);
    expect_check("w", CHECK("1", "chat", "ann", "MEMBER"));
}
END_TEST

START_TEST(one_that_has_never_answered_a_heartbeat_is_not_silent)
{
    world_handler("w", "[{}]");
    beats(10);
    ck_assert_uint_eq(world_metrics.workers_silent_total, 0);
    ask_member(1);
    expect_check("w", CHECK("1", "chat", "ann", "MEMBER"));
}
END_TEST

START_TEST(a_broker_that_hung_calls_no_worker_silent)
{
    world_handler("w", "[{}]");
    answer("w", "0", "[]");
    beats(1);
    for (int i = 0; i < 2; i++) {
        world_now += 60000;
        core_tick(world, world_now);
        drop_effects();
    }
    ck_assert_uint_eq(world_metrics.workers_silent_total, 0);
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
    ask_as("bob");
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
    ask_as("a");
    ask_as("b");
    drop_effects();
    ask_as("c");
    refused(7, false);
    ck_assert_uint_eq(world_metrics.checks_busy_total, 1);
    ck_assert_uint_eq(world_metrics.permissions_granted_total, 0);
}
END_TEST

START_TEST(messages_under_way_are_bounded_and_gather)
{
    world_handler("w", "[{}]"); /* three messages at once, as the settings say */
    for (int i = 0; i < 100; i++) {
        char id[20];
        snprintf(id, sizeof id, "m%d", i);
        ask_as(id);
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

int main(void)
{
    Suite *suite = suite_create("core_workers");
    TCase *tests = tcase_create("all");
    tcase_add_checked_fixture(tests, permission_setup, world_teardown);
    tcase_add_test(tests, silence_refuses_after_a_second_worker_was_asked);
    tcase_add_test(tests, the_first_good_answer_wins);
    tcase_add_test(tests, answers_that_nobody_asked_for_change_nothing);
    tcase_add_test(tests, a_worker_that_is_gone_is_noticed_by_the_send);
    tcase_add_test(tests, nobody_is_there_to_ask);
    tcase_add_test(tests, workers_that_vanish_when_they_are_asked_open_the_breaker);
    tcase_add_test(tests, a_last_moment_is_no_failure_of_the_handler);
    tcase_add_test(tests, idle_workers_are_sent_an_empty_question);
    tcase_add_test(tests, a_worker_that_hangs_is_not_asked_until_it_wakes);
    tcase_add_test(tests, what_a_worker_that_hangs_was_asked_is_asked_elsewhere);
    tcase_add_test(tests, when_all_hang_nobody_is_let_in_and_nobody_waits);
    tcase_add_test(tests, one_that_has_never_answered_a_heartbeat_is_not_silent);
    tcase_add_test(tests, a_broker_that_hung_calls_no_worker_silent);
    tcase_add_test(tests, a_breaker_opens_and_lets_probes_through);
    tcase_add_test(tests, errors_of_a_handler_that_answers_open_no_breaker);
    tcase_add_test(tests, questions_of_a_site_are_bounded);
    tcase_add_test(tests, messages_under_way_are_bounded_and_gather);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
