#include <stdio.h>

#include "proto/status.h"
#include "revocation_world.h"
#include "unit.h"

/* Those who read are asked about again: until the answer they get nothing, and then all of it or
 * no more. */

/* Reaches the gateway in front of an answer that is on its way. */
static void recheck_overtakes(void)
{
    struct world_queue late = world.answers;
    world.answers = (struct world_queue){0};
    revoke_s0(BUS_REVOKE_RECHECK);
    world.answers.items = realloc(world.answers.items, sizeof *late.items);
    world.answers.items[world.answers.count++] = late.items[0];
    free(late.items);
}

START_TEST(a_recheck_that_is_granted_loses_nothing)
{
    given_member(BUS_GRANT_FOREVER);
    revoke_s0(BUS_REVOKE_RECHECK);
    published(0);
    published(0);
    expect_nothing();
    expect_unconfirmed();
    answers_come();
    expect_confirmed(1, 0);
    expect("\"offset\":1");
    expect("\"offset\":2");
    published(0);
    expect("\"offset\":3");
}
END_TEST

START_TEST(a_recheck_that_is_refused_delivers_nothing)
{
    given_member(BUS_GRANT_FOREVER);
    revoke_s0(BUS_REVOKE_RECHECK);
    published(0);
    verdict(STATUS_FORBIDDEN, false, 0);
    expect_unconfirmed();
    answers_come();
    expect_confirmed(1, 1);
    expect("\"code\":2403");
    expect_nothing();
}
END_TEST

START_TEST(a_late_yes_does_not_win)
{
    given_member(BUS_GRANT_ONCE);
    published(0);
    world_move_question(&world); /* the yes of before is on its way */
    verdict(STATUS_FORBIDDEN, false, 0);
    recheck_overtakes();
    world_move_answer(&world);
    expect_nothing();
    expect_unconfirmed();
    answers_come();
    expect("\"code\":2403");
    expect_nothing();
    expect_confirmed(1, 1);
}
END_TEST

START_TEST(a_recheck_is_confirmed_after_a_while_in_any_case)
{
    given_member(BUS_GRANT_FOREVER);
    revoke_s0(BUS_REVOKE_RECHECK);
    struct world_queue asked = world.questions; /* the handler takes its time */
    world.questions = (struct world_queue){0};
    world_advance(&world, 799);
    expect_unconfirmed();
    world_advance(&world, 1);
    expect_confirmed(1, 0);
    published(0);
    expect_nothing();
    free(world.questions.items);
    world.questions = asked;
    verdict(STATUS_FORBIDDEN, false, 0);
    world_settle(&world);
    expect("\"code\":2403");
    expect_nothing();
    ck_assert_uint_eq(world.confirmations, 1);
}
END_TEST

START_TEST(a_recheck_that_is_never_answered_is_a_loss)
{
    given_member(BUS_GRANT_FOREVER);
    revoke_s0(BUS_REVOKE_RECHECK);
    world_advance(&world, 4200);
    expect("\"code\":2500");
    published(0);
    world_settle(&world);
    expect_nothing();
}
END_TEST

START_TEST(one_answer_decides_all_that_wait_for_it)
{
    given_member(BUS_GRANT_FOREVER);
    for (int i = 0; i < 3; i++)
        revoke_s0(BUS_REVOKE_RECHECK);
    expect_unconfirmed();
    answers_come();
    expect_confirmations(3);
}
END_TEST

START_TEST(who_leaves_meanwhile_has_ended)
{
    given_member(BUS_GRANT_FOREVER);
    connect_as(1, MEMBER("u2"));
    subscribe(1, "s0");
    revoke_s0(BUS_REVOKE_RECHECK);
    world_send(&world, 0, "{\"id\":3,\"unsubscribe\":{\"channel\":\"s0\"}}");
    expect("\"unsubscribe\":{}");
    world_disconnect(&world, 1);
    while (world.questions.count > 1) /* the questions are not answered */
        world_move_question(&world);
    expect_confirmed(2, 2);
}
END_TEST

START_TEST(what_waits_is_bounded)
{
    given_member(BUS_GRANT_FOREVER);
    for (int i = 0; i < 1024; i++)
        revoke_s0(BUS_REVOKE_RECHECK);
    struct world_queue asked = world.questions;
    world.questions = (struct world_queue){0};
    revoke_s0(BUS_REVOKE_RECHECK);
    expect_confirmed(1, 0);
    published(0);
    expect_nothing();
    world_advance(&world, 800);
    expect_confirmations(1025);
    for (size_t i = 0; i < asked.count; i++)
        buffer_free(&asked.items[i]);
    free(asked.items);
}
END_TEST

START_TEST(a_recheck_reaches_one_that_catches_up)
{
    uint64_t heard = given_half_caught_up();
    revoke_s0(BUS_REVOKE_RECHECK);
    verdict(STATUS_OK, false, BUS_GRANT_FOREVER);
    world_settle(&world);
    for (uint64_t i = heard; i < 14; i++) {
        char part[32];
        snprintf(part, sizeof part, "\"offset\":%llu", (unsigned long long)i + 1);
        expect(part);
    }
    published(0);
    expect("\"offset\":15");
    expect_nothing();
    ck_assert_uint_eq(world.revoked.affected, 1);
    ck_assert_uint_eq(world.revoked.ended, 0);
}
END_TEST

START_TEST(one_that_catches_up_can_be_refused)
{
    given_half_caught_up();
    revoke_s0(BUS_REVOKE_RECHECK);
    verdict(STATUS_FORBIDDEN, false, 0);
    world_settle(&world);
    expect("\"code\":2403");
    expect_nothing();
    ck_assert_uint_eq(metrics()->held_for_permit, 0);
    ck_assert_uint_eq(world.revoked.ended, 1);
}
END_TEST

START_TEST(what_was_asked_by_one_who_could_read_is_asked_again)
{
    static const char *const asked[] = {"history", "presence", "presence_stats"};
    given_member(BUS_GRANT_FOREVER);
    world_send(&world, 0, "{\"id\":3,\"%s\":{\"channel\":\"s0\"}}", asked[_i]);
    world_move_question(&world);
    recheck_overtakes();
    verdict(STATUS_FORBIDDEN, false, 0);
    world_move_answer(&world);
    expect_nothing();
    world_settle(&world);
    expect("{\"id\":3,\"error\":{\"code\":103");
    expect("\"code\":2403");
    expect_nothing();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("recheck");
    TCase *tests = tcase_create("all");
    tcase_add_checked_fixture(tests, revocation_setup, revocation_teardown);
    tcase_add_test(tests, a_recheck_that_is_granted_loses_nothing);
    tcase_add_test(tests, a_recheck_that_is_refused_delivers_nothing);
    tcase_add_test(tests, a_late_yes_does_not_win);
    tcase_add_test(tests, a_recheck_is_confirmed_after_a_while_in_any_case);
    tcase_add_test(tests, a_recheck_that_is_never_answered_is_a_loss);
    tcase_add_test(tests, one_answer_decides_all_that_wait_for_it);
    tcase_add_test(tests, who_leaves_meanwhile_has_ended);
    tcase_add_test(tests, what_waits_is_bounded);
    tcase_add_test(tests, a_recheck_reaches_one_that_catches_up);
    tcase_add_test(tests, one_that_catches_up_can_be_refused);
    tcase_add_loop_test(tests, what_was_asked_by_one_who_could_read_is_asked_again, 0, 3);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
