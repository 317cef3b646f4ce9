#include <string.h>

#include "answers_world.h"
#include "bytes.h"
#include "unit.h"

/* What gateways are told when they ask. Ranges: test_core_ranges.c. */

/* --- positions --- */

START_TEST(a_position_is_what_was_committed_and_published)
{
    world_gateway("g", 5);
    world_subscribe("a", NULL, true);
    expect_position(ask(about(BUS_SUBSCRIBE, world_key("a", NULL))), 2, 0);
    world_publish("a", 2);
    world_request(0, "p", "{'op':'publish','channel':'a','payload':{}}");
    uint64_t ticket = expect_append("a", NULL, 2, 3, NULL);
    expect_position(ask(about(BUS_POSITION, world_key("a", NULL))), 2, 2);
    core_stored(world, ticket, STORE_COMMITTED, world_now);
    /* The publication leaves before any answer that tells its offset. */
    struct bus_question question = about(BUS_POSITION, world_key("a", NULL));
    world_ask("g", &question, 1);
    core_answer(world, SIZE_MAX, world_now);
    expect_publication("a", NULL, 2, 3, NULL);
    struct bus_answer answer;
    ck_assert(bus_get_answer(take_frame("g"), &answer));
    struct bus_reply reply;
    ck_assert(bus_next_reply(&answer.items, &reply));
    expect_position(&reply, 2, 3);
}
END_TEST

START_TEST(an_address_nobody_used_has_an_epoch_too)
{
    world_gateway("g", 5);
    expect_position(ask(about(BUS_POSITION, world_key("a", NULL))), 2, 0);
    expect_position(ask(about(BUS_POSITION, world_key("a", "r"))), 3, 0);
    expect_position(ask(about(BUS_POSITION, world_key("a", NULL))), 2, 0);
}
END_TEST

START_TEST(beyond_the_headers_429)
{
    world_settings.streams.headers = 1;
    world_start();
    world_gateway("g", 5);
    world_publish("a", 1);
    expect_position(ask(about(BUS_SUBSCRIBE, world_key("a", NULL))), 2, 1);
    const struct bus_reply *reply = ask(about(BUS_SUBSCRIBE, world_key("b", NULL)));
    ck_assert_uint_eq(reply->status, STATUS_TOO_MANY);
    ck_assert_uint_gt(reply->message.size, 0);
}
END_TEST

/* --- recovery --- */

START_TEST(recovery_gives_everything_missed)
{
    world_gateway("g", 5);
    world_publish("a", 3);
    expect_recovered(recover("a", 2, 3, 0), "");
    expect_recovered(recover("a", 2, 2, 0), "3:'data':{'n':3} ");
    expect_recovered(recover("a", 2, 0, 0), "1:'data':{'n':1} 2:'data':{'n':2} 3:'data':{'n':3} ");
    expect_position(recover("a", 2, 1, 0), 2, 3);
    ck_assert_uint_eq(world_metrics.recovered_total, 4);
}
END_TEST

START_TEST(recovery_gives_nothing_when_something_is_missing)
{
    world_gateway("g", 5);
    world_publish("a", 3);
    expect_not_recovered(recover("a", 2, 4, 0)); /* beyond the position */
    expect_not_recovered(recover("a", 1, 3, 0)); /* another epoch */
    expect_not_recovered(recover("a", 0, 0, 0)); /* no epoch of ours */
    expect_not_recovered(recover("b", 2, 0, 0)); /* the epoch of another address */
    world_now += 300000;                         /* too old now */
    expect_not_recovered(recover("a", 2, 2, 0));
    expect_recovered(recover("a", 2, 3, 0), "");
    expect_position(recover("a", 2, 0, 0), 2, 3);
    ck_assert_uint_eq(world_metrics.not_recovered_total, 6);
}
END_TEST

START_TEST(recovery_is_bounded_in_messages)
{
    world_gateway("g", 5);
    world_publish("a", 400);
    ck_assert_uint_eq(recover("a", 2, 100, 0)->count, 300);
    expect_not_recovered(recover("a", 2, 99, 0));
}
END_TEST

