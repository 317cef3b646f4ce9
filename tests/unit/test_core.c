#include <stdio.h>

#include "core_world.h"
#include "unit.h"

#define SECOND 1000

static void expect_canary(uint64_t number)
{
    uint8_t canary[BUS_CANARY_BYTES];
    bus_write_canary(canary, WORLD_NONCE, number);
    expect_published_bytes(span_of(canary, sizeof canary));
}

static void tick(int64_t after_ms)
{
    world_now += after_ms;
    core_tick(world, world_now);
}

START_TEST(a_numbered_canary_every_second)
{
    tick(0);
    expect_canary(1);
    tick(SECOND - 1);
    expect_nothing();
    tick(1);
    expect_canary(2);
    tick(10 * SECOND); /* after a pause: one, not ten */
    expect_canary(3);
    expect_nothing();
    tick(SECOND);
    expect_canary(4);
}
END_TEST

START_TEST(the_wait_never_skips_a_second)
{
    for (int i = 0; i < 50; i++) {
        core_tick(world, world_now);
        drop_effects();
        int64_t wait = core_wait(world, world_now);
        ck_assert_int_gt(wait, 0);
        ck_assert_int_le(wait, SECOND);
        world_now += wait;
    }
    ck_assert_int_eq(core_wait(world, world_now + 100000), 0);
}
END_TEST

static void expect_digest(const char *channel, uint64_t epoch, uint64_t offset)
{
    struct buffer digest = {0};
    buffer_put_byte(&digest, BUS_TOPIC_DIGEST);
    bus_put_mark(
        &digest,
        &(struct bus_mark){.address = world_key(channel, NULL), .epoch = epoch, .offset = offset});
    expect_published_bytes(buffer_span(&digest));
    buffer_free(&digest);
}

START_TEST(a_digest_before_the_canary_repeats_positions)
{
    tick(0);
    expect_canary(1);
    world_subscribe("a", NULL, true);
    world_publish("a", 3);
    world_publish("unheard", 3);
    for (uint64_t i = 2; i <= 6; i++) {
        tick(SECOND);
        expect_digest("a", 2, 3);
        expect_canary(i);
    }
    tick(SECOND); /* 6 s after it was published */
    expect_canary(7);
    expect_nothing();
    ck_assert_uint_eq(world_metrics.digest_marks_total, 5);
}
END_TEST

START_TEST(a_new_epoch_is_in_the_digest)
{
    world_subscribe("a", NULL, true);
    world_request(0, "p", "{'op':'publish','channel':'a','payload':{}}");
    core_stored(world, expect_append("a", NULL, 2, 1, NULL), STORE_UNKNOWN, world_now);
    tick(SECOND);
    expect_digest("a", 3, 0);
    expect_canary(1);
}
END_TEST

START_TEST(a_long_digest_is_split)
{
    world_settings.streams.headers = 5000;
    world_start();
    for (int i = 0; i < 3000; i++) {
        char channel[16];
        snprintf(channel, sizeof channel, "channel-%d", i);
        world_subscribe(channel, NULL, true);
        world_publish(channel, 1);
    }
    tick(SECOND);
    struct core_effect effect;
    size_t frames = 0, marks = 0;
    for (core_take_effect(world, &effect); effect.bytes.data[0] == BUS_TOPIC_DIGEST;
         core_take_effect(world, &effect)) {
        ck_assert_uint_le(effect.bytes.size, 65536);
        struct span rest = span_of(effect.bytes.data + 1, effect.bytes.size - 1);
        struct bus_mark mark;
        for (frames++; rest.size; marks++)
            ck_assert(bus_next_mark(&rest, &mark));
    }
    ck_assert_uint_eq(marks, 3000);
    ck_assert_uint_gt(frames, 1);
    ck_assert_uint_eq(effect.bytes.data[0], BUS_TOPIC_CANARY);
    expect_nothing();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("core");
    TCase *tests = tcase_create("core");
    tcase_add_checked_fixture(tests, world_setup, world_teardown);
    tcase_add_test(tests, a_numbered_canary_every_second);
    tcase_add_test(tests, the_wait_never_skips_a_second);
    tcase_add_test(tests, a_digest_before_the_canary_repeats_positions);
    tcase_add_test(tests, a_new_epoch_is_in_the_digest);
    tcase_add_test(tests, a_long_digest_is_split);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
