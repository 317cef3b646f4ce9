#include <stdio.h>
#include <string.h>

#include "common/address.h"
#include "core_world.h"
#include "unit.h"

/* Who is there: questions of gateways "g1" and "g2", rounds in which both are asked, and what
 * becomes of them when one is late, broken or lost. */

static const char *const gateways[] = {"g1", "g2"};
static const struct streams_channel channels[] = {
    {"room", {{10, 1000, 1000}, true, PRESENCE_FULL, false}},
    {"hall", {{10, 1000, 1000}, true, PRESENCE_STATS, false}},
};

static void setup(void)
{
    world_setup();
    world_settings.streams.channels = channels;
    world_settings.streams.channel_count = 2;
    world_settings.presence = (struct presence_settings){
        .clients = 3, .users = 3, .rounds = 2, .questions = 4, .return_ms = 0};
    world_start();
    world_gateway("g1", 11);
    world_gateway("g2", 12);
}

/* The same with a wait for gateways that may come back; it is over now. */
static void setup_return(void)
{
    world_settings.presence.return_ms = 6000;
    world_start();
    world_now += 6000;
    world_gateway("g1", 11);
    world_gateway("g2", 12);
}

static void question(const char *peer, uint64_t token, uint8_t kind, const char *channel)
{
    world_ask(
        peer,
        &(struct bus_question){.kind = kind, .token = token, .address = world_key(channel, NULL)},
        1);
}

static void turn(void)
{
    core_answer(world, SIZE_MAX, world_now);
}

/* A turn in which an address may be asked for again. */
static void rested_turn(void)
{
    world_now += PRESENCE_REST_MS;
    turn();
}

static void advance(int64_t ms)
{
    world_now += ms;
    core_tick(world, world_now);
}

/* Takes the frame that asks this gateway. */
static struct bus_presence_ask expect_asked(const char *peer, uint8_t kind, const char *channel)
{
    struct bus_presence_ask ask;
    ck_assert(bus_get_presence_ask(take_frame(peer), &ask));
    ck_assert_uint_eq(ask.kind, kind);
    ck_assert(span_equal(ask.address, world_key(channel, NULL)));
    ck_assert_uint_eq(ask.limit, 3);
    return ask;
}

/* Takes the frames to both and returns the round's number. */
static uint64_t expect_round(uint8_t kind, const char *channel)
{
    uint64_t seed = 0, round = 0;
    for (size_t i = 0; i < 2; i++) {
        struct bus_presence_ask ask = expect_asked(gateways[i], kind, channel);
        ck_assert(i == 0 || (ask.seed == seed && ask.round == round));
        seed = ask.seed;
        round = ask.round;
    }
    return round;
}

/* A gateway answers with these clients ("a b"), each a user of its own name. */
static void part(const char *peer, uint64_t round, const char *clients)
{
    struct buffer items = {0}, frame = {0};
    uint32_t count = 0;
    for (; *clients; clients++) {
        if (*clients == ' ')
            continue;
        bus_put_presence_client(&items, &(struct bus_presence_client){.client = span_of(clients, 1),
                                                                      .user = span_of(clients, 1)});
        count++;
    }
    bus_put_presence_part(&frame, &(struct bus_presence_part){.round = round,
                                                              .clients = count,
                                                              .items = buffer_span(&items)});
    world_frame(peer, &frame);
    buffer_free(&items);
    buffer_free(&frame);
}

static void part_status(const char *peer, uint64_t round, uint16_t status)
{
    struct buffer frame = {0};
    bus_put_presence_part(&frame, &(struct bus_presence_part){.round = round, .status = status});
    world_frame(peer, &frame);
    buffer_free(&frame);
}

/* Takes one frame of answers. */
static const struct world_answers *answers(const char *peer)
{
    static struct world_answers out;
    struct bus_answer answer;
    ck_assert(bus_get_answer(take_frame(peer), &answer));
    out.count = answer.count;
    for (size_t i = 0; i < out.count; i++)
        ck_assert(bus_next_reply(&answer.items, &out.replies[i]));
    ck_assert_uint_eq(answer.items.size, 0);
    return &out;
}

static void check_clients(const struct bus_reply *reply, uint64_t token, const char *clients)
{
    struct span rest = reply->publications;
    char got[64] = "";
    struct bus_presence_client client;
    while (rest.size > 0) {
        ck_assert(bus_next_presence_client(&rest, &client));
        ck_assert(span_equal(client.client, client.user));
        strncat(got, (const char *)client.client.data, client.client.size);
    }
    ck_assert_uint_eq(reply->token, token);
    ck_assert_uint_eq(reply->status, STATUS_OK);
    ck_assert_uint_eq(reply->count, strlen(clients));
    ck_assert_str_eq(got, clients);
}

