#include <string.h>

#include "bytes.h"
#include "core_world.h"
#include "unit.h"

/* Commands that a gateway got for a client of another one, and what became of them. */

static struct buffer frame;

static void setup(void)
{
    world_setup();
    frame = (struct buffer){0};
}

static void teardown(void)
{
    buffer_free(&frame);
    world_teardown();
}

#define SESSION "0123456789abcdef0123456789abcdef"
#define TOKEN   UINT64_C(0x8000000000000001)

static void put_relay(uint64_t gateway)
{
    buffer_reset(&frame);
    bus_put_relay(&frame, &(struct bus_relay){.gateway = gateway,
                                              .token = TOKEN,
                                              .session = span_text(SESSION),
                                              .commands = BYTES("{}\n\0\xff")});
}

static void relay(const char *peer, uint64_t gateway)
{
    put_relay(gateway);
    world_frame(peer, &frame);
}

static void put_relayed(uint64_t gateway, uint16_t status)
{
    buffer_reset(&frame);
    bus_put_relayed(&frame,
                    &(struct bus_relayed){.gateway = gateway, .token = TOKEN, .status = status});
}

/* The answer of the broker itself. */
static void expect_relayed(const char *peer, uint64_t gateway, enum status status)
{
    struct bus_relayed relayed;
    ck_assert(bus_get_relayed(take_frame(peer), &relayed));
    ck_assert_uint_eq(relayed.gateway, gateway);
    ck_assert_uint_eq(relayed.token, TOKEN);
    ck_assert_uint_eq(relayed.status, status);
    expect_nothing();
}

/* Everything but the gateway is as it was sent. */
static void expect_relay(const char *peer, uint64_t from)
{
    struct bus_relay got;
    ck_assert(bus_get_relay(take_frame(peer), &got));
    ck_assert_uint_eq(got.gateway, from);
    ck_assert_uint_eq(got.token, TOKEN);
    assert_text(got.session, SESSION);
    assert_bytes(got.commands, BYTES("{}\n\0\xff"));
    expect_nothing();
}

static void expect_counted(uint64_t relays, uint64_t unknown)
{
    ck_assert_uint_eq(world_metrics.relays_total, relays);
    ck_assert_uint_eq(world_metrics.relays_unknown_total, unknown);
    ck_assert_uint_eq(world_metrics.gateway_frames_malformed_total, 0);
}

/* --- there --- */

START_TEST(a_relay_goes_to_its_gateway_in_the_senders_name)
{
    world_gateway("a", 5);
    world_gateway("b", UINT64_MAX);
    world_gateway("c", 7);
    relay("a", UINT64_MAX);
    expect_relay("b", 5);
    relay("c", UINT64_MAX);
    expect_relay("b", 7);
    relay("b", 5);
    expect_relay("a", UINT64_MAX);
    expect_counted(3, 0);
}
END_TEST

START_TEST(a_relay_to_an_unknown_gateway_is_answered_404)
{
    world_gateway("a", 5);
    world_gateway("b", 6);
    relay("a", 7);
    expect_relayed("a", 5, STATUS_NOT_FOUND);
    relay("a", 0);
    expect_relayed("a", 5, STATUS_NOT_FOUND);
    expect_counted(2, 2);
}
END_TEST

START_TEST(a_relay_to_the_sender_itself_comes_back)
{
    world_gateway("a", 5);
    relay("a", 5);
    expect_relay("a", 5);
    expect_counted(1, 0);
}
END_TEST

START_TEST(a_gateway_that_left_is_unknown)
{
    struct span bytes;
    world_gateway("a", 5);
    world_gateway("b", 6);
    relay("a", 6);
    core_sent(world, take_unsent_frame("b", &bytes), CORE_GONE);
    expect_log(CORE_GATEWAY_LEFT, "b");
    expect_nothing(); /* the sender waits for as long as it waits for any answer */
    relay("a", 6);
    expect_relayed("a", 5, STATUS_NOT_FOUND);
    expect_counted(2, 1);
}
END_TEST

START_TEST(a_gateway_that_reconnected_gets_it_by_its_new_way)
{
    world_gateway("a", 5);
    world_gateway("old", 6);
    world_hello("new", "new", 6);
    drop_effects();
    relay("a", 6);
    expect_relay("new", 5);
}
END_TEST

/* A gateway that is restarted has no stream of its former life. */
START_TEST(a_gateway_that_was_restarted_is_another_one)
{
    world_gateway("a", 5);
    world_gateway("b", 6);
    world_hello("b", "b", 8);
    drop_effects();
    relay("a", 6);
    expect_relayed("a", 5, STATUS_NOT_FOUND);
    relay("a", 8);
    expect_relay("b", 5);
}
END_TEST

static void refused_hello(const char *peer, uint64_t incarnation)
{
    buffer_reset(&frame);
    bus_put_hello(&frame, &(struct bus_hello){.version = BUS_VERSION - 1,
                                              .gateway = span_text(peer),
                                              .incarnation = incarnation});
    world_frame(peer, &frame);
    drop_effects();
}