/* A world with gateway "g" that takes payloads of this size. */
START_TEST(recovery_is_bounded_in_bytes)
{
    given_payloads_of(4096);
    publish_large("a", 2, 200, 2952);
    /* Bodies of 2,967 bytes, with offset and length 2,979: 175 of them are within 512 KiB. */
    const struct bus_reply *reply = recover("a", 2, 25, 0);
    ck_assert_uint_eq(reply->flags, BUS_REPLY_RECOVERED);
    ck_assert_uint_eq(reply->count, 175);
    expect_not_recovered(recover("a", 2, 24, 0));
}
END_TEST

START_TEST(recovery_without_an_epoch)
{
    const struct streams_channel channels[] = {
        {"quiet",
         {world_settings.streams.rule.limits, false, PRESENCE_OFF, false, SLOW_READER_DISCONNECT}}};
    world_settings.streams.channels = channels;
    world_settings.streams.channel_count = 1;
    world_start();
    world_gateway("g", 5);
    world_publish("a", 2);
    world_publish("quiet", 2);
    expect_recovered(recover("a", 0, 1, BUS_QUESTION_ANY_EPOCH), "2:'data':{'n':2} ");
    expect_not_recovered(recover("a", 0, 3, BUS_QUESTION_ANY_EPOCH));
    expect_not_recovered(recover("quiet", 0, 1, BUS_QUESTION_ANY_EPOCH));
    expect_recovered(recover("quiet", 3, 1, 0), "2:'data':{'n':2} ");
}
END_TEST

/* --- history --- */

static const struct bus_reply *history(const char *channel, uint8_t flags, uint64_t epoch,
                                       uint64_t offset, uint32_t limit)
{
    struct bus_question question = about(BUS_HISTORY, world_key(channel, NULL));
    question.flags = flags;
    question.epoch = epoch;
    question.offset = offset;
    question.limit = limit;
    return ask(question);
}

static void expect_history(const struct bus_reply *reply, const char *publications)
{
    ck_assert_uint_eq(reply->status, STATUS_OK);
    ck_assert_uint_eq(reply->epoch, 2);
    ck_assert_uint_eq(reply->offset, 4);
    ck_assert_str_eq(world_publications(reply), publications);
}

START_TEST(history_goes_both_ways)
{
    const uint8_t since = BUS_QUESTION_SINCE, reverse = BUS_QUESTION_REVERSE;
    world_gateway("g", 5);
    world_publish("a", 4);
    expect_history(history("a", 0, 0, 0, 0), "");
    expect_history(history("a", 0, 0, 0, 2), "1:'data':{'n':1} 2:'data':{'n':2} ");
    expect_history(history("a", since, 2, 2, 9), "3:'data':{'n':3} 4:'data':{'n':4} ");
    expect_history(history("a", since, 2, 4, 9), "");
    expect_history(history("a", since, 2, 9, 9), "");
    expect_history(history("a", reverse, 0, 0, 2), "4:'data':{'n':4} 3:'data':{'n':3} ");
    expect_history(history("a", since | reverse, 2, 3, 9), "2:'data':{'n':2} 1:'data':{'n':1} ");
    expect_history(history("a", since | reverse, 2, 1, 9), "");
}
END_TEST

START_TEST(history_of_another_epoch_is_a_conflict)
{
    world_gateway("g", 5);
    world_publish("a", 4);
    ck_assert_uint_eq(history("a", BUS_QUESTION_SINCE, 3, 2, 9)->status, STATUS_CONFLICT);
    ck_assert_uint_eq(history("a", BUS_QUESTION_SINCE, 0, 0, 9)->status, STATUS_CONFLICT);
}
END_TEST

