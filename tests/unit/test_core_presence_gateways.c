#include "presence_world.h"
#include "unit.h"

/* What becomes of a round when a gateway is late, broken or lost, and of the questions of one that
 * is. */

START_TEST(questions_of_a_lost_gateway_are_forgotten_at_rest)
{
    question("g1", 1, BUS_PRESENCE, "room");
    turn();
    uint64_t round = expect_round(BUS_PRESENCE, "room");
    part("g1", round, "a");
    part("g2", round, "b");
    expect_clients("g1", 1, "ab");
    question("g2", 2, BUS_PRESENCE, "room");
    question("g2", 4, BUS_PRESENCE, "other");
    turn();
    struct span frame;
    core_sent(world, take_unsent_frame("g2", &frame), CORE_GONE); /* the refusal of 4 */
    expect_log(CORE_GATEWAY_LEFT, "g2");
    ck_assert_uint_eq(waiting(), 0);
    rested_turn();
    expect_nothing();
}
END_TEST

START_TEST(a_gateway_that_is_late_makes_it_an_error)
{
    question("g1", 1, BUS_PRESENCE, "room");
    turn();
    uint64_t round = expect_round(BUS_PRESENCE, "room");
    part("g1", round, "a");
    advance(PRESENCE_LIMIT_MS - 100);
    drop_effects();
    world_now += 100;
    core_tick(world, world_now);
    expect_refused("g1", 1, STATUS_UNAVAILABLE, "in time");
    ck_assert_uint_eq(world_metrics.presence_failures_total, 1);
    ck_assert_uint_eq(waiting(), 0);
    part("g2", round, "b");
    drop_effects();
    ck_assert_uint_eq(world_metrics.presence_strays_total, 1);
    /* The next one is a round of its own. */
    question("g1", 2, BUS_PRESENCE, "room");
    rested_turn();
    uint64_t next = expect_round(BUS_PRESENCE, "room");
    part("g2", round, "x");
    part("g2", next, "b");
    part("g1", next, "a");
    expect_clients("g1", 2, "ba");
}
END_TEST

START_TEST(only_one_part_of_each_gateway_counts)
{
    question("g1", 1, BUS_PRESENCE, "room");
    turn();
    uint64_t round = expect_round(BUS_PRESENCE, "room");
    part("g1", round, "a");
    part("g1", round, "b");
    part("stranger", round, "x");
    expect_nothing();
    part("g2", round, "c");
    expect_clients("g1", 1, "ac");
    ck_assert_uint_eq(world_metrics.presence_strays_total, 2);
}
END_TEST

START_TEST(a_gateway_that_cannot_answer_makes_it_an_error)
{
    question("g1", 1, BUS_PRESENCE, "room");
    turn();
    part_status("g1", expect_round(BUS_PRESENCE, "room"), STATUS_INTERNAL);
    expect_refused("g1", 1, STATUS_INTERNAL, "could not answer");

    question("g1", 2, BUS_PRESENCE, "room");
    rested_turn();
    uint64_t round = expect_round(BUS_PRESENCE, "room");
    struct buffer frame = {0};
    bus_put_presence_part(&frame, &(struct bus_presence_part){
                                      .round = round, .clients = 1, .items = span_text("broken")});
    world_frame("g1", &frame);
    expect_refused("g1", 2, STATUS_INTERNAL, "could not answer");
    ck_assert_uint_eq(world_metrics.gateway_frames_malformed_total, 1);
    frame.size--;
    world_frame("g1", &frame);
    buffer_free(&frame);
    expect_nothing();
    ck_assert_uint_eq(world_metrics.gateway_frames_malformed_total, 2);
    ck_assert_uint_eq(world_metrics.presence_failures_total, 2);
}
END_TEST

