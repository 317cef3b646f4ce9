#include <stdio.h>
#include <string.h>

#include "broker/handlers.h"
#include "core_world.h"
#include "unit.h"

/* What the store tells at the start, and what the core makes of it. */

#define EPOCH_9 "0000000000000009"
#define WALL_MS 5000000 /* what the wall clock says when the core starts */

static struct core_restored restored;
static struct store_loader loader;
static bool is_known; /* the gateway */

static void setup(void)
{
    world_setup();
    world_settings.is_durable = true;
    world_start();
}

/* --- steps --- */

static void begin(void)
{
    is_known = false;
    world_start();
    core_restore(world, world_now, WALL_MS, &loader);
}

static void take_append(struct store_append *out)
{
    struct core_effect effect;
    core_take_effect(world, &effect);
    ck_assert_int_eq(effect.kind, CORE_APPEND);
    *out = effect.append;
}

static void end(void)
{
    core_end_restore(world, &restored);
}

static void stream(const char *channel, uint64_t epoch, uint64_t offset)
{
    ck_assert(loader.stream(loader.arg, world_key(channel, NULL), epoch, offset));
}

static void message_at(uint64_t offset, int64_t wall_ms)
{
    char body[40];
    snprintf(body, sizeof body, "<%llu>", (unsigned long long)offset);
    ck_assert(loader.message(loader.arg, offset, wall_ms, span_text(body)));
}

static void messages(uint64_t first, uint64_t last)
{
    for (uint64_t offset = first; offset <= last; offset++)
        message_at(offset, WALL_MS - 1000);
}

/* A gateway's subscriber was there and comes back: what it missed; "gone" when it cannot know. The
 * position is epoch 9 and this offset. */
static const char *recover(const char *channel, uint64_t from, uint64_t offset)
{
    if (!is_known)
        world_gateway("g", 5);
    is_known = true;
    struct bus_question question = {.kind = BUS_SUBSCRIBE,
                                    .flags = BUS_QUESTION_RECOVER,
                                    .token = 1,
                                    .address = world_key(channel, NULL),
                                    .epoch = 9,
                                    .offset = from};
    world_ask("g", &question, 1);
    const struct world_answers *answers = take_answers("g");
    ck_assert_uint_eq(answers->count, 1);
    const struct bus_reply *reply = &answers->replies[0];
    ck_assert_uint_eq(reply->status, STATUS_OK);
    ck_assert_uint_eq(reply->epoch, 9);
    ck_assert_uint_eq(reply->offset, offset);
    return reply->flags & BUS_REPLY_RECOVERED ? world_publications(reply) : "gone";
}

static void expect_restored(size_t streams, size_t messages_, size_t keys, size_t handlers)
{
    ck_assert_uint_eq(restored.streams, streams);
    ck_assert_uint_eq(restored.messages, messages_);
    ck_assert_uint_eq(restored.keys, keys);
    ck_assert_uint_eq(restored.handlers, handlers);
}

START_TEST(nothing_is_restored_from_nothing)
{
    begin();
    end();
    expect_restored(0, 0, 0, 0);
    expect_nothing();
}
END_TEST

START_TEST(subscribers_recover_as_if_nothing_had_happened)
{
    begin();
    stream("a", 9, 3);
    messages(1, 3);
    stream("empty", 9, 0);
    stream("trimmed", 9, 7);
    stream("b", 9, 12);
    messages(11, 12);
    end();
    expect_restored(4, 5, 0, 0);
    expect_nothing(); /* the store knows it already */
    ck_assert_str_eq(recover("a", 3, 3), "");
    ck_assert_str_eq(recover("a", 1, 3), "2:<2> 3:<3> ");
    ck_assert_str_eq(recover("a", 0, 3), "1:<1> 2:<2> 3:<3> ");
    ck_assert_str_eq(recover("a", 4, 3), "gone");
    ck_assert_str_eq(recover("empty", 0, 0), "");
    ck_assert_str_eq(recover("trimmed", 7, 7), "");
    ck_assert_str_eq(recover("trimmed", 6, 7), "gone");
    ck_assert_str_eq(recover("b", 10, 12), "11:<11> 12:<12> ");
    ck_assert_str_eq(recover("b", 9, 12), "gone");
}
END_TEST

