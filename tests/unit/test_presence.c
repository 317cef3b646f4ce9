#include <stdio.h>

#include "client_world.h"
#include "common/address.h"
#include "proto/limits.h"
#include "proto/status.h"
#include "unit.h"

/* Presence at the gateway: clients that ask, and the broker that asks who is there. */

static char ids[WORLD_CLIENTS][37];

static void setup(void)
{
    struct hub_settings settings = world_settings();
    world_open(&world, &settings);
}

/* Connects and keeps the id that the connect reply says. */
static void connect_client(size_t client)
{
    world.clients[client].session =
        hub_session_opened(world.hub, (void *)(uintptr_t)client, world.now_ms);
    world.clients[client].has_been_closed = false;
    world_send(&world, client, "{\"id\":1,\"connect\":{}}");
    char *text = world_next(&world, client);
    ck_assert_ptr_nonnull(text);
    const char *id = strstr(text, "\"client\":\"");
    ck_assert_ptr_nonnull(id);
    snprintf(ids[client], sizeof ids[client], "%.36s", id + strlen("\"client\":\""));
    ck_assert_uint_eq(strlen(ids[client]), 36);
    free(text);
}

static void subscribed(size_t client)
{
    connect_client(client);
    subscribe(client, "s0");
}

static void ask(size_t client, const char *method)
{
    world_send(&world, client, "{\"id\":9,\"%s\":{\"channel\":\"s0\"}}", method);
}

static uint32_t count(size_t stream)
{
    return world_presence(&world, stream, BUS_PRESENCE, 100)->clients;
}

START_TEST(the_list_has_the_ids_that_connect_gave)
{
    subscribed(0);
    subscribed(1);
    connect_client(2);
    ask(0, "presence");
    world_settle(&world);
    char *text = world_next(&world, 0);
    for (size_t i = 0; i < 2; i++) {
        char member[512];
        snprintf(member, sizeof member, "\"%s\":{\"client\":\"%s\",\"user\":\"\"}", ids[i], ids[i]);
        ck_assert_msg(strstr(text, member) != NULL, "%s lacks %s", text, member);
    }
    ck_assert_ptr_eq(strstr(text, "{\"id\":9,\"presence\":{\"presence\":{\""), text);
    ck_assert_ptr_null(strstr(text, ids[2]));
    free(text);
}
END_TEST

START_TEST(anonymous_users_are_one_user)
{
    subscribed(0);
    subscribed(1);
    ask(0, "presence_stats");
    world_settle(&world);
    expect("{\"id\":9,\"presence_stats\":{\"num_clients\":2,\"num_users\":1}}");
}
END_TEST

START_TEST(who_does_not_subscribe_may_not_ask)
{
    connect_client(0);
    static const char *const methods[] = {"presence", "presence_stats"};
    for (size_t i = 0; i < 2; i++) {
        ask(0, methods[i]);
        expect("{\"id\":9,\"error\":{\"code\":103,\"message\":\"presence is for subscribers\"");
    }
    subscribe(0, "s0");
    world_send(&world, 0, "{\"id\":3,\"unsubscribe\":{\"channel\":\"s0\"}}");
    expect("{\"id\":3,\"unsubscribe\":{}}");
    ask(0, "presence");
    expect("\"code\":103");
    ck_assert_uint_eq(world.questions.count, 0);
}
END_TEST

START_TEST(a_question_behind_its_subscribe_waits_for_it)
{
    connect_client(0);
    world_send(&world, 0,
               "{\"id\":2,\"subscribe\":{\"channel\":\"s0\"}}\n{\"id\":3,\"presence_stats\":{"
               "\"channel\":\"s0\"}}");
    world_settle(&world);
    expect("{\"id\":2,\"subscribe\":{");
    expect("{\"id\":3,\"presence_stats\":{\"num_clients\":1,\"num_users\":1}}");
}
END_TEST

START_TEST(who_is_there_from_reply_to_leaving)
{
    subscribed(0);
    connect_client(1);
    world_send(&world, 1, "{\"id\":2,\"subscribe\":{\"channel\":\"s0\"}}");
    ck_assert_uint_eq(count(0), 1); /* no reply yet */
    world_settle(&world);
    expect_from(1, "\"subscribe\"");
    ck_assert_uint_eq(count(0), 2);
    ck_assert_uint_eq(count(1), 0);
    world_send(&world, 1, "{\"id\":3,\"unsubscribe\":{\"channel\":\"s0\"}}");
    ck_assert_uint_eq(count(0), 1);
    world_disconnect(&world, 0);
    ck_assert_uint_eq(count(0), 0);
}
END_TEST

