#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "emulation_world.h"
#include "proto/status.h"
#include "unit.h"

/* Streams, and their commands: from a request to the gateway that has them, or by way of another
 * gateway that gets its answer. What goes wrong on that way is in test_emulation_relay.c. */

static struct emulation_stream first, second;
static struct emulation_request request, later;

static void setup(void)
{
    emulation_setup();
    first = second = (struct emulation_stream){0};
    request = later = (struct emulation_request){0};
}

/* The stream is at hub 1, its commands come to hub 0. */
static void setup_relayed(void)
{
    setup();
    stream_connect(&first, 1, 1);
}

static void teardown(void)
{
    stream_gone(&first);
    stream_gone(&second);
    emulation_teardown();
}

/* --- streams --- */

START_TEST(the_reply_to_connect_says_where_commands_go)
{
    stream_connect(&first, 0, 0xc7);
    ck_assert_str_eq(first.name, "c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7");
    ck_assert_str_eq(first.node, "fedcba9876543210");
    stream_connect(&second, 1, 0x00);
    ck_assert_str_eq(second.name, "00000000000000000000000000000000");
    ck_assert_str_eq(second.node, "00000000000000af");
}
END_TEST

START_TEST(a_client_with_a_websocket_has_no_secret)
{
    first.session = hub_session_opened(hubs[0], &first, now_ms);
    hub_session_frame(hubs[0], first.session, span_text("{\"id\":1,\"connect\":{}}"), now_ms);
    take_effects(0);
    buffer_put_byte(&first.heard, '\0');
    const char *reply = (const char *)first.heard.data;
    ck_assert_ptr_nonnull(strstr(reply, "\"connect\":{"));
    ck_assert_ptr_null(strstr(reply, "\"session\""));
    ck_assert_ptr_null(strstr(reply, "\"node\""));
    ck_assert_uint_eq(metrics_of(0)->connections, 1);
    ck_assert_uint_eq(metrics_of(0)->fallback_connections, 0);
}
END_TEST

START_TEST(the_secret_is_told_once)
{
    stream_connect(&first, 0, 1);
    hub_session_frame(hubs[0], first.session, span_text("{\"id\":2,\"refresh\":{}}"), now_ms);
    take_effects(0);
    buffer_put_byte(&first.heard, '\0');
    ck_assert_ptr_null(strstr((const char *)first.heard.data, first.name));
}
END_TEST

START_TEST(streams_are_counted)
{
    stream_connect(&first, 0, 1);
    stream_open(&second, 0, 2);
    ck_assert_uint_eq(metrics_of(0)->fallback_connections, 2);
    ck_assert_uint_eq(metrics_of(0)->connections, 2);
    stream_gone(&first);
    ck_assert_uint_eq(metrics_of(0)->fallback_connections, 1);
    ck_assert_uint_eq(metrics_of(1)->fallback_connections, 0);
}
END_TEST

START_TEST(two_streams_have_two_secrets)
{
    stream_connect(&first, 0, 1);
    stream_connect(&second, 0, 2);
    ck_assert_str_ne(first.name, second.name);
    ck_assert_str_eq(first.node, second.node);
    ck_assert_int_eq(emulate(&request, 0, &second, COMMAND(5)), HUB_EMULATED_DONE);
    expect_heard(&second, ANSWERED(5));
    expect_silence(&first);
}
END_TEST

START_TEST(a_secret_that_is_taken_is_refused)
{
    stream_connect(&first, 0, 1);
    stream_open(&second, 0, 1);
    ck_assert_ptr_null(second.session);
    ck_assert_uint_eq(hub_session_count(hubs[0]), 1);
    ck_assert_uint_eq(metrics_of(0)->fallback_connections, 1);
    ck_assert_int_eq(emulate(&request, 0, &first, COMMAND(5)), HUB_EMULATED_DONE);
    expect_heard(&first, ANSWERED(5));
    stream_gone(&first);
    stream_connect(&second, 0, 1); /* it is free again */
}
END_TEST

/* --- commands at the own gateway --- */

START_TEST(commands_reach_their_session)
{
    stream_connect(&first, 0, 1);
    ck_assert_int_eq(emulate(&request, 0, &first, COMMAND(2) "\n" COMMAND(3)), HUB_EMULATED_DONE);
    expect_heard(&first, ANSWERED(2));
    ck_assert_int_eq(emulate(&request, 0, &first, COMMAND(4)), HUB_EMULATED_DONE);
    expect_heard(&first, ANSWERED(4));
    expect_untold(&request);
    ck_assert_uint_eq(bus_waiting(), 0);
    ck_assert_uint_eq(metrics_of(0)->relays_total, 0);
}
END_TEST