START_TEST(publications_go_on_where_they_were)
{
    begin();
    stream("chat", 9, 7);
    messages(6, 7);
    end();
    world_subscribe("chat", NULL, true);
    post(1, 8);
    struct store_append append;
    take_append(&append);
    ck_assert_uint_eq(append.epoch, 9);
    ck_assert_uint_eq(append.offset, 8);
    ck_assert_uint_eq(append.first, 6);
    stored(append.ticket, STORE_COMMITTED);
    expect_publication("chat", NULL, 9, 8, "'data':{'n':8}");
    expect_ok(1, EPOCH_9, 8);
    ck_assert_str_eq(recover("chat", 5, 8), "6:<6> 7:<7> 8:'data':{'n':8} ");
}
END_TEST

/* A gateway has (9, offset) from this broker, or from one `of_before`. */
static void ask_range(uint64_t offset, uint8_t of_before)
{
    struct bus_question question = {.kind = BUS_RANGE,
                                    .flags = of_before,
                                    .token = 1,
                                    .address = world_key("chat", NULL),
                                    .epoch = 9,
                                    .offset = offset};
    world_ask("g", &question, 1);
    core_answer(world, SIZE_MAX, world_now);
}

static void expect_range(const char *publications)
{
    const struct bus_reply *reply = &take_answer_frame("g")->replies[0];
    ck_assert(reply->flags & BUS_REPLY_RECOVERED);
    ck_assert_str_eq(world_publications(reply), publications);
}

/* The last two are other messages than those that were 9 and 10 before the start. */
START_TEST(what_went_back_is_found_out_also_when_more_was_published_since)
{
    begin();
    stream("chat", 9, 8);
    messages(7, 8);
    end();
    world_gateway("g", 5);
    for (int i = 9; i <= 11; i++) {
        struct store_append append;
        post(i, i);
        take_append(&append);
        stored(append.ticket, STORE_COMMITTED);
        drop_effects();
    }
    ask_range(8, BUS_QUESTION_OF_BEFORE);
    expect_range("9:'data':{'n':9} 10:'data':{'n':10} 11:'data':{'n':11} ");
    ask_range(10, 0);
    expect_range("11:'data':{'n':11} ");
    ck_assert_uint_eq(world_metrics.streams_gone_back_total, 0);

    ask_range(10, BUS_QUESTION_OF_BEFORE);
    ask_range(9, BUS_QUESTION_OF_BEFORE); /* another gateway: the epoch is another one already */
    expect_note(STORE_ENDED, "chat", NULL, 9);
    expect_note(STORE_MADE, "chat", NULL, 2);
    for (int i = 0; i < 2; i++) {
        const struct bus_reply *reply = &take_answer_frame("g")->replies[0];
        ck_assert_uint_eq(reply->flags & BUS_REPLY_RECOVERED, 0);
        ck_assert_uint_eq(reply->epoch, 2);
        ck_assert_uint_eq(reply->offset, 0);
    }
    ck_assert_uint_eq(world_metrics.streams_gone_back_total, 1);
}
END_TEST

START_TEST(only_what_leads_to_the_position_counts)
{
    begin();
    stream("hole", 9, 6);
    messages(1, 2);
    messages(4, 6);
    stream("tail", 9, 4);
    messages(1, 3);
    stream("last", 9, 4);
    messages(4, 4);
    stream("beyond", 9, 2);
    messages(1, 3);
    stream("far", 9, 2);
    messages(7, 8);
    end();
    ck_assert_str_eq(recover("hole", 3, 6), "4:<4> 5:<5> 6:<6> ");
    ck_assert_str_eq(recover("hole", 2, 6), "gone");
    ck_assert_str_eq(recover("tail", 4, 4), "");
    ck_assert_str_eq(recover("tail", 3, 4), "gone");
    ck_assert_str_eq(recover("last", 3, 4), "4:<4> ");
    ck_assert_str_eq(recover("beyond", 0, 2), "1:<1> 2:<2> ");
    ck_assert_str_eq(recover("far", 2, 2), "");
    ck_assert_str_eq(recover("far", 1, 2), "gone");
    core_measure(world);
    ck_assert_uint_eq(world_metrics.retained_bytes, (3 + 1 + 2) * (STREAM_MESSAGE_COST + 3));
}
END_TEST

