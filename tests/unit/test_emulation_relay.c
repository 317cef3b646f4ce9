#include <string.h>

#include "emulation_world.h"
#include "proto/status.h"
#include "unit.h"

/* What becomes of commands for another gateway when not all goes well: held without a link, late,
 * lost, too many, or nobody wants to know. The stream is at hub 1, its commands come to hub 0. */

#define COST(id) (EMULATION_COST + strlen(COMMAND(id)))

static struct emulation_stream stream;
static struct emulation_request request, later, third;

static void setup(void)
{
    emulation_setup();
    stream = (struct emulation_stream){0};
    request = later = third = (struct emulation_request){0};
    stream_connect(&stream, 1, 1);
}

static void teardown(void)
{
    stream_gone(&stream);
    emulation_teardown();
}

static void relay_one(void)
{
    relay(&request, 0, &stream, COMMAND(2));
}

/* --- without a link --- */

START_TEST(held_relays_go_out_in_order_when_the_link_is_back)
{
    struct emulation_request last;
    link_down(0);
    relay_one();
    ck_assert_int_eq(hub_wait(hubs[0], now_ms), EMULATION_REPLY_MS);
    relay(&later, 0, &stream, COMMAND(3));
    advance(EMULATION_REPLY_MS - 1);
    relay(&third, 0, &stream, COMMAND(4));
    ck_assert_uint_eq(bus_waiting(), 0);
    ck_assert_uint_eq(relayed_bytes(0), COST(2) + COST(3) + COST(4));
    ck_assert_uint_eq(metrics_of(0)->relays_total, 3);
    link_up(0);
    relay(&last, 0, &stream, COMMAND(5));
    ck_assert_uint_eq(bus_waiting(), 4);
    expect_relay(&stream, COMMAND(2));
    expect_heard(&stream, ANSWERED(2));
    expect_relay(&stream, COMMAND(3));
    expect_heard(&stream, ANSWERED(3));
    expect_relay(&stream, COMMAND(4));
    expect_heard(&stream, ANSWERED(4));
    expect_relay(&stream, COMMAND(5));
    bus_move_all();
    expect_told(&request, HUB_EMULATED_DONE);
    expect_told(&later, HUB_EMULATED_DONE);
    expect_told(&third, HUB_EMULATED_DONE);
    expect_told(&last, HUB_EMULATED_DONE);
    ck_assert_uint_eq(relayed_bytes(0), 0);
    ck_assert_uint_eq(relays_failed(0), 0);
    ck_assert_uint_eq(metrics_of(0)->relays_total, 4);
}
END_TEST

START_TEST(a_held_relay_is_sent_once)
{
    link_down(0);
    relay_one();
    link_up(0);
    link_up(0);
    hub_broker_up(hubs[0], EMULATION_BROKER + 1, 0, now_ms); /* another one, without a break */
    take_effects(0);
    link_down(0);
    link_up(0);
    ck_assert_uint_eq(bus_waiting(), 1);
}
END_TEST

START_TEST(a_relay_that_was_held_too_long_is_not_sent)
{
    link_down(0);
    relay_one();
    advance(EMULATION_REPLY_MS - 1);
    relay(&later, 0, &stream, COMMAND(3));
    expect_untold(&request);
    ck_assert_int_eq(hub_wait(hubs[0], now_ms), 1);
    advance(1);
    expect_told(&request, HUB_EMULATED_UNAVAILABLE);
    expect_untold(&later);
    ck_assert_uint_eq(relayed_bytes(0), COST(3));
    ck_assert_uint_eq(relays_failed(0), 1);
    link_up(0);
    ck_assert_uint_eq(bus_waiting(), 1); /* the other one */
    expect_relay(&stream, COMMAND(3));
    bus_move_all();
    expect_told(&later, HUB_EMULATED_DONE);
    expect_told(&request, HUB_EMULATED_UNAVAILABLE);
    expect_heard(&stream, ANSWERED(3));
    ck_assert_uint_eq(relays_failed(0), 1);
}
END_TEST