START_TEST(commands_need_no_broker_at_the_own_gateway)
{
    stream_connect(&first, 0, 1);
    link_down(0);
    ck_assert_int_eq(emulate(&request, 0, &first, COMMAND(2)), HUB_EMULATED_DONE);
    expect_heard(&first, ANSWERED(2));
}
END_TEST

/* The first frame is the stream's own: a client that has none has no name for its commands. */
START_TEST(a_connect_may_come_as_commands)
{
    stream_open(&first, 0, 1);
    strcpy(first.name, "01010101010101010101010101010101");
    strcpy(first.node, "fedcba9876543210");
    ck_assert_int_eq(emulate(&request, 0, &first, "{\"id\":1,\"connect\":{}}"), HUB_EMULATED_DONE);
    expect_heard(&first, "\"session\":\"01010101010101010101010101010101\"");
}
END_TEST

/* Nobody was told of it here, and nobody elsewhere was asked. */
static void expect_nothing_done(void)
{
    expect_untold(&request);
    ck_assert_uint_eq(bus_waiting(), 0);
    ck_assert_uint_eq(metrics_of(0)->relays_total, 0);
    ck_assert_uint_eq(relays_failed(0), 0);
    ck_assert_uint_eq(relayed_bytes(0), 0);
}

static const char *const strangers[] = {
    "02020202020202020202020202020202", "0101010101010101010101010101010g",
    "ABABABABABABABABABABABABABABABAB", /* of the second stream, but not as it was told */
};

/* It may have been here: whether it was, nobody learns. */
START_TEST(commands_for_an_unknown_session_are_done_with)
{
    stream_connect(&first, 0, 1);
    stream_connect(&second, 0, 0xab);
    ck_assert_int_eq(emulate_for(&request, 0, strangers[_i], first.node, span_text(COMMAND(2))),
                     HUB_EMULATED_DONE);
    expect_silence(&first);
    expect_silence(&second);
    expect_nothing_done();
}
END_TEST

static const char *const no_names[] = {
    "",
    "0",
    "0101",
    "0101010101010101010101010101010",
    "010101010101010101010101010101011",
    "01010101010101010101010101010101 ",
    "0101010101010101010101010101010101010101010101010101010101010101",
};

/* Nothing is sent to another gateway that can only throw it away. */
START_TEST(a_malformed_session_is_unknown_and_goes_nowhere)
{
    static const char *const everywhere[] = {"fedcba9876543210", "00000000000000af",
                                             "0000000000000042"};
    stream_connect(&first, 0, 1);
    stream_connect(&second, 1, 1);
    for (size_t i = 0; i < sizeof everywhere / sizeof *everywhere; i++)
        ck_assert_int_eq(
            emulate_for(&request, 0, no_names[_i], everywhere[i], span_text(COMMAND(2))),
            HUB_EMULATED_UNKNOWN);
    expect_silence(&first);
    expect_silence(&second);
    expect_nothing_done();
}
END_TEST

static const char *const nodes[] = {
    "",
    "fedcba987654321",
    "fedcba98765432100",
    "0fedcba9876543210",
    "FEDCBA9876543210",
    "fedcba987654321g",
    "fedcba987654321/",
    "fedcba987654321:",
    "fedcba987654321`",
    " fedcba987654321",
    "0xfedcba98765432",
    "-000000000000001",
    "fedcba9876543210fedcba9876543210", /* the number in 64 bits */
};

START_TEST(a_malformed_node_is_unknown)
{
    stream_connect(&first, 0, 1);
    ck_assert_int_eq(emulate_for(&request, 0, first.name, nodes[_i], span_text(COMMAND(2))),
                     HUB_EMULATED_UNKNOWN);
    expect_silence(&first);
    expect_nothing_done();
}
END_TEST

START_TEST(commands_for_a_session_that_is_gone_are_done_with)
{
    stream_connect(&first, 0, 1);
    stream_connect(&second, 0, 2);
    struct emulation_stream gone = first;
    stream_gone(&first);
    ck_assert_int_eq(emulate(&request, 0, &gone, COMMAND(2)), HUB_EMULATED_DONE);
    ck_assert_int_eq(emulate(&request, 0, &gone, "{"), HUB_EMULATED_DONE);
    expect_silence(&second);
    expect_nothing_done();
    ck_assert_uint_eq(metrics_of(0)->fallback_connections, 1);
}
END_TEST

/* --- commands that end a session --- */

static void expect_closed(struct emulation_stream *stream, enum client_close code)
{
    ck_assert(stream->is_closed);
    ck_assert_int_eq(stream->code, code);
}

