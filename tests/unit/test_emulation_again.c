#include "emulation_world.h"
#include "proto/status.h"
#include "unit.h"

/* Commands for a gateway that the broker does not know yet. */

static struct emulation_stream first;
static struct emulation_request request;

/* The stream is at hub 1, its commands come to hub 0. */
static void setup(void)
{
    emulation_setup();
    first = (struct emulation_stream){0};
    request = (struct emulation_request){0};
    stream_connect(&first, 1, 1);
}

static void teardown(void)
{
    stream_gone(&first);
    emulation_teardown();
}

START_TEST(what_the_broker_could_not_pass_on_is_sent_again)
{
    static const uint16_t statuses[] = {STATUS_UNAVAILABLE, STATUS_BAD_INPUT, 65535};
    relay(&request, 0, &first, COMMAND(2));
    uint64_t token = bus_relay_frame().token;
    bus_lose();
    answer_relay(0, token, statuses[_i]);
    expect_untold(&request);
    advance(199);
    ck_assert_uint_eq(bus_waiting(), 0);
    advance(1);
    ck_assert_uint_eq(bus_waiting(), 1);
    expect_relay(&first, COMMAND(2));
    bus_move();
    expect_told(&request, HUB_EMULATED_DONE);
    ck_assert_uint_eq(relays_failed(0), 0);
    ck_assert_uint_eq(relayed_bytes(0), 0);
}
END_TEST

START_TEST(what_it_can_never_pass_on_comes_to_nothing)
{
    relay(&request, 0, &first, COMMAND(2));
    uint64_t token = bus_relay_frame().token;
    bus_lose();
    advance(EMULATION_REPLY_MS - 100);
    answer_relay(0, token, STATUS_UNAVAILABLE);
    expect_untold(&request);
    advance(100);
    expect_told(&request, HUB_EMULATED_UNAVAILABLE);
    ck_assert_uint_eq(relays_failed(0), 1);
    ck_assert_uint_eq(relayed_bytes(0), 0); /* nothing is on its way */
    ck_assert_uint_eq(bus_waiting(), 0);
}
END_TEST

START_TEST(another_broker_is_asked_at_once)
{
    relay(&request, 0, &first, COMMAND(2));
    answer_relay(0, bus_relay_frame().token, STATUS_UNAVAILABLE);
    bus_lose();
    link_down(0);
    expect_untold(&request); /* it was not with the broker */
    link_up(0);
    expect_relay(&first, COMMAND(2));
    bus_move();
    expect_told(&request, HUB_EMULATED_DONE);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("emulation_again");
    TCase *tests = tcase_create("again");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_loop_test(tests, what_the_broker_could_not_pass_on_is_sent_again, 0, 3);
    tcase_add_test(tests, what_it_can_never_pass_on_comes_to_nothing);
    tcase_add_test(tests, another_broker_is_asked_at_once);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