START_TEST(a_subscriber_hears_what_slow_readers_get)
{
    struct streams_channel channels[] = {{"newest", world_settings.streams.rule},
                                         {"recent", world_settings.streams.rule}};
    channels[0].rule.slow_reader = SLOW_READER_LATEST;
    channels[1].rule.slow_reader = SLOW_READER_DROP_OLDEST;
    world_settings.streams.channels = channels;
    world_settings.streams.channel_count = 2;
    world_start();
    world_gateway("g", 5);
    ck_assert_uint_eq(ask(about(BUS_SUBSCRIBE, world_key("newest", "r")))->flags, BUS_REPLY_LATEST);
    ck_assert_uint_eq(ask(about(BUS_SUBSCRIBE, world_key("recent", NULL)))->flags,
                      BUS_REPLY_DROP_OLDEST);
    ck_assert_uint_eq(ask(about(BUS_SUBSCRIBE, world_key("all", NULL)))->flags, 0);
    ck_assert_uint_eq(ask(about(BUS_POSITION, world_key("newest", "r")))->flags, 0);
}
END_TEST

START_TEST(history_can_be_switched_off)
{
    const struct streams_channel channels[] = {
        {"quiet",
         {world_settings.streams.rule.limits, false, PRESENCE_OFF, false, SLOW_READER_DISCONNECT}}};
    world_settings.streams.channels = channels;
    world_settings.streams.channel_count = 1;
    world_start();
    world_gateway("g", 5);
    ck_assert_uint_eq(history("quiet", 0, 0, 0, 9)->status, STATUS_FORBIDDEN);
    ck_assert_uint_eq(history("loud", 0, 0, 0, 9)->status, STATUS_OK);
}
END_TEST

START_TEST(history_is_cut_at_300)
{
    world_gateway("g", 5);
    world_publish("a", 310);
    ck_assert_uint_eq(history("a", 0, 0, 0, UINT32_MAX)->count, 300);
    ck_assert_uint_eq(history("a", BUS_QUESTION_REVERSE, 0, 0, 301)->count, 300);
}
END_TEST

/* --- frames --- */

START_TEST(questions_that_are_none_are_answered_400)
{
    world_gateway("g", 5);
    ck_assert_uint_eq(ask(about(BUS_POSITION, BYTES("nonsense")))->status, STATUS_BAD_INPUT);
    ck_assert_uint_eq(ask(about(0, world_key("a", NULL)))->status, STATUS_BAD_INPUT);
    ck_assert_uint_eq(ask(about(99, world_key("a", NULL)))->status, STATUS_BAD_INPUT);
    ck_assert_uint_eq(world_metrics.gateway_frames_malformed_total, 3);
    ck_assert_uint_eq(world_metrics.questions_refused_total, 3);
}
END_TEST

START_TEST(frames_that_are_none_are_counted)
{
    world_gateway("g", 5);
    const struct span bad[] = {BYTES(""),       BYTES("\0"),     BYTES("\1"),
                               BYTES("\4\0\1"), BYTES("\2\0\0"), BYTES("\xff\xff\xff")};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        core_gateway_frame(world, span_text("g"), bad[i], world_now);
    core_answer(world, SIZE_MAX, world_now);
    expect_nothing();
    ck_assert_uint_eq(world_metrics.gateway_frames_malformed_total, sizeof bad / sizeof *bad);
}
END_TEST

/* `count` is what the frame says, `items` hold `good` questions and then some rubbish. */
static void ask_badly(uint16_t count, size_t good, struct span rubbish)
{
    struct buffer items = {0}, frame = {0};
    struct bus_question question = about(BUS_POSITION, world_key("a", NULL));
    for (size_t i = 0; i < good; i++)
        bus_put_question(&items, &question);
    buffer_put_span(&items, rubbish);
    bus_put_ask(&frame, &(struct bus_ask){.count = count, .items = buffer_span(&items)});
    world_frame("g", &frame);
    buffer_free(&items);
    buffer_free(&frame);
}