START_TEST(malformed_commands_close_the_session)
{
    stream_connect(&first, 0, 1);
    ck_assert_int_eq(emulate(&request, 0, &first, COMMAND(2) "\n{"), HUB_EMULATED_DONE);
    expect_heard(&first, ANSWERED(2)); /* what was in front of them counts */
    expect_closed(&first, CLIENT_CLOSE_BAD_REQUEST);
}
END_TEST

START_TEST(a_session_that_is_being_closed_takes_no_command)
{
    stream_connect(&first, 0, 1);
    ck_assert_int_eq(emulate(&request, 0, &first, "{}"), HUB_EMULATED_DONE); /* no ping came */
    expect_closed(&first, CLIENT_CLOSE_BAD_REQUEST);
    ck_assert_int_eq(emulate(&request, 0, &first, COMMAND(2)), HUB_EMULATED_DONE);
    ck_assert_uint_eq(first.heard.size, 0);
    struct emulation_stream gone = first;
    stream_gone(&first);
    ck_assert_int_eq(emulate(&request, 0, &gone, COMMAND(3)), HUB_EMULATED_DONE);
    expect_nothing_done();
}
END_TEST

START_TEST(malformed_commands_from_another_gateway_close_the_session)
{
    stream_connect(&first, 1, 1);
    relay(&request, 0, &first, "[]");
    bus_move();
    expect_closed(&first, CLIENT_CLOSE_BAD_REQUEST);
    ck_assert_uint_eq(bus_relayed_frame().status, STATUS_OK); /* the stream says what was wrong */
    bus_move();
    expect_told(&request, HUB_EMULATED_DONE);
}
END_TEST

START_TEST(a_second_connect_closes_the_session)
{
    stream_connect(&first, 0, 1);
    emulate(&request, 0, &first, "{\"id\":2,\"connect\":{}}");
    expect_closed(&first, CLIENT_CLOSE_BAD_REQUEST);
}
END_TEST

/* --- commands from other gateways --- */

START_TEST(what_another_gateway_relays_is_answered_at_once)
{
    stream_connect(&first, 1, 1);
    relay(&request, 0, &first, COMMAND(2));
    struct bus_relay frame = bus_relay_frame();
    ck_assert_uint_eq(frame.gateway, incarnations[1]);
    assert_text(frame.session, first.name);
    assert_text(frame.commands, COMMAND(2));
    uint64_t token = frame.token;
    bus_move();
    expect_heard(&first, ANSWERED(2));
    struct bus_relayed answer = bus_relayed_frame();
    ck_assert_uint_eq(answer.gateway, incarnations[0]);
    ck_assert_uint_eq(answer.token, token);
    ck_assert_uint_eq(answer.status, STATUS_OK);
    ck_assert_uint_eq(metrics_of(1)->relays_received_total, 1);
    bus_move();
    expect_told(&request, HUB_EMULATED_DONE);
}
END_TEST

/* The relaying gateway knows only the form of a name: any bytes may come. */
START_TEST(a_relay_for_a_session_that_is_not_here_is_done_with)
{
    static const struct span names[] = {
        {(const uint8_t *)"", 0},
        {(const uint8_t *)"0202020202020202020202020202020202", 32},
        {(const uint8_t *)"01010101010101010101010101010101", 31},
        {(const uint8_t *)"01010101010101010101010101010101", 33},
        {(const uint8_t *)"\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1", 16},
    };
    struct buffer frame = {0};
    stream_connect(&first, 1, 1);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        buffer_reset(&frame);
        bus_put_relay(&frame, &(struct bus_relay){.gateway = 42,
                                                  .token = 1000 + i,
                                                  .session = names[i],
                                                  .commands = span_text(COMMAND(2))});
        hub_relay(hubs[1], buffer_span(&frame), now_ms);
        take_effects(1);
        struct bus_relayed answer = bus_relayed_frame();
        ck_assert_uint_eq(answer.status, STATUS_OK);
        ck_assert_uint_eq(answer.gateway, 42);
        ck_assert_uint_eq(answer.token, 1000 + i);
        bus_lose();
    }
    expect_silence(&first);
    ck_assert_uint_eq(bus_waiting(), 0);
    ck_assert_uint_eq(metrics_of(1)->relays_received_total, sizeof names / sizeof *names);
    ck_assert_uint_eq(metrics_of(1)->publications_malformed_total, 0);
    buffer_free(&frame);
}
END_TEST