START_TEST(what_is_no_stream_is_passed_over)
{
    begin();
    messages(1, 2); /* of no stream */
    ck_assert(loader.stream(loader.arg, span_text("nonsense"), 9, 2));
    messages(1, 2);
    ck_assert(loader.stream(loader.arg, (struct span){0}, 9, 2));
    stream("zero", 0, 2); /* no epoch of ours */
    messages(1, 2);
    stream("a", 9, 2);
    messages(1, 2);
    stream("a", 8, 3); /* twice */
    messages(3, 3);
    message_at(0, WALL_MS);
    end();
    expect_restored(1, 2, 0, 0);
    ck_assert_uint_eq(restored.left, 1); /* the one that came twice */
    ck_assert_str_eq(recover("a", 0, 2), "1:<1> 2:<2> ");
    core_measure(world);
    ck_assert_uint_eq(world_metrics.streams, 1);
}
END_TEST

START_TEST(there_are_no_more_streams_than_allowed)
{
    world_settings.streams.headers = 2;
    begin();
    stream("a", 9, 1);
    messages(1, 1);
    stream("b", 9, 1);
    stream("c", 9, 1);
    messages(1, 1);
    end();
    expect_restored(2, 1, 0, 0);
    ck_assert_uint_eq(restored.left, 1);
    expect_nothing(); /* with more headers it will be there again */
    world_subscribe("c", NULL, true);
    ck_assert_uint_eq(world_metrics.interest_lost_total, 1);
}
END_TEST

/* Without room the names that nobody has published to go first, and the store is told. */
START_TEST(names_without_messages_make_room_for_others)
{
    world_settings.streams.headers = 2;
    begin();
    stream("a", 9, 0);
    stream("b", 9, 0);
    stream("c", 9, 1);
    messages(1, 1);
    end();
    expect_note(STORE_ENDED, "a", NULL, 9);
    expect_nothing();
    ck_assert_str_eq(recover("c", 0, 1), "1:<1> ");
}
END_TEST

START_TEST(there_are_no_more_messages_than_allowed)
{
    world_settings.streams.rule.limits.messages = 2;
    begin();
    stream("a", 9, 4);
    messages(1, 4);
    end();
    ck_assert_str_eq(recover("a", 2, 4), "3:<3> 4:<4> ");
    ck_assert_str_eq(recover("a", 1, 4), "gone");
}
END_TEST

START_TEST(there_are_no_more_bytes_than_allowed)
{
    world_settings.streams.total_bytes = 3 * (STREAM_MESSAGE_COST + 3);
    begin();
    stream("a", 9, 2);
    messages(1, 2);
    stream("b", 9, 2);
    messages(1, 2);
    end();
    expect_note(STORE_TRIMMED, "a", NULL, 2);
    expect_nothing();
    ck_assert_str_eq(recover("b", 0, 2), "1:<1> 2:<2> ");
    ck_assert_str_eq(recover("a", 1, 2), "2:<2> ");
    ck_assert_str_eq(recover("a", 0, 2), "gone");
}
END_TEST

/* --- ages --- */

START_TEST(messages_are_as_old_as_they_were)
{
    world_settings.is_durable = false; /* nobody is told what is trimmed */
    begin();
    stream("a", 9, 4);
    message_at(1, WALL_MS - 300000);
    message_at(2, WALL_MS - 299999);
    message_at(3, WALL_MS - 1000);
    message_at(4, WALL_MS);
    end();
    ck_assert_str_eq(recover("a", 1, 4), "2:<2> 3:<3> 4:<4> ");
    drop_effects();
    ck_assert_str_eq(recover("a", 0, 4), "gone");
    world_now += 1;
    ck_assert_str_eq(recover("a", 2, 4), "3:<3> 4:<4> ");
    drop_effects();
    ck_assert_str_eq(recover("a", 1, 4), "gone");
    world_now += 300000 - 1002;
    ck_assert_str_eq(recover("a", 2, 4), "3:<3> 4:<4> ");
    world_now += 1;
    core_tick(world, world_now);
    drop_effects();
    ck_assert_str_eq(recover("a", 2, 4), "gone");
}
END_TEST

START_TEST(a_process_that_has_not_run_for_long_has_no_messages_left)
{
    begin();
    stream("a", 9, 2);
    message_at(1, 1);
    message_at(2, -1000);
    end();
    ck_assert_uint_eq(restored.streams, 1);
    core_tick(world, world_now);
    drop_effects();
    ck_assert_str_eq(recover("a", 2, 2), "");
    ck_assert_str_eq(recover("a", 1, 2), "gone");
}
END_TEST

