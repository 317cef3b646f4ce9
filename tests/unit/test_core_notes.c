#include <stdio.h>
#include <string.h>

#include "core_world.h"
#include "heap.h"
#include "unit.h"

/* What a store that keeps things is told: notes, and with an append all that is to be kept. */

static void setup(void)
{
    world_setup();
    world_settings.is_durable = true;
    world_start();
}

static void take_append(struct store_append *out)
{
    struct core_effect effect;
    core_take_effect(world, &effect);
    ck_assert_int_eq(effect.kind, CORE_APPEND);
    *out = effect.append;
}

static void commit_next(uint64_t first)
{
    struct store_append append;
    take_append(&append);
    ck_assert_uint_eq(append.first, first);
    stored(append.ticket, STORE_COMMITTED);
    drop_effects();
}

START_TEST(a_stream_is_made_before_it_is_appended_to)
{
    post(1, 1);
    post(2, 2);
    world_request(0, "p", "{'op':'publish','id':3,'channel':'b','resource':'r','payload':{}}");
    expect_note(STORE_MADE, "chat", NULL, 2);
    expect_note(STORE_MADE, "b", "r", 3);
    expect_append("chat", NULL, 2, 1, NULL);
    expect_append("chat", NULL, 2, 2, NULL);
    expect_append("b", "r", 3, 1, NULL);
    expect_nothing();
}
END_TEST

START_TEST(who_listens_makes_a_stream_too)
{
    world_subscribe("chat", NULL, true);
    ck_assert(!core_is_settled(world)); /* the note waits */
    expect_note(STORE_MADE, "chat", NULL, 2);
    expect_nothing();
    ck_assert(core_is_settled(world));
}
END_TEST

START_TEST(without_a_durable_store_nobody_is_told)
{
    world_settings.is_durable = false;
    world_start();
    world_subscribe("b", NULL, true);
    post(1, 1);
    expect_append("chat", NULL, 3, 1, NULL);
    expect_nothing();
}
END_TEST

START_TEST(an_append_says_which_messages_are_still_kept)
{
    world_settings.streams.rule.limits.messages = 2;
    world_start();
    post(1, 1);
    expect_note(STORE_MADE, "chat", NULL, 2);
    commit_next(1);
    post(2, 2);
    commit_next(1);
    post(3, 3);
    commit_next(1);
    post(4, 4); /* 2 and 3 are kept */
    commit_next(2);
    post(5, 5);
    post(6, 6);
    struct store_append fifth, sixth;
    take_append(&fifth);
    take_append(&sixth);
    ck_assert_uint_eq(fifth.first, 3);
    ck_assert_uint_eq(sixth.first, 3); /* the fifth may still fail */
}
END_TEST

START_TEST(where_nothing_is_kept_only_the_position_is)
{
    world_settings.streams.rule.limits.messages = 0;
    world_start();
    for (int i = 1; i <= 3; i++) {
        post(i, i);
        if (i == 1)
            expect_note(STORE_MADE, "chat", NULL, 2);
        commit_next((uint64_t)i + 1);
    }
}
END_TEST

START_TEST(so_it_is_with_a_message_that_is_too_large)
{
    world_settings.streams.rule.limits.bytes = STREAM_MESSAGE_COST + 40;
    world_start();
    post(1, 1);
    expect_note(STORE_MADE, "chat", NULL, 2);
    commit_next(1);
    world_request(0, "p",
                  "{'op':'publish','channel':'chat',"
                  "'payload':{'text':'forty bytes are less than this text has'}}");
    commit_next(3); /* nor is what was in front of it */
    post(3, 3);
    commit_next(3);
}
END_TEST

START_TEST(an_append_has_the_key_of_its_publication)
{
    struct store_append append, other;
    uint8_t whole[ADDRESS_KEY_MAX + 8], key[sizeof whole];
    struct span address = world_key("chat", NULL);
    memcpy(whole, address.data, address.size);
    memcpy(whole + address.size, "k-1", 3);
    post_key(1, 1, "k-1");
    expect_note(STORE_MADE, "chat", NULL, 2);
    take_append(&append);
    ck_assert(span_equal(append.once.key, span_of(whole, address.size + 3)));
    ck_assert_int_eq(append.once.until_ms, world_settings.idempotency_ms);
    ck_assert(append.once.hash[0] && append.once.hash[1]);
    memcpy(key, append.once.key.data, append.once.key.size);

    post_key(2, 1, "k-2"); /* the same body: the same hash */
    take_append(&other);
    ck_assert_mem_eq(other.once.hash, append.once.hash, sizeof append.once.hash);
    post_key(3, 3, "k-3");
    take_append(&other);
    ck_assert_mem_ne(other.once.hash, append.once.hash, sizeof append.once.hash);
    post(4, 4);
    take_append(&other);
    ck_assert_uint_eq(other.once.key.size, 0);
    ck_assert_int_eq(other.once.until_ms, 0);
}
END_TEST