START_TEST(a_malformed_relay_is_counted_and_dropped)
{
    struct buffer frame = {0};
    bus_put_relay(&frame,
                  &(struct bus_relay){.gateway = 42, .token = 7, .session = span_text("abc")});
    for (size_t size = 0; size < frame.size; size++) {
        struct span copy = exact_copy(span_of(frame.data, size));
        hub_relay(hubs[1], copy, now_ms);
        free_copy(copy);
    }
    take_effects(1);
    ck_assert_uint_eq(bus_waiting(), 0);
    ck_assert_uint_eq(metrics_of(1)->publications_malformed_total, frame.size);
    ck_assert_uint_eq(metrics_of(1)->relays_received_total, 0);
    buffer_free(&frame);
}
END_TEST

START_TEST(a_malformed_answer_is_counted_and_dropped)
{
    struct buffer frame = {0};
    stream_connect(&first, 1, 1);
    relay(&request, 0, &first, COMMAND(2));
    bus_put_relayed(&frame, &(struct bus_relayed){.token = bus_relay_frame().token});
    for (size_t size = 0; size < frame.size; size++) {
        struct span copy = exact_copy(span_of(frame.data, size));
        hub_relayed(hubs[0], copy, now_ms);
        free_copy(copy);
    }
    take_effects(0);
    expect_untold(&request);
    ck_assert_uint_eq(metrics_of(0)->publications_malformed_total, frame.size);
    hub_relayed(hubs[0], buffer_span(&frame), now_ms);
    take_effects(0);
    expect_told(&request, HUB_EMULATED_DONE);
    buffer_free(&frame);
}
END_TEST

/* --- commands by way of another gateway --- */

START_TEST(commands_find_their_stream_by_way_of_any_gateway)
{
    relay(&request, 0, &first, COMMAND(2));
    ck_assert_uint_eq(relayed_bytes(0), EMULATION_COST + strlen(COMMAND(2)));
    bus_move();
    expect_heard(&first, ANSWERED(2));
    expect_untold(&request);
    bus_move();
    expect_told(&request, HUB_EMULATED_DONE);
    ck_assert_uint_eq(relayed_bytes(0), 0);
    ck_assert_uint_eq(metrics_of(0)->relays_total, 1);
    ck_assert_uint_eq(relays_failed(0), 0);
}
END_TEST

/* The first token of every gateway is the same. */
START_TEST(two_gateways_relay_to_a_third_at_once)
{
    relay(&request, 0, &first, COMMAND(2));
    relay(&later, 2, &first, COMMAND(3));
    bus_move_all();
    expect_heard(&first, ANSWERED(3));
    expect_told(&request, HUB_EMULATED_DONE);
    expect_told(&later, HUB_EMULATED_DONE);
}
END_TEST

START_TEST(two_gateways_relay_to_each_other)
{
    stream_connect(&second, 0, 1); /* the same secret elsewhere is another session */
    relay(&request, 0, &first, COMMAND(2));
    relay(&later, 1, &second, COMMAND(3));
    bus_move_all();
    expect_heard(&first, ANSWERED(2));
    expect_heard(&second, ANSWERED(3));
    expect_told(&request, HUB_EMULATED_DONE);
    expect_told(&later, HUB_EMULATED_DONE);
}
END_TEST

START_TEST(each_request_gets_its_own_answer)
{
    if (_i)
        link_down(0);
    relay(&request, 0, &first, COMMAND(2));
    relay(&later, 0, &first, COMMAND(3));
    link_up(0); /* they were held */
    uint64_t token = bus_relay_frame().token;
    bus_lose();
    uint64_t last = bus_relay_frame().token;
    ck_assert_uint_ne(token, last);
    answer_relay(0, last, STATUS_NOT_FOUND);
    expect_told(&later, HUB_EMULATED_UNKNOWN);
    expect_untold(&request);
    answer_relay(0, token, STATUS_OK);
    expect_told(&request, HUB_EMULATED_DONE);
}
END_TEST

/* Nothing is broken: the stream has told its client why it ended. */
START_TEST(the_other_gateway_has_the_session_no_more)
{
    struct emulation_stream gone = first;
    stream_gone(&first);
    relay(&request, 0, &gone, COMMAND(2));
    bus_move_all();
    expect_told(&request, HUB_EMULATED_DONE);
    ck_assert_uint_eq(relays_failed(0), 0);
    ck_assert_uint_eq(relayed_bytes(0), 0);
    ck_assert_uint_eq(metrics_of(1)->relays_received_total, 1);
}
END_TEST

START_TEST(nobody_knows_the_other_gateway)
{
    if (_i)
        link_down(0);
    ck_assert_int_eq(
        emulate_for(&request, 0, first.name, "0000000000000042", span_text(COMMAND(2))),
        HUB_EMULATED_LATER);
    link_up(0); /* they were held */
    ck_assert_uint_eq(bus_relay_frame().gateway, 0x42);
    bus_move();
    expect_told(&request, HUB_EMULATED_UNKNOWN);
    expect_silence(&first);
}
END_TEST