/* The same turn: decided by time, then the broker comes, then told. */
START_TEST(a_link_that_comes_before_lateness_is_told)
{
    link_down(0);
    relay_one();
    now_ms += EMULATION_REPLY_MS;
    hub_tick(hubs[0], now_ms);
    hub_broker_up(hubs[0], EMULATION_BROKER, 0, now_ms);
    expect_untold(&request);
    take_effects(0);
    expect_told(&request, HUB_EMULATED_UNAVAILABLE);
    ck_assert_uint_eq(bus_waiting(), 0);
    ck_assert_uint_eq(relays_failed(0), 1);
}
END_TEST

/* Its time began when it came, not when it was sent. */
START_TEST(a_relay_that_was_held_has_less_time_for_its_answer)
{
    link_down(0);
    relay_one();
    advance(EMULATION_REPLY_MS - 100);
    link_up(0);
    ck_assert_uint_eq(bus_waiting(), 1);
    advance(99);
    expect_untold(&request);
    advance(1);
    expect_told(&request, HUB_EMULATED_UNAVAILABLE);
    ck_assert_uint_eq(relayed_bytes(0), COST(2)); /* it was sent */
    bus_move_all();
    expect_heard(&stream, ANSWERED(2));
    ck_assert_uint_eq(relayed_bytes(0), 0);
    expect_told(&request, HUB_EMULATED_UNAVAILABLE);
}
END_TEST

START_TEST(held_relays_survive_that_the_link_is_down_again)
{
    link_down(0);
    relay_one();
    link_down(0);
    hub_publications_lost(hubs[0], now_ms);
    take_effects(0);
    expect_untold(&request);
    ck_assert_uint_eq(relayed_bytes(0), COST(2));
    ck_assert_uint_eq(relays_failed(0), 0);
    hub_broker_up(hubs[0], EMULATION_BROKER + 1, 0, now_ms); /* another one */
    take_effects(0);
    expect_relay(&stream, COMMAND(2));
    bus_move_all();
    expect_told(&request, HUB_EMULATED_DONE);
}
END_TEST

/* Up and down again before anybody takes an effect: it was sent, and is given up. */
START_TEST(a_relay_that_was_held_is_given_up_once_it_was_sent)
{
    link_down(0);
    relay_one();
    hub_broker_up(hubs[0], EMULATION_BROKER, 0, now_ms);
    hub_broker_down(hubs[0], now_ms);
    take_effects(0);
    expect_told(&request, HUB_EMULATED_UNAVAILABLE);
    ck_assert_uint_eq(relayed_bytes(0), 0);
    ck_assert_uint_eq(relays_failed(0), 1);
    ck_assert_uint_eq(bus_waiting(), 1);
    bus_lose();
    link_up(0);
    ck_assert_uint_eq(bus_waiting(), 0);
}
END_TEST

/* --- the link breaks --- */

/* At once; what comes then is held. */
START_TEST(a_link_that_breaks_gives_up_what_was_sent)
{
    relay_one();
    relay(&later, 0, &stream, COMMAND(3));
    uint64_t token = bus_relay_frame().token;
    bus_lose();
    bus_lose();
    link_down(0);
    expect_told(&request, HUB_EMULATED_UNAVAILABLE);
    expect_told(&later, HUB_EMULATED_UNAVAILABLE);
    ck_assert_uint_eq(relayed_bytes(0), 0);
    ck_assert_uint_eq(relays_failed(0), 2);
    relay(&third, 0, &stream, COMMAND(4));
    link_up(0);
    ck_assert_uint_eq(bus_waiting(), 1);
    answer_relay(0, token, STATUS_OK);
    expect_told(&request, HUB_EMULATED_UNAVAILABLE);
    expect_untold(&third);
    expect_relay(&stream, COMMAND(4));
    bus_move_all();
    expect_told(&third, HUB_EMULATED_DONE);
    ck_assert_uint_eq(relays_failed(0), 2);
}
END_TEST

