#include <string.h>

#include "bytes.h"
#include "emulation_world.h"
#include "proto/status.h"
#include "unit.h"

/* What becomes of commands that were given to another gateway: answered, refused, late, lost, or
 * nobody wants to know. The stream is at hub 1, its commands come to hub 0. */

static struct emulation_stream stream, other;
static struct emulation_request request, later;

static void setup(void)
{
    emulation_setup();
    stream = other = (struct emulation_stream){0};
    request = later = (struct emulation_request){0};
    stream_connect(&stream, 1, 1);
}

static void teardown(void)
{
    stream_gone(&stream);
    stream_gone(&other);
    emulation_teardown();
}

static void relay_one(void)
{
    relay(&request, 0, &stream, COMMAND(2));
}

static uint64_t relayed_bytes(void)
{
    return metrics_of(0)->relay_bytes;
}

static uint64_t failed(void)
{
    return metrics_of(0)->relays_failed_total;
}

/* --- answered --- */

START_TEST(commands_find_their_stream_by_way_of_any_gateway)
{
    relay_one();
    ck_assert_uint_eq(relayed_bytes(), strlen(COMMAND(2)));
    bus_move();
    expect_heard(&stream, ANSWERED(2));
    expect_untold(&request);
    bus_move();
    expect_told(&request, HUB_EMULATED_DONE);
    ck_assert_uint_eq(relayed_bytes(), 0);
    ck_assert_uint_eq(metrics_of(0)->relays_total, 1);
    ck_assert_uint_eq(failed(), 0);
}
END_TEST

/* The first token of every gateway is the same. */
START_TEST(two_gateways_relay_to_a_third_at_once)
{
    relay(&request, 0, &stream, COMMAND(2));
    relay(&later, 2, &stream, COMMAND(3));
    bus_move_all();
    expect_heard(&stream, ANSWERED(3));
    expect_told(&request, HUB_EMULATED_DONE);
    expect_told(&later, HUB_EMULATED_DONE);
}
END_TEST

START_TEST(two_gateways_relay_to_each_other)
{
    stream_connect(&other, 0, 1); /* the same secret elsewhere is another session */
    relay(&request, 0, &stream, COMMAND(2));
    relay(&later, 1, &other, COMMAND(3));
    bus_move_all();
    expect_heard(&stream, ANSWERED(2));
    expect_heard(&other, ANSWERED(3));
    expect_told(&request, HUB_EMULATED_DONE);
    expect_told(&later, HUB_EMULATED_DONE);
}
END_TEST