START_TEST(a_second_answer_is_ignored)
{
    relay(&request, 0, &first, COMMAND(2));
    uint64_t token = bus_relay_frame().token;
    bus_move_all();
    answer_relay(0, token, STATUS_OK);
    answer_relay(0, token, STATUS_NOT_FOUND);
    answer_relay(0, 0, STATUS_OK);
    answer_relay(0, UINT64_MAX, STATUS_OK);
    expect_told(&request, HUB_EMULATED_DONE);
    ck_assert_uint_eq(relayed_bytes(0), 0);
}
END_TEST

/* --- tokens of other questions --- */

START_TEST(an_answer_to_a_relay_answers_no_other_question)
{
    stream_connect(&second, 0, 9);
    uint64_t token = ask_to_subscribe(&second);
    answer_relay(0, token, STATUS_OK);
    answer_relay(0, token, STATUS_NOT_FOUND);
    expect_silence(&second);
    answer_question(0, token);
    expect_heard(&second, "{\"id\":8,\"subscribe\":{");
}
END_TEST

START_TEST(an_answer_to_a_question_answers_no_relay)
{
    relay(&request, 0, &first, COMMAND(2));
    answer_question(0, bus_relay_frame().token);
    expect_untold(&request);
    ck_assert_uint_gt(relayed_bytes(0), 0);
    bus_move_all();
    expect_told(&request, HUB_EMULATED_DONE);
}
END_TEST

static TCase *here(void)
{
    TCase *tests = tcase_create("here");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, the_reply_to_connect_says_where_commands_go);
    tcase_add_test(tests, a_client_with_a_websocket_has_no_secret);
    tcase_add_test(tests, the_secret_is_told_once);
    tcase_add_test(tests, streams_are_counted);
    tcase_add_test(tests, two_streams_have_two_secrets);
    tcase_add_test(tests, a_secret_that_is_taken_is_refused);
    tcase_add_test(tests, commands_reach_their_session);
    tcase_add_test(tests, commands_need_no_broker_at_the_own_gateway);
    tcase_add_test(tests, a_connect_may_come_as_commands);
    tcase_add_loop_test(tests, commands_for_an_unknown_session_are_done_with, 0,
                        sizeof strangers / sizeof *strangers);
    tcase_add_loop_test(tests, a_malformed_session_is_unknown_and_goes_nowhere, 0,
                        sizeof no_names / sizeof *no_names);
    tcase_add_loop_test(tests, a_malformed_node_is_unknown, 0, sizeof nodes / sizeof *nodes);
    tcase_add_test(tests, commands_for_a_session_that_is_gone_are_done_with);
    tcase_add_test(tests, malformed_commands_close_the_session);
    tcase_add_test(tests, a_session_that_is_being_closed_takes_no_command);
    tcase_add_test(tests, malformed_commands_from_another_gateway_close_the_session);
    tcase_add_test(tests, a_second_connect_closes_the_session);
    tcase_add_test(tests, what_another_gateway_relays_is_answered_at_once);
    tcase_add_test(tests, a_relay_for_a_session_that_is_not_here_is_done_with);
    tcase_add_test(tests, a_malformed_relay_is_counted_and_dropped);
    tcase_add_test(tests, a_malformed_answer_is_counted_and_dropped);
    return tests;
}

static TCase *relayed(void)
{
    TCase *tests = tcase_create("relayed");
    tcase_add_checked_fixture(tests, setup_relayed, teardown);
    tcase_add_test(tests, commands_find_their_stream_by_way_of_any_gateway);
    tcase_add_test(tests, two_gateways_relay_to_a_third_at_once);
    tcase_add_test(tests, two_gateways_relay_to_each_other);
    tcase_add_loop_test(tests, each_request_gets_its_own_answer, 0, 2);
    tcase_add_test(tests, the_other_gateway_has_the_session_no_more);
    tcase_add_loop_test(tests, nobody_knows_the_other_gateway, 0, 2);
    tcase_add_test(tests, a_second_answer_is_ignored);
    tcase_add_test(tests, an_answer_to_a_relay_answers_no_other_question);
    tcase_add_test(tests, an_answer_to_a_question_answers_no_relay);
    return tests;
}

int main(void)
{
    Suite *suite = suite_create("emulation");
    suite_add_tcase(suite, here());
    suite_add_tcase(suite, relayed());
    return unit_run(suite);
}