START_TEST(a_gateway_lost_in_a_round_makes_it_an_error)
{
    setup_return();
    question("g1", 1, BUS_PRESENCE, "room");
    turn();
    expect_asked("g1", BUS_PRESENCE, "room");
    struct span frame;
    core_sent(world, take_unsent_frame("g2", &frame), CORE_GONE);
    expect_refused("g1", 1, STATUS_UNAVAILABLE, "away");
    expect_log(CORE_GATEWAY_LEFT, "g2");
    ck_assert_uint_eq(waiting(), 0);
    ck_assert_uint_eq(world_metrics.presence_failures_total, 1);

    question("g1", 2, BUS_PRESENCE, "room");
    turn();
    expect_refused("g1", 2, STATUS_UNAVAILABLE, "away"); /* it may come back */
    advance(5900);
    drop_effects();
    question("g1", 3, BUS_PRESENCE, "room");
    turn();
    expect_refused("g1", 3, STATUS_UNAVAILABLE, "away");
    advance(100);
    drop_effects();
    question("g1", 4, BUS_PRESENCE, "room");
    turn();
    struct bus_presence_ask ask = expect_asked("g1", BUS_PRESENCE, "room");
    expect_nothing();
    part("g1", ask.round, "a");
    expect_clients("g1", 4, "a");
}
END_TEST

START_TEST(a_gateway_that_returns_is_asked_again)
{
    setup_return();
    question("g1", 1, BUS_PRESENCE, "room");
    turn();
    expect_asked("g1", BUS_PRESENCE, "room");
    struct span frame;
    core_sent(world, take_unsent_frame("g2", &frame), CORE_GONE);
    drop_effects();
    world_hello("g2-again", "g2", 12);
    drop_effects();
    question("g1", 2, BUS_PRESENCE, "room");
    rested_turn();
    struct bus_presence_ask ask = expect_asked("g1", BUS_PRESENCE, "room");
    expect_asked("g2-again", BUS_PRESENCE, "room");
    part("g2", ask.round, "x"); /* it left */
    part("g2-again", ask.round, "b");
    part("g1", ask.round, "a");
    expect_clients("g1", 2, "ba");
}
END_TEST

START_TEST(a_gateway_that_was_started_anew_is_asked_in_place_of_the_old_one)
{
    setup_return();
    world_hello("g2-new", "g2", 99);
    expect_log(CORE_GATEWAY_JOINED, "g2");
    take_frame("g2-new");
    struct span told; /* that it has the name no more */
    core_sent(world, take_unsent_frame("g2", &told), CORE_GONE);
    drop_effects();
    question("g1", 2, BUS_PRESENCE, "room");
    turn();
    expect_asked("g1", BUS_PRESENCE, "room");
    expect_asked("g2-new", BUS_PRESENCE, "room");
    expect_nothing();
}
END_TEST

START_TEST(one_that_lives_beside_a_newer_one_of_its_name_is_asked_and_missed_as_any)
{
    setup_return();
    world_hello("g2-new", "g2", 99);
    drop_effects();
    question("g1", 2, BUS_PRESENCE, "room");
    turn();
    party_t *older = NULL;
    for (int i = 0; i < 3; i++) {
        struct core_effect effect;
        core_take_effect(world, &effect);
        ck_assert_int_eq(effect.kind, CORE_SEND);
        if (span_equal(effect.peer, span_text("g2")))
            older = effect.to;
        else
            core_sent(world, effect.to, CORE_SENT);
    }
    ck_assert_ptr_nonnull(older);
    core_sent(world, older, CORE_GONE);
    expect_refused("g1", 2, STATUS_UNAVAILABLE, "away");
    drop_effects();
    question("g1", 3, BUS_PRESENCE, "room"); /* it may come back */
    rested_turn();
    expect_refused("g1", 3, STATUS_UNAVAILABLE, "away");
}
END_TEST

START_TEST(a_gateway_that_reconnects_in_a_round_makes_it_an_error)
{
    setup_return();
    question("g1", 1, BUS_PRESENCE, "room");
    question("g2", 2, BUS_PRESENCE, "room");
    turn();
    uint64_t round = expect_round(BUS_PRESENCE, "room");
    part("g1", round, "a");
    world_hello("g2-again", "g2", 12);
    expect_refused("g1", 1, STATUS_UNAVAILABLE, "away");
    expect_log(CORE_GATEWAY_LEFT, "g2");
    drop_effects();
    ck_assert_uint_eq(waiting(), 0); /* nobody waits for what the old link asked */
    question("g1", 3, BUS_PRESENCE, "room");
    rested_turn();
    expect_asked("g1", BUS_PRESENCE, "room");
    expect_asked("g2-again", BUS_PRESENCE, "room");
}
END_TEST