START_TEST(each_request_gets_its_own_answer)
{
    relay_one();
    relay(&later, 0, &stream, COMMAND(3));
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

START_TEST(the_other_gateway_does_not_know_the_session)
{
    struct emulation_stream gone = stream;
    stream_gone(&stream);
    relay(&request, 0, &gone, COMMAND(2));
    bus_move_all();
    expect_told(&request, HUB_EMULATED_UNKNOWN);
    ck_assert_uint_eq(failed(), 0); /* the client connects again, nothing is broken */
    ck_assert_uint_eq(metrics_of(1)->relays_received_total, 1);
}
END_TEST

START_TEST(nobody_knows_the_other_gateway)
{
    ck_assert_int_eq(
        emulate_for(&request, 0, stream.name, "0000000000000042", span_text(COMMAND(2))),
        HUB_EMULATED_LATER);
    ck_assert_uint_eq(bus_relay_frame().gateway, 0x42);
    bus_move();
    expect_told(&request, HUB_EMULATED_UNKNOWN);
    expect_silence(&stream);
}
END_TEST

START_TEST(the_broker_could_not_pass_them_on)
{
    static const uint16_t statuses[] = {STATUS_UNAVAILABLE, STATUS_BAD_INPUT, 65535};
    relay_one();
    answer_relay(0, bus_relay_frame().token, statuses[_i]);
    expect_told(&request, HUB_EMULATED_UNAVAILABLE);
    ck_assert_uint_eq(failed(), 1);
    ck_assert_uint_eq(relayed_bytes(), 0);
}
END_TEST

START_TEST(a_second_answer_is_ignored)
{
    relay_one();
    uint64_t token = bus_relay_frame().token;
    bus_move_all();
    answer_relay(0, token, STATUS_OK);
    answer_relay(0, token, STATUS_NOT_FOUND);
    answer_relay(0, 0, STATUS_OK);
    answer_relay(0, UINT64_MAX, STATUS_OK);
    expect_told(&request, HUB_EMULATED_DONE);
    ck_assert_uint_eq(relayed_bytes(), 0);
}
END_TEST

/* --- the link --- */

START_TEST(without_a_link_nothing_is_relayed)
{
    link_down(0);
    ck_assert_int_eq(emulate(&request, 0, &stream, COMMAND(2)), HUB_EMULATED_UNAVAILABLE);
    ck_assert_uint_eq(bus_waiting(), 0);
    ck_assert_uint_eq(relayed_bytes(), 0);
    ck_assert_uint_eq(failed(), 1);
    ck_assert_uint_eq(metrics_of(0)->relays_total, 0);
    link_up(0);
    relay_one();
}
END_TEST

START_TEST(a_link_that_breaks_decides_what_waits)
{
    relay_one();
    relay(&later, 0, &stream, COMMAND(3));
    uint64_t token = bus_relay_frame().token;
    link_down(0);
    expect_told(&request, HUB_EMULATED_UNAVAILABLE);
    expect_told(&later, HUB_EMULATED_UNAVAILABLE);
    ck_assert_uint_eq(relayed_bytes(), 0);
    ck_assert_uint_eq(failed(), 2);
    link_up(0);
    answer_relay(0, token, STATUS_OK);
    expect_told(&request, HUB_EMULATED_UNAVAILABLE);
}
END_TEST

START_TEST(a_link_that_breaks_ends_the_wait_for_late_answers)
{
    relay_one();
    advance(EMULATION_REPLY_MS);
    ck_assert_uint_gt(relayed_bytes(), 0);
    link_down(0);
    ck_assert_uint_eq(relayed_bytes(), 0);
    ck_assert_uint_eq(failed(), 1);
    expect_told(&request, HUB_EMULATED_UNAVAILABLE);
}
END_TEST

/* The same turn: decided by time, then by the link, then told. */
START_TEST(a_link_that_breaks_before_lateness_is_told)
{
    relay_one();
    now_ms += EMULATION_REPLY_MS;
    hub_tick(hubs[0], now_ms);
    hub_broker_down(hubs[0], now_ms);
    ck_assert_uint_eq(relayed_bytes(), 0);
    expect_untold(&request);
    take_effects(0);
    expect_told(&request, HUB_EMULATED_UNAVAILABLE);
    ck_assert_uint_eq(failed(), 1);
}
END_TEST

/* --- late --- */

START_TEST(what_is_not_answered_in_time_is_unavailable)
{
    relay_one();
    ck_assert_int_eq(hub_wait(hubs[0], now_ms), EMULATION_REPLY_MS);
    advance(EMULATION_REPLY_MS - 1);
    expect_untold(&request);
    ck_assert_int_eq(hub_wait(hubs[0], now_ms), 1);
    advance(1);
    expect_told(&request, HUB_EMULATED_UNAVAILABLE);
    ck_assert_uint_eq(failed(), 1);
    ck_assert_uint_eq(metrics_of(0)->relays_total, 1);
}
END_TEST

START_TEST(each_request_has_its_own_time)
{
    relay_one();
    advance(300);
    relay(&later, 0, &stream, COMMAND(3));
    ck_assert_int_eq(hub_wait(hubs[0], now_ms), EMULATION_REPLY_MS - 300);
    advance(EMULATION_REPLY_MS - 300);
    expect_told(&request, HUB_EMULATED_UNAVAILABLE);
    expect_untold(&later);
    advance(300);
    expect_told(&later, HUB_EMULATED_UNAVAILABLE);
}
END_TEST

/* It may still be on its way, and fill the link. */
START_TEST(bytes_count_until_a_late_answer)
{
    relay_one();
    advance(EMULATION_REPLY_MS);
    expect_told(&request, HUB_EMULATED_UNAVAILABLE);
    ck_assert_uint_eq(relayed_bytes(), strlen(COMMAND(2)));
    bus_move_all();
    expect_heard(&stream, ANSWERED(2));
    ck_assert_uint_eq(relayed_bytes(), 0);
    expect_told(&request, HUB_EMULATED_UNAVAILABLE);
    ck_assert_uint_eq(failed(), 1);
}
END_TEST

/* Woken only when the hub asks for it. */
static void advance_as_wanted(int64_t ms)
{
    for (int64_t end = now_ms + ms; now_ms < end;) {
        int64_t wait = hub_wait(hubs[0], now_ms);
        ck_assert_int_gt(wait, 0);
        advance(wait < end - now_ms ? wait : end - now_ms);
    }
}

START_TEST(bytes_of_a_lost_relay_count_for_thirty_seconds)
{
    relay_one();
    bus_lose();
    advance_as_wanted(29999);
    ck_assert_uint_eq(relayed_bytes(), strlen(COMMAND(2)));
    ck_assert_int_eq(hub_wait(hubs[0], now_ms), 1);
    advance(1);
    ck_assert_uint_eq(relayed_bytes(), 0);
    expect_told(&request, HUB_EMULATED_UNAVAILABLE);
}
END_TEST

/* An answer that comes between the decision and its telling frees the bytes, and changes nothing.
 */
START_TEST(an_answer_before_lateness_is_told)
{
    relay_one();
    uint64_t token = bus_relay_frame().token;
    now_ms += EMULATION_REPLY_MS;
    hub_tick(hubs[0], now_ms);
    answer_relay(0, token, STATUS_OK);
    expect_told(&request, HUB_EMULATED_UNAVAILABLE);
    ck_assert_uint_eq(relayed_bytes(), 0);
}
END_TEST

/* --- how much is on its way --- */

static enum hub_emulated emulate_size(struct emulation_request *to, size_t size)
{
    uint8_t frame[EMULATION_BYTES + 1];
    memset(frame, ' ', sizeof frame);
    return emulate_for(to, 0, stream.name, stream.node, span_of(frame, size));
}

START_TEST(the_bytes_on_their_way_are_bounded)
{
    ck_assert_int_eq(emulate_size(&request, EMULATION_BYTES - 50), HUB_EMULATED_LATER);
    ck_assert_int_eq(emulate_size(&later, 51), HUB_EMULATED_UNAVAILABLE);
    ck_assert_uint_eq(failed(), 1);
    ck_assert_int_eq(emulate_size(&later, 50), HUB_EMULATED_LATER);
    ck_assert_uint_eq(relayed_bytes(), EMULATION_BYTES);
    struct emulation_request refused;
    ck_assert_int_eq(emulate_size(&refused, 1), HUB_EMULATED_UNAVAILABLE);
    ck_assert_uint_eq(bus_waiting(), 2);
    bus_move_all();
    ck_assert_uint_eq(relayed_bytes(), 0);
    ck_assert_int_eq(emulate_size(&refused, EMULATION_BYTES), HUB_EMULATED_LATER);
}
END_TEST

START_TEST(what_is_larger_than_the_bound_never_goes)
{
    ck_assert_int_eq(emulate_size(&request, EMULATION_BYTES + 1), HUB_EMULATED_UNAVAILABLE);
    ck_assert_uint_eq(bus_waiting(), 0);
    ck_assert_uint_eq(relayed_bytes(), 0);
    ck_assert_int_eq(emulate_size(&request, EMULATION_BYTES), HUB_EMULATED_LATER);
}
END_TEST

START_TEST(late_bytes_leave_less_room)
{
    ck_assert_int_eq(emulate_size(&request, EMULATION_BYTES), HUB_EMULATED_LATER);
    advance(EMULATION_REPLY_MS);
    ck_assert_int_eq(emulate_size(&later, 1), HUB_EMULATED_UNAVAILABLE);
    link_down(0);
    link_up(0);
    ck_assert_int_eq(emulate_size(&later, EMULATION_BYTES), HUB_EMULATED_LATER);
}
END_TEST

/* --- nobody wants to know --- */

static void abandon(struct emulation_request *from)
{
    hub_relay_abandon(hubs[0], &from->relay);
    ck_assert_ptr_null(from->relay);
    hub_relay_abandon(hubs[0], &from->relay); /* safe on NULL */
}

START_TEST(abandoned_while_it_waits_and_answered)
{
    relay_one();
    abandon(&request);
    ck_assert_uint_gt(relayed_bytes(), 0);
    bus_move_all();
    expect_heard(&stream, ANSWERED(2));
    expect_untold(&request);
    ck_assert_uint_eq(relayed_bytes(), 0);
}
END_TEST

START_TEST(abandoned_while_it_waits_and_never_answered)
{
    relay_one();
    uint64_t token = bus_relay_frame().token;
    abandon(&request);
    advance(EMULATION_REPLY_MS);
    expect_untold(&request);
    ck_assert_uint_gt(relayed_bytes(), 0);
    advance(30000 - EMULATION_REPLY_MS);
    ck_assert_uint_eq(relayed_bytes(), 0);
    answer_relay(0, token, STATUS_OK);
    expect_untold(&request);
}
END_TEST

START_TEST(abandoned_while_it_waits_and_answered_late)
{
    relay_one();
    abandon(&request);
    advance(EMULATION_REPLY_MS);
    bus_move_all();
    expect_untold(&request);
    ck_assert_uint_eq(relayed_bytes(), 0);
}
END_TEST

START_TEST(abandoned_while_it_waits_and_the_link_breaks)
{
    relay_one();
    relay(&later, 0, &stream, COMMAND(3));
    abandon(&request);
    link_down(0);
    expect_untold(&request);
    expect_told(&later, HUB_EMULATED_UNAVAILABLE);
    ck_assert_uint_eq(relayed_bytes(), 0);
}
END_TEST

START_TEST(abandoned_when_it_was_answered_and_not_told)
{
    struct buffer frame = {0};
    relay_one();
    bus_put_relayed(&frame, &(struct bus_relayed){.token = bus_relay_frame().token});
    hub_relayed(hubs[0], buffer_span(&frame), now_ms);
    buffer_free(&frame);
    abandon(&request);
    take_effects(0);
    expect_untold(&request);
    ck_assert_uint_eq(relayed_bytes(), 0);
}
END_TEST

START_TEST(abandoned_when_it_was_late_and_not_told)
{
    relay_one();
    now_ms += EMULATION_REPLY_MS;
    hub_tick(hubs[0], now_ms);
    abandon(&request);
    take_effects(0);
    expect_untold(&request);
    ck_assert_uint_gt(relayed_bytes(), 0);
    bus_move_all();
    expect_untold(&request);
    ck_assert_uint_eq(relayed_bytes(), 0);
}
END_TEST

START_TEST(abandoned_between_others)
{
    struct emulation_request third;
    relay_one();
    relay(&later, 0, &stream, COMMAND(3));
    relay(&third, 0, &stream, COMMAND(4));
    abandon(&later);
    bus_move_all();
    expect_told(&request, HUB_EMULATED_DONE);
    expect_told(&third, HUB_EMULATED_DONE);
    expect_untold(&later);
}
END_TEST

/* With a relay in each state, the address sanitizer sees what is left. */
START_TEST(a_hub_ends_with_relays_under_way)
{
    relay_one();
    advance(EMULATION_REPLY_MS); /* late */
    relay(&later, 0, &stream, COMMAND(3));
    now_ms += EMULATION_REPLY_MS;
    hub_tick(hubs[0], now_ms); /* not told */
    struct emulation_request third;
    ck_assert_int_eq(emulate_size(&third, 1), HUB_EMULATED_LATER);
    abandon(&third);
    hub_destroy(&hubs[0]);
    ck_assert_ptr_null(hubs[0]);
}
END_TEST

/* --- tokens of other questions --- */

/* Subscribes at hub 0 as far as the question to the broker, and returns its token. */
static uint64_t ask_to_subscribe(void)
{
    stream_connect(&other, 0, 9);
    ck_assert_int_eq(emulate(&later, 0, &other, "{\"id\":8,\"subscribe\":{\"channel\":\"c\"}}"),
                     HUB_EMULATED_DONE);
    ck_assert_int_eq(bus_last_topic().data[0], BUS_TOPIC_FENCE);
    struct span fence = exact_copy(bus_last_topic());
    hub_publication(hubs[0], fence, now_ms);
    take_effects(0);
    free_copy(fence);
    struct bus_ask ask;
    struct bus_question question;
    ck_assert(bus_get_ask(bus_last_ask(), &ask));
    while (ask.items.size > 0) {
        ck_assert(bus_next_question(&ask.items, &question));
        if (question.kind == BUS_SUBSCRIBE)
            return question.token;
    }
    ck_abort_msg("no question");
    return 0;
}

static void answer_question(uint64_t token)
{
    struct buffer items = {0}, frame = {0};
    bus_put_reply(&items, &(struct bus_reply){.token = token, .epoch = 5, .offset = 0});
    bus_put_answer(&frame, &(struct bus_answer){.count = 1, .items = buffer_span(&items)});
    hub_answer(hubs[0], buffer_span(&frame), now_ms);
    take_effects(0);
    buffer_free(&items);
    buffer_free(&frame);
}

START_TEST(an_answer_to_a_relay_answers_no_other_question)
{
    uint64_t token = ask_to_subscribe();
    answer_relay(0, token, STATUS_OK);
    answer_relay(0, token, STATUS_NOT_FOUND);
    expect_silence(&other);
    answer_question(token);
    expect_heard(&other, "{\"id\":8,\"subscribe\":{");
}
END_TEST

START_TEST(an_answer_to_a_question_answers_no_relay)
{
    relay_one();
    answer_question(bus_relay_frame().token);
    expect_untold(&request);
    ck_assert_uint_gt(relayed_bytes(), 0);
    bus_move_all();
    expect_told(&request, HUB_EMULATED_DONE);
}
END_TEST

static TCase *answered(void)
{
    TCase *tests = tcase_create("answered");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, commands_find_their_stream_by_way_of_any_gateway);
    tcase_add_test(tests, two_gateways_relay_to_a_third_at_once);
    tcase_add_test(tests, two_gateways_relay_to_each_other);
    tcase_add_test(tests, each_request_gets_its_own_answer);
    tcase_add_test(tests, the_other_gateway_does_not_know_the_session);
    tcase_add_test(tests, nobody_knows_the_other_gateway);
    tcase_add_loop_test(tests, the_broker_could_not_pass_them_on, 0, 3);
    tcase_add_test(tests, a_second_answer_is_ignored);
    tcase_add_test(tests, an_answer_to_a_relay_answers_no_other_question);
    tcase_add_test(tests, an_answer_to_a_question_answers_no_relay);
    return tests;
}