START_TEST(who_is_not_welcome_relays_nothing)
{
    world_gateway("b", 6);
    relay("stranger", 6);
    expect_relayed("stranger", 0, STATUS_NOT_FOUND);
    refused_hello("refused", 9);
    relay("refused", 6);
    struct bus_relayed relayed;
    ck_assert(bus_get_relayed(take_frame("refused"), &relayed));
    ck_assert_uint_eq(relayed.status, STATUS_NOT_FOUND);
    expect_nothing();
    expect_counted(2, 2);
}
END_TEST

START_TEST(who_is_not_welcome_gets_nothing)
{
    world_gateway("a", 5);
    refused_hello("refused", 9);
    relay("a", 9);
    expect_relayed("a", 5, STATUS_NOT_FOUND);
    put_relayed(9, STATUS_OK);
    world_frame("a", &frame);
    expect_nothing();
}
END_TEST

START_TEST(the_largest_frame_of_commands_goes_through)
{
    static uint8_t commands[LIMIT_CLIENT_FRAME_BYTES];
    memset(commands, ' ', sizeof commands);
    world_gateway("a", 5);
    world_gateway("b", 6);
    bus_put_relay(&frame, &(struct bus_relay){.gateway = 6,
                                              .token = TOKEN,
                                              .session = span_text(SESSION),
                                              .commands = span_of(commands, sizeof commands)});
    ck_assert_uint_le(frame.size, LIMIT_BUS_FRAME_BYTES);
    world_frame("a", &frame);
    struct bus_relay got;
    ck_assert(bus_get_relay(take_frame("b"), &got));
    assert_bytes(got.commands, span_of(commands, sizeof commands));
}
END_TEST

/* --- and back --- */

START_TEST(an_answer_goes_back_as_it_is)
{
    static const enum status statuses[] = {STATUS_OK, STATUS_NOT_FOUND};
    world_gateway("a", 5);
    world_gateway("b", 6);
    for (size_t i = 0; i < 2; i++) {
        put_relayed(5, (uint16_t)statuses[i]);
        world_frame("b", &frame);
        assert_bytes(take_frame("a"), buffer_span(&frame));
        expect_nothing();
    }
    expect_counted(0, 0);
}
END_TEST

START_TEST(an_answer_for_nobody_is_dropped)
{
    world_gateway("b", 6);
    put_relayed(5, STATUS_OK);
    world_frame("b", &frame);
    put_relayed(0, STATUS_OK);
    world_frame("b", &frame);
    expect_nothing();
    expect_counted(0, 0);
}
END_TEST

/* --- malformed --- */

/* All of the frame but its end, and the frame with a byte too many. */
static void send_broken(const char *peer)
{
    struct span whole = buffer_span(&frame);
    for (size_t size = 1; size < whole.size; size++) {
        struct span copy = exact_copy(span_of(whole.data, size));
        core_gateway_frame(world, span_text(peer), copy, world_now);
        free_copy(copy);
    }
    uint64_t before = world_metrics.gateway_frames_malformed_total;
    ck_assert_uint_eq(before, whole.size - 1);
    buffer_put_byte(&frame, 0);
    world_frame(peer, &frame);
    ck_assert_uint_eq(world_metrics.gateway_frames_malformed_total, before + 1);
}

START_TEST(malformed_relays_are_counted_and_dropped)
{
    world_gateway("a", 5);
    world_gateway("b", 6);
    put_relay(6);
    send_broken("a");
    expect_nothing();
    ck_assert_uint_eq(world_metrics.relays_total, 0);
}
END_TEST

START_TEST(malformed_answers_are_counted_and_dropped)
{
    world_gateway("a", 5);
    world_gateway("b", 6);
    put_relayed(5, STATUS_OK);
    send_broken("b");
    expect_nothing();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("core_relay");
    TCase *tests = tcase_create("relay");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, a_relay_goes_to_its_gateway_in_the_senders_name);
    tcase_add_test(tests, a_relay_to_an_unknown_gateway_is_answered_404);
    tcase_add_test(tests, a_relay_to_the_sender_itself_comes_back);
    tcase_add_test(tests, a_gateway_that_left_is_unknown);
    tcase_add_test(tests, a_gateway_that_reconnected_gets_it_by_its_new_way);
    tcase_add_test(tests, a_gateway_that_was_restarted_is_another_one);
    tcase_add_test(tests, who_is_not_welcome_relays_nothing);
    tcase_add_test(tests, who_is_not_welcome_gets_nothing);
    tcase_add_test(tests, the_largest_frame_of_commands_goes_through);
    tcase_add_test(tests, an_answer_goes_back_as_it_is);
    tcase_add_test(tests, an_answer_for_nobody_is_dropped);
    tcase_add_test(tests, malformed_relays_are_counted_and_dropped);
    tcase_add_test(tests, malformed_answers_are_counted_and_dropped);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