START_TEST(a_frame_that_breaks_off_is_answered_as_far_as_it_goes)
{
    world_gateway("g", 5);
    ask_badly(3, 2, BYTES("xyz"));
    ck_assert_uint_eq(take_answers("g")->count, 2);
    ck_assert_uint_eq(world_metrics.gateway_frames_malformed_total, 1);
    ask_badly(2, 2, BYTES("xyz"));
    ck_assert_uint_eq(take_answers("g")->count, 2);
    ck_assert_uint_eq(world_metrics.gateway_frames_malformed_total, 2);
    ask_badly(0, 0, BYTES(""));
    core_answer(world, SIZE_MAX, world_now);
    expect_nothing();
    core_measure(world);
    ck_assert_uint_eq(world_metrics.questions_waiting, 0);
}
END_TEST

START_TEST(too_many_questions_in_one_frame_are_refused)
{
    world_gateway("g", 5);
    ask_badly(LIMIT_ASK_ITEMS + 1, LIMIT_ASK_ITEMS + 1, BYTES(""));
    const struct world_answers *answers = take_answers("g");
    ck_assert_uint_eq(answers->count, LIMIT_ASK_ITEMS);
    ck_assert_uint_eq(answers->replies[0].status, STATUS_BAD_INPUT);
    answers = take_answers("g");
    ck_assert_uint_eq(answers->count, 1);
    expect_nothing();
}
END_TEST

START_TEST(many_questions_are_answered_in_frames_that_fit)
{
    given_payloads_of(4096);
    publish_large("a", 2, 150, 3000);
    struct bus_question questions[20];
    for (size_t i = 0; i < 20; i++) {
        questions[i] = about(BUS_SUBSCRIBE, world_key("a", NULL));
        questions[i].flags = BUS_QUESTION_RECOVER;
        questions[i].epoch = 2;
        questions[i].token = i;
    }
    world_ask("g", questions, 20);
    uint64_t next = 0;
    while (next < 20) { /* 450 KB each: one or two fit */
        core_answer(world, 1, world_now);
        struct span frame = take_frame("g");
        ck_assert_uint_le(frame.size, LIMIT_BUS_FRAME_BYTES);
        struct bus_answer answer;
        ck_assert(bus_get_answer(frame, &answer));
        ck_assert_uint_gt(answer.count, 0);
        for (uint16_t i = 0; i < answer.count; i++) {
            struct bus_reply reply;
            ck_assert(bus_next_reply(&answer.items, &reply));
            ck_assert_uint_eq(reply.token, next++);
            ck_assert_uint_eq(reply.count, 150);
        }
    }
    core_answer(world, SIZE_MAX, world_now);
    expect_nothing();
}
END_TEST

START_TEST(strangers_are_told_to_say_hello)
{
    struct bus_question questions[] = {about(BUS_POSITION, world_key("a", NULL)),
                                       about(BUS_HISTORY, world_key("a", NULL))};
    questions[1].token = 43;
    world_ask("stranger", questions, 2);
    const struct world_answers *answers = take_answers("stranger");
    ck_assert_uint_eq(answers->count, 2);
    for (size_t i = 0; i < 2; i++) {
        ck_assert_uint_eq(answers->replies[i].token, 42 + i);
        ck_assert_uint_eq(answers->replies[i].status, STATUS_INTERNAL);
        assert_text(answers->replies[i].message, "say hello first");
    }
    core_measure(world);
    ck_assert_uint_eq(world_metrics.streams, 0);
    ck_assert_uint_eq(world_metrics.gateway_frames_malformed_total, 1);
}
END_TEST

/* --- a gateway that does not take its answers --- */

