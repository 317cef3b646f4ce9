#include <string.h>

#include "answers_world.h"
#include "unit.h"

/* What gateways are told that ask for what they have missed. */

/* --- one --- */

static const struct bus_reply *range(uint64_t epoch, uint64_t offset)
{
    struct bus_question question = about(BUS_RANGE, world_key("a", NULL));
    question.epoch = epoch;
    question.offset = offset;
    return ask(question);
}

START_TEST(a_range_joins_on_or_says_that_it_does_not)
{
    world_settings.streams.rule.limits.messages = 2;
    world_start();
    world_gateway("g", 5);
    world_publish("a", 4);
    expect_recovered(range(2, 4), "");
    expect_recovered(range(2, 3), "4:'data':{'n':4} ");
    expect_recovered(range(2, 2), "3:'data':{'n':3} 4:'data':{'n':4} ");
    expect_not_recovered(range(2, 1));
    expect_not_recovered(range(3, 4));
    expect_not_recovered(range(3, 5));
    expect_position(range(3, 4), 2, 4);
}
END_TEST

/* An older copy of the file, or one whose log lost its end: what this gateway has delivered as 5
 * must not be followed by another 5. */
START_TEST(a_gateway_that_is_ahead_of_the_store_gets_a_new_epoch)
{
    world_gateway("g", 5);
    world_publish("chat", 4);
    post(7, 5);
    uint64_t ticket = expect_append("chat", NULL, 2, 5, NULL);
    struct bus_question question = about(BUS_RANGE, world_key("chat", NULL));
    question.epoch = 2;
    question.offset = 5;
    world_ask("g", &question, 1);
    core_answer(world, SIZE_MAX, world_now);
    expect_refusal("p", "7", STATUS_IN_DOUBT, "does not know whether it has kept it");
    expect_not_recovered(&take_answer_frame("g")->replies[0]);
    stored(ticket, STORE_COMMITTED); /* nobody waits for it any more */
    expect_nothing();

    expect_not_recovered(recover("chat", 2, 3, 0));
    expect_position(ask(question), 3, 0);
    post(8, 6);
    stored(expect_append("chat", NULL, 3, 1, NULL), STORE_COMMITTED);
}
END_TEST

START_TEST(a_client_that_says_it_is_ahead_changes_nothing)
{
    world_gateway("g", 5);
    world_publish("a", 4);
    expect_not_recovered(recover("a", 2, 1000, 0));
    expect_position(range(2, 4), 2, 4);
}
END_TEST

START_TEST(a_range_gives_what_fits)
{
    world_settings.streams.rule.limits.messages = 100000;
    world_settings.streams.rule.limits.bytes = 64 << 20;
    world_start();
    world_gateway("g", 5);
    world_publish("a", 30000);
    const struct bus_reply *reply = range(2, 0);
    ck_assert_uint_eq(reply->flags, BUS_REPLY_RECOVERED);
    ck_assert_uint_eq(reply->count, LIMIT_RANGES_MESSAGES);
    uint64_t next = reply->count;
    reply = range(2, next);
    struct span rest = reply->publications;
    struct bus_publication publication;
    ck_assert(bus_next_publication(&rest, &publication));
    ck_assert_uint_eq(publication.offset, next + 1);
}
END_TEST

START_TEST(a_range_of_large_messages_gives_what_fits)
{
    given_payloads_of(4096);
    publish_large("a", 2, 20, 2952);
    const struct bus_reply *reply = range(2, 0);
    ck_assert_uint_eq(reply->flags, BUS_REPLY_RECOVERED);
    ck_assert_uint_eq(reply->count, 10); /* 2,979 bytes each */
    ck_assert_uint_le(reply->publications.size, LIMIT_RANGES_BYTES);
}
END_TEST

/* --- frames of them --- */

/* Asks for what the channels "a", "b" ... have missed since these offsets, where that is something.
 * Returns of how many. */
static size_t ask_for_ranges(uint64_t *after, size_t channels, uint64_t last)
{
    static uint8_t keys[ADDRESS_KEY_MAX * 4];
    struct bus_question questions[4];
    size_t count = 0;
    for (size_t i = 0; i < channels; i++) {
        struct span key = world_key((char[]){(char)('a' + i), 0}, NULL);
        memcpy(keys + i * ADDRESS_KEY_MAX, key.data, key.size);
        if (after[i] == last)
            continue;
        questions[count] = about(BUS_RANGE, span_of(keys + i * ADDRESS_KEY_MAX, key.size));
        questions[count].epoch = 2 + i;
        questions[count].offset = after[i];
        questions[count++].token = i;
    }
    world_ask("g", questions, count);
    return count;
}