START_TEST(messages_that_are_too_old_are_trimmed)
{
    for (int i = 1; i <= 3; i++) {
        post(i, i);
        if (i == 1)
            expect_note(STORE_MADE, "chat", NULL, 2);
        commit_next(1);
        world_now += i == 2 ? 100000 : 0;
    }
    world_now += 200000;
    post(4, 4); /* the first two are gone when the stream is used */
    expect_note(STORE_TRIMMED, "chat", NULL, 3);
    commit_next(3);
    drop_effects();
    world_now += 100000 + 10000;
    core_tick(world, world_now); /* and the third when it is due */
    expect_note(STORE_TRIMMED, "chat", NULL, 4);
    world_now += 200000;
    core_tick(world, world_now);
    expect_note(STORE_TRIMMED, "chat", NULL, 5);
}
END_TEST

START_TEST(messages_without_room_are_trimmed)
{
    world_settings.streams.total_bytes = 200; /* two of them */
    world_start();
    post(1, 1);
    expect_note(STORE_MADE, "chat", NULL, 2);
    commit_next(1);
    post(2, 2);
    commit_next(1);
    world_request(0, "p", "{'op':'publish','channel':'b','payload':{}}");
    expect_note(STORE_MADE, "b", NULL, 3);
    struct store_append append;
    take_append(&append);
    stored(append.ticket, STORE_COMMITTED);
    expect_note(STORE_TRIMMED, "chat", NULL, 2);
    post(3, 3);
    commit_next(2);
}
END_TEST

START_TEST(a_stream_that_nobody_uses_ends)
{
    world_subscribe("chat", NULL, true);
    expect_note(STORE_MADE, "chat", NULL, 2);
    world_subscribe("chat", NULL, false);
    world_now += 3600000 + 10000;
    core_tick(world, world_now);
    expect_note(STORE_ENDED, "chat", NULL, 2);
    drop_effects();
    world_subscribe("chat", NULL, true);
    expect_note(STORE_MADE, "chat", NULL, 3);
}
END_TEST

START_TEST(notes_that_were_taken_cost_nothing)
{
    char name[16];
    world_settings.streams.headers = 1;
    world_start();
    size_t before = heap_bytes();
    for (int i = 0; i < 20000; i++) { /* two notes each */
        snprintf(name, sizeof name, "n-%d", i);
        world_subscribe(name, NULL, true);
        world_subscribe(name, NULL, false);
        drop_effects();
    }
    ck_assert_uint_lt(heap_bytes(), before + 100000);
}
END_TEST

START_TEST(names_that_make_room_for_others_end)
{
    world_settings.streams.headers = 1;
    world_start();
    world_subscribe("a", NULL, true);
    world_subscribe("a", NULL, false);
    world_subscribe("b", NULL, true);
    expect_note(STORE_MADE, "a", NULL, 2);
    expect_note(STORE_ENDED, "a", NULL, 2);
    expect_note(STORE_MADE, "b", NULL, 3);
    expect_nothing();
}
END_TEST

START_TEST(after_an_unknown_outcome_the_next_append_tells_the_epoch)
{
    post(1, 1);
    expect_note(STORE_MADE, "chat", NULL, 2);
    commit_next(1);
    post(2, 2);
    stored(expect_append("chat", NULL, 2, 2, NULL), STORE_UNKNOWN);
    expect_note(STORE_ENDED, "chat", NULL, 2); /* with what may have been kept */
    expect_note(STORE_MADE, "chat", NULL, 3);
    expect_refusal("p", "2", STATUS_IN_DOUBT, "does not know");
    post(3, 3);
    struct store_append append;
    take_append(&append);
    ck_assert_uint_eq(append.epoch, 3);
    ck_assert_uint_eq(append.offset, 1);
    ck_assert_uint_eq(append.first, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("core_notes");
    TCase *tests = tcase_create("core_notes");
    tcase_add_checked_fixture(tests, setup, world_teardown);
    tcase_add_test(tests, a_stream_is_made_before_it_is_appended_to);
    tcase_add_test(tests, who_listens_makes_a_stream_too);
    tcase_add_test(tests, without_a_durable_store_nobody_is_told);
    tcase_add_test(tests, an_append_says_which_messages_are_still_kept);
    tcase_add_test(tests, where_nothing_is_kept_only_the_position_is);
    tcase_add_test(tests, so_it_is_with_a_message_that_is_too_large);
    tcase_add_test(tests, an_append_has_the_key_of_its_publication);
    tcase_add_test(tests, messages_that_are_too_old_are_trimmed);
    tcase_add_test(tests, messages_without_room_are_trimmed);
    tcase_add_test(tests, a_stream_that_nobody_uses_ends);
    tcase_add_test(tests, notes_that_were_taken_cost_nothing);
    tcase_add_test(tests, names_that_make_room_for_others_end);
    tcase_add_test(tests, after_an_unknown_outcome_the_next_append_tells_the_epoch);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