START_TEST(a_link_that_breaks_ends_the_wait_for_late_answers)
{
    relay_one();
    advance(EMULATION_REPLY_MS);
    ck_assert_uint_gt(relayed_bytes(0), 0);
    link_down(0);
    ck_assert_uint_eq(relayed_bytes(0), 0);
    ck_assert_uint_eq(relays_failed(0), 1);
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
    ck_assert_uint_eq(relayed_bytes(0), 0);
    expect_untold(&request);
    take_effects(0);
    expect_told(&request, HUB_EMULATED_UNAVAILABLE);
    ck_assert_uint_eq(relays_failed(0), 1);
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
    ck_assert_uint_eq(relays_failed(0), 1);
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
    ck_assert_uint_eq(relayed_bytes(0), COST(2));
    bus_move_all();
    expect_heard(&stream, ANSWERED(2));
    ck_assert_uint_eq(relayed_bytes(0), 0);
    expect_told(&request, HUB_EMULATED_UNAVAILABLE);
    ck_assert_uint_eq(relays_failed(0), 1);
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
    ck_assert_uint_eq(relayed_bytes(0), COST(2));
    ck_assert_int_eq(hub_wait(hubs[0], now_ms), 1);
    advance(1);
    ck_assert_uint_eq(relayed_bytes(0), 0);
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
    ck_assert_uint_eq(relayed_bytes(0), 0);
}
END_TEST

/* --- how much is on its way --- */

#define LARGEST (EMULATION_BYTES - EMULATION_COST)

START_TEST(the_bytes_on_their_way_are_bounded)
{
    if (_i)
        link_down(0); /* held ones count as well */
    ck_assert_int_eq(emulate_size(&request, 0, &stream, LARGEST - EMULATION_COST - 50),
                     HUB_EMULATED_LATER);
    ck_assert_int_eq(emulate_size(&later, 0, &stream, 51), HUB_EMULATED_UNAVAILABLE);
    ck_assert_uint_eq(relays_failed(0), 1);
    ck_assert_int_eq(emulate_size(&later, 0, &stream, 50), HUB_EMULATED_LATER);
    ck_assert_uint_eq(relayed_bytes(0), EMULATION_BYTES);
    ck_assert_int_eq(emulate_size(&third, 0, &stream, 1), HUB_EMULATED_UNAVAILABLE);
    ck_assert_int_eq(emulate_size(&third, 0, &stream, 0), HUB_EMULATED_UNAVAILABLE);
    ck_assert_uint_eq(relays_failed(0), 3);
    ck_assert_uint_eq(metrics_of(0)->relays_total, 2);
    link_up(0);
    ck_assert_uint_eq(bus_waiting(), 2);
    bus_move_all();
    ck_assert_uint_eq(relayed_bytes(0), 0);
    ck_assert_int_eq(emulate_size(&third, 0, &stream, LARGEST), HUB_EMULATED_LATER);
}
END_TEST

START_TEST(many_small_relays_are_bounded_by_what_each_costs)
{
    struct emulation_request many[EMULATION_BYTES / EMULATION_COST];
    const size_t count = sizeof many / sizeof *many;
    if (_i)
        link_down(0);
    for (size_t i = 0; i < count - 1; i++)
        ck_assert_int_eq(emulate_size(&many[i], 0, &stream, 1), HUB_EMULATED_LATER);
    ck_assert_uint_eq(relayed_bytes(0), (count - 1) * (EMULATION_COST + 1));
    ck_assert_int_eq(emulate_size(&many[count - 1], 0, &stream, 1), HUB_EMULATED_UNAVAILABLE);
    ck_assert_int_eq(emulate_size(&many[count - 1], 0, &stream, 0), HUB_EMULATED_UNAVAILABLE);
    link_up(0);
    ck_assert_uint_eq(bus_waiting(), count - 1);
    bus_move_all();
    ck_assert_uint_eq(relayed_bytes(0), 0);
    for (size_t i = 0; i < count; i++)
        ck_assert_int_eq(emulate_size(&many[i], 0, &stream, 0), HUB_EMULATED_LATER);
    ck_assert_uint_eq(relayed_bytes(0), EMULATION_BYTES);
    ck_assert_int_eq(emulate_size(&third, 0, &stream, 0), HUB_EMULATED_UNAVAILABLE);
}
END_TEST