/* The next frame: what it brings, in order, moves the offsets on. Returns how many replies it has.
 */
static size_t take_ranges(uint64_t *after, size_t max_bytes)
{
    core_answer(world, 1, world_now);
    struct span frame = take_frame("g");
    struct bus_answer answer;
    ck_assert_uint_le(frame.size, max_bytes);
    ck_assert(bus_get_answer(frame, &answer));
    while (answer.items.size > 0) {
        struct bus_reply reply;
        struct bus_publication publication;
        ck_assert(bus_next_reply(&answer.items, &reply));
        ck_assert_uint_gt(reply.count, 0);
        for (struct span rest = reply.publications; rest.size > 0;) {
            ck_assert(bus_next_publication(&rest, &publication));
            ck_assert_uint_eq(publication.offset, ++after[reply.token]);
        }
    }
    return answer.count;
}

/* A gateway gives a frame to its clients as a whole: it must fit into any of their queues, although
 * a client may have missed all that is in it. */
START_TEST(frames_of_ranges_fit_into_the_smallest_queue)
{
    given_payloads_of(10240);
    for (size_t i = 0; i < 4; i++)
        publish_large((char[]){(char)('a' + i), 0}, 2 + i, 10, 9000);
    uint64_t after[4] = {0};
    size_t frames = 0;
    while (after[0] + after[1] + after[2] + after[3] < 40) {
        for (size_t asked = ask_for_ranges(after, 4, 10); asked > 0; frames++)
            asked -= take_ranges(after, LIMIT_RANGES_BYTES + 10240);
    }
    ck_assert_uint_le(frames, 14); /* three messages each */
}
END_TEST

/* However short: each goes to clients with the name of its channel. */
START_TEST(a_frame_of_ranges_has_so_many_messages)
{
    static const size_t in_frame[][2] = {{100, LIMIT_RANGES_MESSAGES - 100}, {100, 0}};
    world_gateway("g", 5);
    world_publish("a", 100);
    struct bus_question question = about(BUS_RANGE, world_key("a", NULL));
    question.epoch = 2;
    world_ask("g", (struct bus_question[]){question, question, question}, 3);
    core_answer(world, SIZE_MAX, world_now);
    for (size_t frame = 0; frame < 2; frame++) {
        const struct world_answers *answers = take_answer_frame("g");
        ck_assert_uint_eq(answers->count, in_frame[frame][1] ? 2 : 1);
        for (size_t i = 0; i < answers->count; i++)
            ck_assert_uint_eq(answers->replies[i].count, in_frame[frame][i]);
    }
}
END_TEST

START_TEST(ranges_that_miss_nothing_share_a_frame)
{
    world_gateway("g", 5);
    world_publish("a", 1);
    struct bus_question questions[LIMIT_ASK_ITEMS];
    for (size_t i = 0; i < LIMIT_ASK_ITEMS; i++) {
        questions[i] = about(BUS_RANGE, world_key("a", NULL));
        questions[i].epoch = 2;
        questions[i].offset = 1;
    }
    world_ask("g", questions, LIMIT_ASK_ITEMS);
    ck_assert_uint_eq(take_answers("g")->count, LIMIT_ASK_ITEMS);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("core_ranges");
    TCase *tests = tcase_create("core_ranges");
    tcase_add_checked_fixture(tests, world_setup, world_teardown);
    tcase_add_test(tests, a_range_joins_on_or_says_that_it_does_not);
    tcase_add_test(tests, a_gateway_that_is_ahead_of_the_store_gets_a_new_epoch);
    tcase_add_test(tests, a_client_that_says_it_is_ahead_changes_nothing);
    tcase_add_test(tests, a_range_gives_what_fits);
    tcase_add_test(tests, a_range_of_large_messages_gives_what_fits);
    tcase_add_test(tests, frames_of_ranges_fit_into_the_smallest_queue);
    tcase_add_test(tests, a_frame_of_ranges_has_so_many_messages);
    tcase_add_test(tests, ranges_that_miss_nothing_share_a_frame);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
