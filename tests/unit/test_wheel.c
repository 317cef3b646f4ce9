#include "bench/backoff.h"
#include "bench/wheel.h"
#include "unit.h"

#define TIMERS 1000
#define TURN   (WHEEL_SLOTS * WHEEL_TICK_MS)

static struct wheel wheel;
static struct timer timers[TIMERS];

static void setup(void)
{
    wheel_begin(&wheel, 1000);
    for (unsigned i = 0; i < TIMERS; i++)
        timers[i] = (struct timer){0};
}

START_TEST(each_timer_comes_up_once_and_in_its_tick)
{
    /* Up to several turns away. */
    for (unsigned i = 0; i < TIMERS; i++)
        wheel_set(&wheel, &timers[i], 1000 + (uint64_t)i * 7919 % (5 * TURN));
    unsigned seen = 0;
    for (uint64_t now = 1000; now <= 1000 + 5 * TURN + WHEEL_TICK_MS; now++) {
        struct timer *timer;
        while ((timer = wheel_next(&wheel, now))) {
            uint64_t due = 1000 + (uint64_t)(timer - timers) * 7919 % (5 * TURN);
            ck_assert_uint_ge(now, due);
            ck_assert_uint_le(now, due + WHEEL_TICK_MS);
            ck_assert_uint_eq(timer->due_ms, 0);
            seen++;
        }
    }
    ck_assert_uint_eq(seen, TIMERS);
}
END_TEST

START_TEST(set_again_moves_and_clear_forgets)
{
    wheel_set(&wheel, &timers[0], 1100);
    wheel_set(&wheel, &timers[1], 1100);
    wheel_set(&wheel, &timers[0], 1500);
    wheel_clear(&wheel, &timers[1]);
    ck_assert_ptr_null(wheel_next(&wheel, 1499));
    ck_assert_ptr_eq(wheel_next(&wheel, 1510), &timers[0]);
    ck_assert_ptr_null(wheel_next(&wheel, 9999));
}
END_TEST

START_TEST(what_is_due_already_comes_up_next)
{
    ck_assert_ptr_null(wheel_next(&wheel, 5000));
    wheel_set(&wheel, &timers[0], 1);
    ck_assert_ptr_eq(wheel_next(&wheel, 5000 + WHEEL_TICK_MS), &timers[0]);
}
END_TEST

START_TEST(a_loop_that_was_late_misses_none)
{
    wheel_set(&wheel, &timers[0], 1000 + TURN + 100);
    wheel_set(&wheel, &timers[1], 1100);
    unsigned seen = 0;
    while (wheel_next(&wheel, 1000 + 3 * TURN))
        seen++;
    ck_assert_uint_eq(seen, 2);
}
END_TEST

/* backoff(step, 500, 20000) of the SDK: 500 + [0, min(20000, 500 * 2^step)], at most 20000. */
START_TEST(backoff_is_that_of_the_sdk)
{
    static const uint64_t most[] = {1000, 1500, 2500, 4500, 8500, 16500, 20000, 20000};
    for (unsigned step = 0; step < sizeof most / sizeof *most; step++) {
        uint64_t highest = 0;
        for (uint64_t random = 0; random < 50000; random++) {
            uint64_t delay = backoff_ms(step, random);
            ck_assert_uint_ge(delay, 500);
            highest = delay > highest ? delay : highest;
        }
        ck_assert_uint_eq(highest, most[step]);
        ck_assert_uint_eq(backoff_ms(step, 0), 500);
    }
    ck_assert_uint_le(backoff_ms(255, UINT64_MAX), 20000);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("wheel");
    TCase *tests = tcase_create("wheel");
    tcase_add_checked_fixture(tests, setup, NULL);
    tcase_add_test(tests, each_timer_comes_up_once_and_in_its_tick);
    tcase_add_test(tests, set_again_moves_and_clear_forgets);
    tcase_add_test(tests, what_is_due_already_comes_up_next);
    tcase_add_test(tests, a_loop_that_was_late_misses_none);
    tcase_add_test(tests, backoff_is_that_of_the_sdk);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