START_TEST(questions_of_a_slow_gateway_wait_and_others_do_not)
{
    world_gateway("g", 5);
    world_gateway("fast", 6);
    struct bus_question question = about(BUS_POSITION, world_key("a", NULL));
    party_t *slow = NULL;
    struct span frame;
    for (int i = 0; i < 10; i++)
        world_ask("g", &question, 1);
    core_answer(world, 0, world_now);
    expect_nothing();
    /* All ten go into one frame; fill the window with more. */
    size_t taken = 0;
    for (; core_can_answer(world) && taken < 100; taken++) {
        core_answer(world, 1, world_now);
        slow = take_unsent_frame("g", &frame);
        world_ask("g", &question, 1);
    }
    ck_assert_uint_gt(taken, 1);
    ck_assert_uint_lt(taken, 100);
    world_ask("fast", &question, 1);
    ck_assert_uint_eq(take_answers("fast")->count, 1);
    ck_assert(!core_can_answer(world));

    core_sent(world, slow, CORE_SENT); /* room for one more */
    ck_assert(core_can_answer(world));
    ck_assert_uint_eq(take_answers("g")->count, 1);
}
END_TEST

START_TEST(questions_of_a_gateway_that_left_are_dropped)
{
    world_gateway("g", 5);
    struct bus_question question = about(BUS_POSITION, world_key("a", NULL));
    struct span frame;
    party_t *gateway = NULL;
    world_ask("g", &question, 1);
    while (core_can_answer(world)) {
        core_answer(world, 1, world_now);
        gateway = take_unsent_frame("g", &frame);
        world_ask("g", &question, 1);
    }
    core_sent(world, gateway, CORE_GONE);
    expect_log(CORE_GATEWAY_LEFT, "g");
    core_answer(world, SIZE_MAX, world_now);
    expect_nothing();
    core_measure(world);
    ck_assert_uint_eq(world_metrics.questions_waiting, 0);
}
END_TEST

START_TEST(a_gateway_that_asks_without_end_is_told_429)
{
    world_gateway("g", 5);
    struct bus_question question = about(BUS_POSITION, world_key("a", NULL));
    struct core_effect effect;
    effect.kind = CORE_NOTHING;
    for (int i = 0; i < 5000 && effect.kind == CORE_NOTHING; i++) {
        world_ask("g", &question, 1);
        core_take_effect(world, &effect);
    }
    ck_assert_int_eq(effect.kind, CORE_SEND);
    struct bus_answer answer;
    struct bus_reply reply;
    ck_assert(bus_get_answer(effect.bytes, &answer));
    ck_assert(bus_next_reply(&answer.items, &reply));
    ck_assert_uint_eq(reply.status, STATUS_TOO_MANY);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("core_answers");
    TCase *tests = tcase_create("core_answers");
    tcase_add_checked_fixture(tests, world_setup, world_teardown);
    tcase_add_test(tests, a_position_is_what_was_committed_and_published);
    tcase_add_test(tests, an_address_nobody_used_has_an_epoch_too);
    tcase_add_test(tests, beyond_the_headers_429);
    tcase_add_test(tests, recovery_gives_everything_missed);
    tcase_add_test(tests, recovery_gives_nothing_when_something_is_missing);
    tcase_add_test(tests, recovery_is_bounded_in_messages);
    tcase_add_test(tests, recovery_is_bounded_in_bytes);
    tcase_add_test(tests, recovery_without_an_epoch);
    tcase_add_test(tests, history_goes_both_ways);
    tcase_add_test(tests, history_of_another_epoch_is_a_conflict);
    tcase_add_test(tests, a_subscriber_hears_what_slow_readers_get);
    tcase_add_test(tests, history_can_be_switched_off);
    tcase_add_test(tests, history_is_cut_at_300);
    tcase_add_test(tests, questions_that_are_none_are_answered_400);
    tcase_add_test(tests, frames_that_are_none_are_counted);
    tcase_add_test(tests, a_frame_that_breaks_off_is_answered_as_far_as_it_goes);
    tcase_add_test(tests, too_many_questions_in_one_frame_are_refused);
    tcase_add_test(tests, many_questions_are_answered_in_frames_that_fit);
    tcase_add_test(tests, strangers_are_told_to_say_hello);
    tcase_add_test(tests, questions_of_a_slow_gateway_wait_and_others_do_not);
    tcase_add_test(tests, questions_of_a_gateway_that_left_are_dropped);
    tcase_add_test(tests, a_gateway_that_asks_without_end_is_told_429);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