START_TEST(messages_of_a_clock_that_was_set_back_are_new)
{
    world_settings.is_durable = false; /* nobody is told what is trimmed */
    begin();
    stream("a", 9, 3);
    message_at(1, WALL_MS + 1000000);
    message_at(2, WALL_MS - 200000);
    message_at(3, WALL_MS + 2000000);
    end();
    ck_assert_str_eq(recover("a", 0, 3), "1:<1> 2:<2> 3:<3> ");
    world_now += 299999;
    ck_assert_str_eq(recover("a", 0, 3), "1:<1> 2:<2> 3:<3> ");
    world_now += 1; /* not later than if they were */
    core_tick(world, world_now);
    drop_effects();
    ck_assert_str_eq(recover("a", 2, 3), "gone");
}
END_TEST

START_TEST(a_stream_that_was_restored_ends_when_nobody_uses_it)
{
    begin();
    stream("a", 9, 0);
    stream("b", 9, 1);
    messages(1, 1);
    end();
    world_now += 300000 + 10000;
    core_tick(world, world_now);
    expect_note(STORE_TRIMMED, "b", NULL, 2);
    drop_effects();
    world_now += 3600000;
    core_tick(world, world_now);
    core_measure(world);
    ck_assert_uint_eq(world_metrics.streams, 0);
}
END_TEST

/* --- keys --- */

/* As an append has said it. */
static struct store_key publish_with_key(const char *key)
{
    static uint8_t bytes[ADDRESS_KEY_MAX + 64];
    struct store_append append;
    drop_effects();
    post_key(1, 1, key);
    for (struct core_effect effect = {0}; effect.kind != CORE_APPEND; append = effect.append)
        core_take_effect(world, &effect);
    memcpy(bytes, append.once.key.data, append.once.key.size);
    append.once.key.data = bytes;
    return append.once;
}

static void restore_key(struct store_key key, uint64_t offset, int64_t until_ms)
{
    key.until_ms = until_ms;
    ck_assert(loader.key(loader.arg, &key, 9, offset));
}

/* The same publication again: a duplicate, or a new one. */
static void expect_known(const char *key, int offset)
{
    post_key(2, 1, key);
    expect_duplicate(2, EPOCH_9, offset);
    expect_nothing();
}

static void expect_new(const char *key)
{
    drop_effects();
    post_key(2, 1, key);
    struct core_effect effect;
    do
        core_take_effect(world, &effect);
    while (effect.kind == CORE_NOTE);
    ck_assert_int_eq(effect.kind, CORE_APPEND);
}

START_TEST(a_key_is_known_for_the_rest_of_its_time)
{
    struct store_key key = publish_with_key("k");
    begin();
    stream("chat", 9, 5);
    messages(5, 5);
    restore_key(key, 4, WALL_MS + 1000);
    end();
    expect_restored(1, 1, 1, 0);
    expect_known("k", 4);
    world_request(0, "p", "{'op':'publish','id':3,'channel':'chat','payload':{'n':2},'key':'k'}");
    expect_refusal("p", "3", STATUS_CONFLICT, "");
    world_now += 999;
    expect_known("k", 4);
    world_now += 1;
    expect_new("k");
}
END_TEST

START_TEST(a_key_whose_time_is_over_is_not_known)
{
    struct store_key key = publish_with_key("k");
    begin();
    restore_key(key, 4, WALL_MS);
    restore_key(key, 4, 0);
    end();
    expect_restored(0, 0, 0, 0);
    expect_new("k");
}
END_TEST

START_TEST(a_key_of_a_clock_that_was_set_back_has_its_whole_time)
{
    struct store_key key = publish_with_key("k");
    begin();
    restore_key(key, 4, INT64_MAX);
    end();
    world_now += 299999;
    expect_known("k", 4);
    world_now += 1;
    expect_new("k");
}
END_TEST

START_TEST(there_are_no_more_keys_than_allowed_nor_two_of_a_kind)
{
    char name[24];
    struct store_key key = publish_with_key("k");
    begin();
    restore_key(key, 4, WALL_MS + 1000);
    restore_key(key, 5, WALL_MS + 2000);
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "another key %d", i);
        key.key = span_text(name);
        restore_key(key, 4, WALL_MS + 3000);
    }
    end();
    expect_restored(0, 0, 10, 0);
    expect_known("k", 5);
}
END_TEST