START_TEST(what_is_larger_than_the_bound_never_goes)
{
    ck_assert_int_eq(emulate_size(&request, 0, &stream, LARGEST + 1), HUB_EMULATED_UNAVAILABLE);
    ck_assert_int_eq(emulate_size(&request, 0, &stream, EMULATION_BYTES), HUB_EMULATED_UNAVAILABLE);
    ck_assert_uint_eq(bus_waiting(), 0);
    ck_assert_uint_eq(relayed_bytes(0), 0);
    ck_assert_int_eq(emulate_size(&request, 0, &stream, LARGEST), HUB_EMULATED_LATER);
}
END_TEST

START_TEST(late_bytes_leave_less_room)
{
    ck_assert_int_eq(emulate_size(&request, 0, &stream, LARGEST), HUB_EMULATED_LATER);
    advance(EMULATION_REPLY_MS);
    ck_assert_int_eq(emulate_size(&later, 0, &stream, 1), HUB_EMULATED_UNAVAILABLE);
    link_down(0);
    link_up(0);
    ck_assert_int_eq(emulate_size(&later, 0, &stream, LARGEST), HUB_EMULATED_LATER);
}
END_TEST

/* --- nobody wants to know --- */

START_TEST(abandoned_while_it_waits_and_answered)
{
    relay_one();
    abandon(&request);
    ck_assert_uint_gt(relayed_bytes(0), 0);
    bus_move_all();
    expect_heard(&stream, ANSWERED(2));
    expect_untold(&request);
    ck_assert_uint_eq(relayed_bytes(0), 0);
}
END_TEST

START_TEST(abandoned_while_it_waits_and_never_answered)
{
    relay_one();
    uint64_t token = bus_relay_frame().token;
    abandon(&request);
    advance(EMULATION_REPLY_MS);
    expect_untold(&request);
    ck_assert_uint_gt(relayed_bytes(0), 0);
    advance(30000 - EMULATION_REPLY_MS);
    ck_assert_uint_eq(relayed_bytes(0), 0);
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
    ck_assert_uint_eq(relayed_bytes(0), 0);
}
END_TEST

START_TEST(abandoned_while_it_waits_and_the_link_breaks)
{
    if (_i)
        link_down(0); /* it is held before */
    relay_one();
    relay(&later, 0, &stream, COMMAND(3));
    abandon(&request);
    link_up(0);
    ck_assert_uint_eq(bus_waiting(), 2);
    link_down(0);
    expect_untold(&request);
    expect_told(&later, HUB_EMULATED_UNAVAILABLE);
    ck_assert_uint_eq(relayed_bytes(0), 0);
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
    ck_assert_uint_eq(relayed_bytes(0), 0);
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
    ck_assert_uint_gt(relayed_bytes(0), 0);
    bus_move_all();
    expect_untold(&request);
    ck_assert_uint_eq(relayed_bytes(0), 0);
}
END_TEST