static TCase *unanswered(void)
{
    TCase *tests = tcase_create("unanswered");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, without_a_link_nothing_is_relayed);
    tcase_add_test(tests, a_link_that_breaks_decides_what_waits);
    tcase_add_test(tests, a_link_that_breaks_ends_the_wait_for_late_answers);
    tcase_add_test(tests, a_link_that_breaks_before_lateness_is_told);
    tcase_add_test(tests, what_is_not_answered_in_time_is_unavailable);
    tcase_add_test(tests, each_request_has_its_own_time);
    tcase_add_test(tests, bytes_count_until_a_late_answer);
    tcase_add_test(tests, bytes_of_a_lost_relay_count_for_thirty_seconds);
    tcase_add_test(tests, an_answer_before_lateness_is_told);
    tcase_add_test(tests, the_bytes_on_their_way_are_bounded);
    tcase_add_test(tests, what_is_larger_than_the_bound_never_goes);
    tcase_add_test(tests, late_bytes_leave_less_room);
    return tests;
}

static TCase *abandoned(void)
{
    TCase *tests = tcase_create("abandoned");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, abandoned_while_it_waits_and_answered);
    tcase_add_test(tests, abandoned_while_it_waits_and_never_answered);
    tcase_add_test(tests, abandoned_while_it_waits_and_answered_late);
    tcase_add_test(tests, abandoned_while_it_waits_and_the_link_breaks);
    tcase_add_test(tests, abandoned_when_it_was_answered_and_not_told);
    tcase_add_test(tests, abandoned_when_it_was_late_and_not_told);
    tcase_add_test(tests, abandoned_between_others);
    tcase_add_test(tests, a_hub_ends_with_relays_under_way);
    return tests;
}

int main(void)
{
    Suite *suite = suite_create("emulation_relay");
    suite_add_tcase(suite, answered());
    suite_add_tcase(suite, unanswered());
    suite_add_tcase(suite, abandoned());
    return unit_run(suite);
}