START_TEST(who_is_to_be_told_of_a_loss_is_still_there)
{
    subscribed(0);
    subscribed(1);
    world_forget(&world, 0);
    world_digest(&world);
    world_settle(&world); /* the loss is known, and told in its turn */
    expect_nothing();
    ck_assert_uint_eq(count(0), 2);
    world_advance(&world, 100);
    expect("\"code\":2500");
    ck_assert_uint_eq(count(0), 0);
}
END_TEST

START_TEST(who_is_being_closed_is_not_there)
{
    subscribed(0);
    subscribed(1);
    hub_session_refuse(world.hub, world.clients[0].session, CLIENT_CLOSE_TOO_BIG);
    ck_assert_uint_eq(count(0), 1); /* decided, and not yet carried out */
    ck_assert(world.clients[0].has_been_closed);
}
END_TEST

START_TEST(both_client_strings_of_an_address_count)
{
    subscribed(0);
    connect_client(1);
    subscribe(1, "/s0");
    ck_assert_uint_eq(count(0), 2);
}
END_TEST

START_TEST(more_than_the_limit_is_said_and_not_cut)
{
    for (size_t i = 0; i < 3; i++)
        subscribed(i);
    const struct bus_presence_part *part = world_presence(&world, 0, BUS_PRESENCE, 3);
    ck_assert_uint_eq(part->status, STATUS_OK);
    part = world_presence(&world, 0, BUS_PRESENCE, 2);
    ck_assert_uint_eq(part->status, STATUS_TOO_LARGE);
    ck_assert_uint_eq(part->items.size, 0);
    part = world_presence(&world, 0, BUS_PRESENCE_STATS, 1); /* one user */
    ck_assert_uint_eq(part->status, STATUS_OK);
    ck_assert_uint_eq(part->clients, 3);
    ck_assert_uint_eq(part->items.size, 8);
    part = world_presence(&world, 0, BUS_PRESENCE_STATS, 0);
    ck_assert_uint_eq(part->status, STATUS_TOO_LARGE);
}
END_TEST

START_TEST(what_the_broker_refuses_is_told_by_code)
{
    static const struct {
        uint16_t status;
        const char *reply;
    } cases[] = {
        {STATUS_FORBIDDEN, "{\"code\":108,\"message\":\"as the test wants it\"}"},
        {STATUS_TOO_LARGE, "{\"code\":106,\"message\":\"as the test wants it\"}"},
        {STATUS_TOO_MANY, "{\"code\":111,\"message\":\"as the test wants it\",\"temporary\":true}"},
        {STATUS_UNAVAILABLE,
         "{\"code\":100,\"message\":\"as the test wants it\",\"temporary\":true}"},
        {STATUS_INTERNAL, "{\"code\":100,\"message\":\"as the test wants it\",\"temporary\":true}"},
    };
    subscribed(0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        world.presence_status = cases[i].status;
        ask(0, i % 2 ? "presence" : "presence_stats");
        world_settle(&world);
        expect(cases[i].reply);
    }
}
END_TEST

START_TEST(without_an_answer_the_error_is_temporary)
{
    subscribed(0);
    ask(0, "presence");
    world_advance(&world, 3900);
    expect_nothing();
    world_advance(&world, 300);
    expect("{\"id\":9,\"error\":{\"code\":100,");
    world_settle(&world); /* too late */
    expect_nothing();
    ask(0, "presence");
    world_break_link(&world);
    expect("\"code\":100,");
    ask(0, "presence");
    expect("\"code\":100,\"message\":\"the broker cannot be reached\",\"temporary\":true");
}
END_TEST

START_TEST(waiting_questions_are_bounded)
{
    for (size_t i = 0; i < 5; i++)
        subscribed(i);
    for (size_t i = 0; i < 5; i++)
        ask(i, "presence");
    expect_from(4, "\"code\":111,");
    ck_assert_uint_eq(metrics()->presence_waiting, 4);
    world_disconnect(&world, 0); /* its question goes with it */
    ask(4, "presence_stats");
    world_settle(&world);
    expect_from(4, "\"num_clients\":4");
    for (size_t i = 1; i < 4; i++)
        expect_from(i, "\"presence\":{\"presence\":{\"");
    ck_assert_uint_eq(metrics()->presence_waiting, 0);
}
END_TEST

/* An answer to all open questions, whose replies behind the first say "the same". */
static void answer_with_same(struct buffer *frame)
{
    struct bus_ask ask;
    struct bus_question question;
    struct buffer items = {0}, clients = {0};
    ck_assert_uint_eq(world.questions.count, 1);
    ck_assert(bus_get_ask(buffer_span(&world.questions.items[0]), &ask));
    bus_put_presence_client(
        &clients, &(struct bus_presence_client){.client = span_text("x"), .user = span_text("\"")});
    for (uint16_t i = 0; i < ask.count; i++) {
        ck_assert(bus_next_question(&ask.items, &question));
        struct bus_reply reply = {.token = question.token, .count = 1};
        reply.publications = buffer_span(&clients);
        if (i > 0)
            reply = (struct bus_reply){.token = question.token, .flags = BUS_REPLY_SAME};
        bus_put_reply(&items, &reply);
    }
    bus_put_answer(frame, &(struct bus_answer){.count = ask.count, .items = buffer_span(&items)});
    buffer_free(&items);
    buffer_free(&clients);
}