START_TEST(abandoned_between_others)
{
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

/* The commands are the client's all the same. */
START_TEST(abandoned_while_it_is_held_and_sent)
{
    link_down(0);
    relay_one();
    relay(&later, 0, &stream, COMMAND(3));
    abandon(&request);
    ck_assert_uint_eq(relayed_bytes(0), COST(2) + COST(3));
    link_up(0);
    expect_relay(&stream, COMMAND(2));
    expect_heard(&stream, ANSWERED(2));
    expect_relay(&stream, COMMAND(3));
    bus_move_all();
    expect_untold(&request);
    expect_told(&later, HUB_EMULATED_DONE);
    ck_assert_uint_eq(relayed_bytes(0), 0);
    ck_assert_uint_eq(relays_failed(0), 0);
}
END_TEST

/* Before that is decided, or before it is told. */
START_TEST(abandoned_and_held_for_too_long)
{
    link_down(0);
    relay_one();
    if (_i)
        abandon(&request);
    now_ms += EMULATION_REPLY_MS;
    hub_tick(hubs[0], now_ms);
    abandon(&request);
    take_effects(0);
    ck_assert_uint_eq(relays_failed(0), 1);
    link_up(0);
    ck_assert_uint_eq(bus_waiting(), 0);
    link_down(0); /* nothing waits any more */
    expect_untold(&request);
    expect_silence(&stream);
    ck_assert_uint_eq(relayed_bytes(0), 0);
}
END_TEST

/* With a relay in each state, the address sanitizer sees what is left. */
START_TEST(a_hub_ends_with_relays_under_way)
{
    struct emulation_request last;
    if (_i)
        link_down(0); /* all of them are held */
    relay_one();
    advance(EMULATION_REPLY_MS); /* late */
    relay(&later, 0, &stream, COMMAND(3));
    now_ms += EMULATION_REPLY_MS;
    hub_tick(hubs[0], now_ms); /* not told */
    ck_assert_int_eq(emulate_size(&third, 0, &stream, 1), HUB_EMULATED_LATER);
    abandon(&third);
    ck_assert_int_eq(emulate_size(&last, 0, &stream, 1), HUB_EMULATED_LATER);
    hub_destroy(&hubs[0]);
    ck_assert_ptr_null(hubs[0]);
}
END_TEST

static TCase *held(void)
{
    TCase *tests = tcase_create("held");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, held_relays_go_out_in_order_when_the_link_is_back);
    tcase_add_test(tests, a_held_relay_is_sent_once);
    tcase_add_test(tests, a_relay_that_was_held_too_long_is_not_sent);
    tcase_add_test(tests, a_link_that_comes_before_lateness_is_told);
    tcase_add_test(tests, a_relay_that_was_held_has_less_time_for_its_answer);
    tcase_add_test(tests, held_relays_survive_that_the_link_is_down_again);
    tcase_add_test(tests, a_relay_that_was_held_is_given_up_once_it_was_sent);
    return tests;
}

static TCase *unanswered(void)
{
    TCase *tests = tcase_create("unanswered");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, a_link_that_breaks_gives_up_what_was_sent);
    tcase_add_test(tests, a_link_that_breaks_ends_the_wait_for_late_answers);
    tcase_add_test(tests, a_link_that_breaks_before_lateness_is_told);
    tcase_add_test(tests, what_is_not_answered_in_time_is_unavailable);
    tcase_add_test(tests, each_request_has_its_own_time);
    tcase_add_test(tests, bytes_count_until_a_late_answer);
    tcase_add_test(tests, bytes_of_a_lost_relay_count_for_thirty_seconds);
    tcase_add_test(tests, an_answer_before_lateness_is_told);
    tcase_add_loop_test(tests, the_bytes_on_their_way_are_bounded, 0, 2);
    tcase_add_loop_test(tests, many_small_relays_are_bounded_by_what_each_costs, 0, 2);
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
    tcase_add_loop_test(tests, abandoned_while_it_waits_and_the_link_breaks, 0, 2);
    tcase_add_test(tests, abandoned_when_it_was_answered_and_not_told);
    tcase_add_test(tests, abandoned_when_it_was_late_and_not_told);
    tcase_add_test(tests, abandoned_between_others);
    tcase_add_test(tests, abandoned_while_it_is_held_and_sent);
    tcase_add_loop_test(tests, abandoned_and_held_for_too_long, 0, 2);
    tcase_add_loop_test(tests, a_hub_ends_with_relays_under_way, 0, 2);
    return tests;
}

int main(void)
{
    Suite *suite = suite_create("emulation_relay");
    suite_add_tcase(suite, held());
    suite_add_tcase(suite, unanswered());
    suite_add_tcase(suite, abandoned());
    return unit_run(suite);
}