static void expect_clients(const char *peer, uint64_t token, const char *clients)
{
    const struct world_answers *got = answers(peer);
    ck_assert_uint_eq(got->count, 1);
    check_clients(&got->replies[0], token, clients);
}

static void expect_refused(const char *peer, uint64_t token, enum status status, const char *words)
{
    const struct world_answers *got = answers(peer);
    ck_assert_uint_eq(got->count, 1);
    const struct bus_reply *reply = &got->replies[0];
    ck_assert_uint_eq(reply->token, token);
    ck_assert_uint_eq(reply->status, (unsigned)status);
    ck_assert_uint_eq(reply->publications.size, 0);
    ck_assert_msg(memmem(reply->message.data, reply->message.size, words, strlen(words)), "%.*s",
                  SPAN_ARG(reply->message));
}

static uint64_t waiting(void)
{
    core_measure(world);
    return world_metrics.presence_waiting;
}

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
    const struct world_answers *got = answers("g2");
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
    const struct world_answers *got = answers("g1");
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
    const struct world_answers *got = answers("g2");
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

static void hello(const char *peer, const char *name, uint64_t incarnation)
{
    struct buffer frame = {0};
    bus_put_hello(&frame, &(struct bus_hello){.version = BUS_VERSION,
                                              .gateway = span_text(name),
                                              .incarnation = incarnation});
    world_frame(peer, &frame);
    buffer_free(&frame);
}

START_TEST(a_gateway_that_returns_is_asked_again)
{
    setup_return();
    question("g1", 1, BUS_PRESENCE, "room");
    turn();
    expect_asked("g1", BUS_PRESENCE, "room");
    struct span frame;
    core_sent(world, take_unsent_frame("g2", &frame), CORE_GONE);
    drop_effects();
    hello("g2-again", "g2", 12);
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
    hello("g2-new", "g2", 99);
    struct span probe; /* of the one that has the name */
    core_sent(world, take_unsent_frame("g2", &probe), CORE_GONE);
    drop_effects();
    question("g1", 2, BUS_PRESENCE, "room");
    turn();
    expect_asked("g1", BUS_PRESENCE, "room");
    expect_asked("g2-new", BUS_PRESENCE, "room");
    expect_nothing();
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
    hello("g2-again", "g2", 12);
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
            answers("g2");
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
    Suite *suite = suite_create("core_presence");
    TCase *tests = tcase_create("presence");
    tcase_add_checked_fixture(tests, setup, world_teardown);
    tcase_add_test(tests, all_gateways_are_asked_and_their_parts_joined);
    tcase_add_test(tests, nobody_there_is_an_answer_too);
    tcase_add_test(tests, the_setting_of_the_channel_decides);
    tcase_add_test(tests, users_are_counted_over_all_gateways);
    tcase_add_test(tests, questions_of_one_turn_share_a_round_and_a_list);
    tcase_add_test(tests, a_later_question_gets_a_later_answer);
    tcase_add_test(tests, rounds_of_one_address_keep_their_distance);
    tcase_add_test(tests, questions_of_a_lost_gateway_are_forgotten_at_rest);
    tcase_add_test(tests, a_gateway_that_is_late_makes_it_an_error);
    tcase_add_test(tests, only_one_part_of_each_gateway_counts);
    tcase_add_test(tests, too_many_clients_are_an_error_that_says_so);
    tcase_add_test(tests, a_gateway_that_cannot_answer_makes_it_an_error);
    tcase_add_test(tests, few_rounds_run_at_once_and_others_wait);
    tcase_add_test(tests, waiting_questions_are_bounded);
    tcase_add_test(tests, a_gateway_lost_in_a_round_makes_it_an_error);
    tcase_add_test(tests, a_gateway_that_returns_is_asked_again);
    tcase_add_test(tests, a_gateway_that_was_started_anew_is_asked_in_place_of_the_old_one);
    tcase_add_test(tests, a_gateway_that_reconnects_in_a_round_makes_it_an_error);
    tcase_add_test(tests, questions_of_a_lost_gateway_are_forgotten);
    tcase_add_test(tests, after_the_start_nobody_can_be_told);
    tcase_add_test(tests, a_gateway_that_takes_nothing_gets_no_lists);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