START_TEST(one_list_answers_many_questions)
{
    subscribed(0);
    world_send(&world, 0, "{\"id\":3,\"subscribe\":{\"channel\":\"s1\"}}");
    world_settle(&world);
    expect("\"subscribe\"");
    world_send(&world, 0,
               "{\"id\":4,\"presence\":{\"channel\":\"s0\"}}\n{\"id\":5,\"presence\":{\"channel\":"
               "\"s1\"}}");
    struct buffer frame = {0};
    answer_with_same(&frame);
    for (size_t size = 0; size < frame.size; size++) /* cut anywhere, it is no frame */
        hub_answer(world.hub, span_of(frame.data, size), world.now_ms);
    world_advance(&world, 16);
    expect_nothing();
    hub_answer(world.hub, buffer_span(&frame), world.now_ms);
    buffer_free(&frame);
    world_advance(&world, 16);
    expect("{\"id\":4,\"presence\":{\"presence\":{\"x\":{\"client\":\"x\",\"user\":\"\\\"\"}}}}");
    expect("{\"id\":5,\"presence\":{\"presence\":{\"x\":{\"client\":\"x\",\"user\":\"\\\"\"}}}}");
}
END_TEST

START_TEST(a_list_that_would_close_the_client_is_an_error)
{
    done();
    struct hub_settings settings = world_settings();
    settings.queue_bytes = 400;
    world_open(&world, &settings);
    subscribed(0);
    ask(0, "presence");
    world_settle(&world);
    expect("\"presence\":{\"presence\":{\"");
    subscribed(1);
    ask(0, "presence");
    world_settle(&world);
    expect("\"code\":106,");
    ck_assert(!world.clients[0].has_been_closed);
}
END_TEST

START_TEST(a_broken_question_of_the_broker_is_counted)
{
    struct buffer frame = {0};
    uint8_t key[] = "L";
    bus_put_presence_ask(
        &frame, &(struct bus_presence_ask){.kind = BUS_PRESENCE, .address = span_of(key, 1)});
    for (size_t size = 0; size < frame.size; size++)
        hub_presence_ask(world.hub, span_of(frame.data, size), world.now_ms);
    frame.data[1 + 8] = BUS_HISTORY;
    hub_presence_ask(world.hub, buffer_span(&frame), world.now_ms);
    ck_assert_uint_eq(metrics()->publications_malformed_total, frame.size + 1);
    struct hub_effect effect;
    hub_take_effect(world.hub, &effect);
    ck_assert_int_eq(effect.kind, HUB_NOTHING);
    frame.data[1 + 8] = BUS_PRESENCE; /* an address that nobody can have: nobody is there */
    hub_presence_ask(world.hub, buffer_span(&frame), world.now_ms);
    hub_take_effect(world.hub, &effect);
    struct bus_presence_part part;
    ck_assert_int_eq(effect.kind, HUB_SEND);
    ck_assert(bus_get_presence_part(effect.bytes, &part));
    ck_assert_uint_eq(part.clients, 0);
    buffer_free(&frame);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("presence");
    TCase *tests = tcase_create("presence");
    tcase_add_checked_fixture(tests, setup, done);
    tcase_add_test(tests, the_list_has_the_ids_that_connect_gave);
    tcase_add_test(tests, anonymous_users_are_one_user);
    tcase_add_test(tests, who_does_not_subscribe_may_not_ask);
    tcase_add_test(tests, a_question_behind_its_subscribe_waits_for_it);
    tcase_add_test(tests, who_is_there_from_reply_to_leaving);
    tcase_add_test(tests, who_is_to_be_told_of_a_loss_is_still_there);
    tcase_add_test(tests, who_is_being_closed_is_not_there);
    tcase_add_test(tests, both_client_strings_of_an_address_count);
    tcase_add_test(tests, more_than_the_limit_is_said_and_not_cut);
    tcase_add_test(tests, what_the_broker_refuses_is_told_by_code);
    tcase_add_test(tests, without_an_answer_the_error_is_temporary);
    tcase_add_test(tests, waiting_questions_are_bounded);
    tcase_add_test(tests, one_list_answers_many_questions);
    tcase_add_test(tests, a_list_that_would_close_the_client_is_an_error);
    tcase_add_test(tests, a_broken_question_of_the_broker_is_counted);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
