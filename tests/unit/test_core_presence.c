#include <string.h>

#include "presence_world.h"
#include "unit.h"

/* Who is there: questions of gateways, and the rounds in which all of them are asked. */

START_TEST(all_gateways_are_asked_and_their_parts_joined)
{
    question("g1", 5, BUS_PRESENCE, "room");
    turn();
    uint64_t round = expect_round(BUS_PRESENCE, "room");
    expect_nothing();
    part("g2", round, "c");
    expect_nothing();
    ck_assert_uint_eq(waiting(), 1);
    part("g1", round, "a b");
    expect_clients("g1", 5, "cab");
    expect_nothing();
    ck_assert_uint_eq(waiting(), 0);
    ck_assert_uint_eq(world_metrics.presence_rounds_total, 1);
    ck_assert_uint_eq(world_metrics.presence_failures_total, 0);
}
END_TEST

START_TEST(nobody_there_is_an_answer_too)
{
    question("g1", 5, BUS_PRESENCE, "room");
    turn();
    uint64_t round = expect_round(BUS_PRESENCE, "room");
    part("g1", round, "");
    part("g2", round, "");
    expect_clients("g1", 5, "");
}
END_TEST

START_TEST(the_setting_of_the_channel_decides)
{
    question("g1", 1, BUS_PRESENCE, "other");
    turn();
    expect_refused("g1", 1, STATUS_FORBIDDEN, "no presence");
    question("g1", 2, BUS_PRESENCE_STATS, "other");
    turn();
    expect_refused("g1", 2, STATUS_FORBIDDEN, "no presence");
    question("g1", 3, BUS_PRESENCE, "hall");
    turn();
    expect_refused("g1", 3, STATUS_FORBIDDEN, "presence_stats only");
    question("g1", 4, BUS_PRESENCE_STATS, "hall");
    turn();
    expect_round(BUS_PRESENCE_STATS, "hall");
    question("g1", 5, BUS_PRESENCE_STATS, "room");
    turn();
    expect_round(BUS_PRESENCE_STATS, "room");
    expect_nothing();
}
END_TEST

START_TEST(users_are_counted_over_all_gateways)
{
    question("g2", 5, BUS_PRESENCE_STATS, "hall");
    turn();
    uint64_t round = expect_round(BUS_PRESENCE_STATS, "hall");
    static const uint64_t users[2][2] = {{3, 9}, {9, 10}};
    for (size_t i = 0; i < 2; i++) {
        struct buffer items = {0}, frame = {0};
        for (size_t j = 0; j < 2; j++)
            bus_put_presence_user(&items, &(struct bus_presence_user){.hash = users[i][j]});
        bus_put_presence_part(&frame, &(struct bus_presence_part){.round = round,
                                                                  .clients = 4,
                                                                  .items = buffer_span(&items)});
        world_frame(gateways[i], &frame);
        buffer_free(&items);
        buffer_free(&frame);
    }
    const struct world_answers *got = take_answer_frame("g2");
    struct span rest = got->replies[0].publications;
    struct bus_presence_count count;
    ck_assert_uint_eq(got->replies[0].count, 1);
    ck_assert(bus_next_presence_count(&rest, &count));
    ck_assert_uint_eq(count.clients, 8);
    ck_assert_uint_eq(count.users, 3);
}
END_TEST

START_TEST(questions_of_one_turn_share_a_round_and_a_list)
{
    question("g1", 1, BUS_PRESENCE, "room");
    question("g2", 2, BUS_PRESENCE, "room");
    question("g1", 3, BUS_PRESENCE, "room");
    turn();
    uint64_t round = expect_round(BUS_PRESENCE, "room");
    expect_nothing();
    part("g1", round, "a");
    part("g2", round, "b");
    const struct world_answers *got = take_answer_frame("g1");
    ck_assert_uint_eq(got->count, 2);
    check_clients(&got->replies[0], 1, "ab");
    ck_assert_uint_eq(got->replies[0].flags, 0);
    ck_assert_uint_eq(got->replies[1].token, 3);
    ck_assert_uint_eq(got->replies[1].flags, BUS_REPLY_SAME);
    ck_assert_uint_eq(got->replies[1].publications.size, 0);
    expect_clients("g2", 2, "ab");
    ck_assert_uint_eq(world_metrics.presence_shared_total, 2);
}
END_TEST

START_TEST(a_later_question_gets_a_later_answer)
{
    question("g1", 1, BUS_PRESENCE, "room");
    turn();
    uint64_t first = expect_round(BUS_PRESENCE, "room");
    part("g1", first, "a");
    /* Now "a" leaves, and somebody asks: the round that runs is too old for an answer. */
    question("g2", 2, BUS_PRESENCE, "room");
    question("g2", 3, BUS_PRESENCE, "room");
    turn();
    expect_nothing();
    part("g2", first, "b");
    expect_clients("g1", 1, "ab");
    expect_nothing();
    rested_turn();
    uint64_t second = expect_round(BUS_PRESENCE, "room");
    ck_assert_uint_ne(second, first);
    part("g2", second, "b");
    part("g1", second, "");
    const struct world_answers *got = take_answer_frame("g2");
    ck_assert_uint_eq(got->count, 2);
    check_clients(&got->replies[0], 2, "b");
    expect_nothing();
    ck_assert_uint_eq(world_metrics.presence_rounds_total, 2);
}
END_TEST