START_TEST(questions_of_a_lost_gateway_are_forgotten)
{
    question("g2", 1, BUS_PRESENCE, "room");
    turn();
    uint64_t round = expect_round(BUS_PRESENCE, "room");
    question("g2", 2, BUS_PRESENCE, "room"); /* for the next round */
    question("g1", 3, BUS_PRESENCE, "other");
    turn();
    struct span frame;
    core_sent(world, take_unsent_frame("g1", &frame), CORE_GONE); /* the refusal of 3 */
    expect_refused("g2", 1, STATUS_UNAVAILABLE, "away");
    expect_log(CORE_GATEWAY_LEFT, "g1");
    ck_assert_uint_eq(waiting(), 1); /* the first round failed, 2 waits for its own */
    rested_turn();
    struct bus_presence_ask ask = expect_asked("g2", BUS_PRESENCE, "room");
    expect_nothing();
    part("g2", round, "x");
    part("g2", ask.round, "b");
    expect_clients("g2", 2, "b");
    expect_nothing();
}
END_TEST

START_TEST(after_the_start_nobody_can_be_told)
{
    world_settings.presence.return_ms = 6000;
    world_start();
    world_gateway("g1", 11);
    question("g1", 1, BUS_PRESENCE, "room");
    turn();
    expect_refused("g1", 1, STATUS_UNAVAILABLE, "away");
    advance(6000);
    drop_effects();
    question("g1", 2, BUS_PRESENCE, "room");
    turn();
    expect_asked("g1", BUS_PRESENCE, "room");
}
END_TEST

START_TEST(a_gateway_that_takes_nothing_gets_no_lists)
{
    /* Window 4 and 2 rounds: with 6 frames on their way it gets a list, with 7 an error. */
    for (size_t others = 5; others <= 6; others++) {
        party_t *owed[8];
        struct span frame;
        struct bus_presence_ask ask;
        question("g1", 1, BUS_PRESENCE, "room");
        rested_turn();
        owed[0] = take_unsent_frame("g1", &frame);
        uint64_t round = expect_asked("g2", BUS_PRESENCE, "room").round;
        for (size_t i = 1; i <= others; i++) {
            question("g2", 2, BUS_PRESENCE_STATS, "hall");
            rested_turn();
            owed[i] = take_unsent_frame("g1", &frame);
            ask = expect_asked("g2", BUS_PRESENCE_STATS, "hall");
            part_status("g1", ask.round, 0);
            part_status("g2", ask.round, 0);
            take_answer_frame("g2");
        }
        part("g1", round, "a");
        part("g2", round, "b");
        if (others == 5)
            expect_clients("g1", 1, "ab");
        else
            expect_refused("g1", 1, STATUS_UNAVAILABLE, "no more answers");
        for (size_t i = 0; i <= others; i++)
            core_sent(world, owed[i], CORE_SENT);
        expect_nothing();
        ck_assert_uint_eq(waiting(), 0);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("core_presence_gateways");
    TCase *tests = tcase_create("all");
    tcase_add_checked_fixture(tests, presence_setup, world_teardown);
    tcase_add_test(tests, questions_of_a_lost_gateway_are_forgotten_at_rest);
    tcase_add_test(tests, a_gateway_that_is_late_makes_it_an_error);
    tcase_add_test(tests, only_one_part_of_each_gateway_counts);
    tcase_add_test(tests, a_gateway_that_cannot_answer_makes_it_an_error);
    tcase_add_test(tests, a_gateway_lost_in_a_round_makes_it_an_error);
    tcase_add_test(tests, a_gateway_that_returns_is_asked_again);
    tcase_add_test(tests, a_gateway_that_was_started_anew_is_asked_in_place_of_the_old_one);
    tcase_add_test(tests, one_that_lives_beside_a_newer_one_of_its_name_is_asked_and_missed_as_any);
    tcase_add_test(tests, a_gateway_that_reconnects_in_a_round_makes_it_an_error);
    tcase_add_test(tests, questions_of_a_lost_gateway_are_forgotten);
    tcase_add_test(tests, after_the_start_nobody_can_be_told);
    tcase_add_test(tests, a_gateway_that_takes_nothing_gets_no_lists);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