static void expect_instance(const char *instance)
{
    char reply[100];
    world_request(0, "p", "{'op':'ping','id':1}");
    snprintf(reply, sizeof reply, "{'id':1,'ok':true,'instance':'%s'}", instance);
    expect_reply("p", reply);
}

START_TEST(who_remembers_all_keys_is_the_same_to_backends)
{
    struct store_key key = publish_with_key("k");
    begin();
    restore_key(key, 4, WALL_MS + 1000);
    loader.origin(loader.arg, 0xabc);
    end();
    expect_instance("0000000000000abc");
}
END_TEST

START_TEST(who_lacks_a_key_is_another_one)
{
    char name[24];
    struct store_key key = publish_with_key("k");
    begin();
    for (int i = 0; i < 11; i++) { /* one more than there is room for */
        snprintf(name, sizeof name, "key %d", i);
        key.key = span_text(name);
        restore_key(key, 4, WALL_MS + 1000);
    }
    loader.origin(loader.arg, 0xabc);
    end();
    expect_instance("0000000000000001"); /* the first random number of the test */
}
END_TEST

/* --- handlers --- */

START_TEST(handlers_refuse_until_they_are_connected)
{
    uint8_t key[ADDRESS_KEY_MAX];
    struct address address = {.view = VIEW_LIVE, .site = span_text("default")};
    size_t size = handler_key(&address, LEVEL_DEFAULT, key);
    begin();
    stream("a", 9, 1);
    messages(1, 1);
    ck_assert(loader.handler(loader.arg, span_of(key, size)));
    end();
    expect_restored(1, 1, 0, 1);
    core_measure(world);
    ck_assert_uint_eq(world_metrics.handlers, 1);
    ck_assert_uint_eq(world_metrics.retained_bytes, STREAM_MESSAGE_COST + 3);
}
END_TEST

/* Somebody could be let in whom it would refuse. */
START_TEST(without_a_handler_it_does_not_start)
{
    uint8_t key[ADDRESS_KEY_MAX];
    struct address address = {.view = VIEW_LIVE, .site = span_text("default")};
    size_t size = handler_key(&address, LEVEL_DEFAULT, key);
    begin();
    ck_assert(!loader.handler(loader.arg, span_text("nonsense")));
    ck_assert(loader.handler(loader.arg, span_of(key, size)));
    ck_assert(!loader.handler(loader.arg, span_of(key, size)));
    end();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("core_restore");
    TCase *tests = tcase_create("core_restore");
    tcase_add_checked_fixture(tests, setup, world_teardown);
    tcase_add_test(tests, nothing_is_restored_from_nothing);
    tcase_add_test(tests, subscribers_recover_as_if_nothing_had_happened);
    tcase_add_test(tests, publications_go_on_where_they_were);
    tcase_add_test(tests, what_went_back_is_found_out_also_when_more_was_published_since);
    tcase_add_test(tests, only_what_leads_to_the_position_counts);
    tcase_add_test(tests, what_is_no_stream_is_passed_over);
    tcase_add_test(tests, there_are_no_more_streams_than_allowed);
    tcase_add_test(tests, names_without_messages_make_room_for_others);
    tcase_add_test(tests, there_are_no_more_messages_than_allowed);
    tcase_add_test(tests, there_are_no_more_bytes_than_allowed);
    tcase_add_test(tests, messages_are_as_old_as_they_were);
    tcase_add_test(tests, a_process_that_has_not_run_for_long_has_no_messages_left);
    tcase_add_test(tests, messages_of_a_clock_that_was_set_back_are_new);
    tcase_add_test(tests, a_stream_that_was_restored_ends_when_nobody_uses_it);
    tcase_add_test(tests, a_key_is_known_for_the_rest_of_its_time);
    tcase_add_test(tests, a_key_whose_time_is_over_is_not_known);
    tcase_add_test(tests, a_key_of_a_clock_that_was_set_back_has_its_whole_time);
    tcase_add_test(tests, there_are_no_more_keys_than_allowed_nor_two_of_a_kind);
    tcase_add_test(tests, who_remembers_all_keys_is_the_same_to_backends);
    tcase_add_test(tests, who_lacks_a_key_is_another_one);
    tcase_add_test(tests, handlers_refuse_until_they_are_connected);
    tcase_add_test(tests, without_a_handler_it_does_not_start);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