START_TEST(rounds_of_one_address_keep_their_distance)
{
    question("g1", 1, BUS_PRESENCE, "room");
    turn();
    uint64_t round = expect_round(BUS_PRESENCE, "room");
    part("g1", round, "a");
    part("g2", round, "b");
    expect_clients("g1", 1, "ab");
    /* At once again: it gathers with another one. Other addresses and kinds need not wait. */
    question("g1", 2, BUS_PRESENCE, "room");
    question("g2", 3, BUS_PRESENCE, "room");
    turn();
    expect_nothing();
    question("g1", 4, BUS_PRESENCE_STATS, "room");
    turn();
    expect_round(BUS_PRESENCE_STATS, "room");
    world_now += PRESENCE_REST_MS - 1;
    turn();
    expect_nothing();
    world_now += 1;
    turn();
    round = expect_round(BUS_PRESENCE, "room");
    part("g1", round, "");
    part("g2", round, "b");
    expect_clients("g1", 2, "b");
    expect_clients("g2", 3, "b");
    ck_assert_uint_eq(waiting(), 1);
}
END_TEST

START_TEST(too_many_clients_are_an_error_that_says_so)
{
    question("g1", 1, BUS_PRESENCE, "room");
    turn();
    uint64_t round = expect_round(BUS_PRESENCE, "room");
    part("g1", round, "ab");
    part("g2", round, "cd");
    expect_refused("g1", 1, STATUS_TOO_LARGE, "more than 3 clients");
    question("g1", 2, BUS_PRESENCE_STATS, "room");
    turn();
    round = expect_round(BUS_PRESENCE_STATS, "room");
    part_status("g1", round, STATUS_TOO_LARGE);
    expect_refused("g1", 2, STATUS_TOO_LARGE, "more than 3 users");
    ck_assert_uint_eq(world_metrics.presence_failures_total, 0);
}
END_TEST

START_TEST(few_rounds_run_at_once_and_others_wait)
{
    struct bus_question all[4];
    uint8_t keys[4][ADDRESS_KEY_MAX];
    for (size_t i = 0; i < 4; i++) {
        struct span key = world_key("room", (const char *[]){"1", "2", "3", "4"}[i]);
        memcpy(keys[i], key.data, key.size);
        all[i] = (struct bus_question){
            .kind = BUS_PRESENCE, .token = i, .address = span_of(keys[i], key.size)};
    }
    world_ask("g1", all, 4);
    turn();
    uint64_t rounds[2];
    for (size_t i = 0; i < 4; i++) {
        struct bus_presence_ask ask;
        ck_assert(bus_get_presence_ask(take_frame(gateways[i % 2]), &ask));
        rounds[i / 2] = ask.round;
    }
    expect_nothing();
    ck_assert_uint_eq(waiting(), 4);
    ck_assert_uint_eq(world_metrics.presence_running, 2);
    part("g1", rounds[1], "");
    part("g2", rounds[1], "b");
    expect_clients("g1", 1, "b");
    turn();
    struct bus_presence_ask ask;
    ck_assert(bus_get_presence_ask(take_frame("g1"), &ask));
    ck_assert(span_equal(ask.address, all[2].address));
    drop_effects();
    /* What waits too long is answered as well, whether its round began or not. */
    advance(PRESENCE_LIMIT_MS);
    core_measure(world);
    ck_assert_uint_eq(world_metrics.presence_waiting, 0);
    ck_assert_uint_eq(world_metrics.presence_running, 0);
    expect_refused("g1", 3, STATUS_UNAVAILABLE, "in time");
    expect_refused("g1", 0, STATUS_UNAVAILABLE, "in time");
    expect_refused("g1", 2, STATUS_UNAVAILABLE, "in time");
}
END_TEST

START_TEST(waiting_questions_are_bounded)
{
    for (uint64_t token = 0; token < 5; token++)
        question("g1", token, BUS_PRESENCE, "room");
    turn();
    expect_refused("g1", 4, STATUS_TOO_MANY, "too many");
    expect_round(BUS_PRESENCE, "room");
    ck_assert_uint_eq(waiting(), 4);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("core_presence");
    TCase *tests = tcase_create("all");
    tcase_add_checked_fixture(tests, presence_setup, world_teardown);
    tcase_add_test(tests, all_gateways_are_asked_and_their_parts_joined);
    tcase_add_test(tests, nobody_there_is_an_answer_too);
    tcase_add_test(tests, the_setting_of_the_channel_decides);
    tcase_add_test(tests, users_are_counted_over_all_gateways);
    tcase_add_test(tests, questions_of_one_turn_share_a_round_and_a_list);
    tcase_add_test(tests, a_later_question_gets_a_later_answer);
    tcase_add_test(tests, rounds_of_one_address_keep_their_distance);
    tcase_add_test(tests, too_many_clients_are_an_error_that_says_so);
    tcase_add_test(tests, few_rounds_run_at_once_and_others_wait);
    tcase_add_test(tests, waiting_questions_are_bounded);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
