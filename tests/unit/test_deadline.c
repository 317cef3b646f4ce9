#include "common/deadline.h"
#include "unit.h"

#define HORIZON_MS (512 * DEADLINE_SLOT_MS)

START_TEST(reports_once_never_early_at_most_one_slot_late)
{
    int64_t start = 1000003, at = start + _i;
    deadlines_t *wheel = deadlines_new(start);
    struct deadline timer = {0};
    deadline_set(wheel, &timer, at);
    ck_assert(deadline_is_set(&timer));
    int64_t now = start;
    while (!deadlines_next(wheel, now))
        now++;
    ck_assert_int_ge(now, at);
    ck_assert_int_lt(now, at + DEADLINE_SLOT_MS);
    ck_assert(!deadline_is_set(&timer));
    for (int i = 0; i < 2 * HORIZON_MS; i += DEADLINE_SLOT_MS)
        ck_assert_ptr_null(deadlines_next(wheel, now + i));
    deadlines_destroy(&wheel);
}
END_TEST

START_TEST(a_time_in_the_past_is_due_at_once)
{
    deadlines_t *wheel = deadlines_new(5000);
    struct deadline past = {0}, negative = {0};
    deadline_set(wheel, &past, 17);
    deadline_set(wheel, &negative, -17);
    ck_assert_int_eq(deadlines_wait(wheel, 5000), 0);
    ck_assert_ptr_eq(deadlines_next(wheel, 5000), &past);
    ck_assert_ptr_eq(deadlines_next(wheel, 5000), &negative);
    ck_assert_ptr_null(deadlines_next(wheel, 5000));
    ck_assert_int_eq(deadlines_wait(wheel, 5000), -1);
    deadlines_destroy(&wheel);
}
END_TEST

START_TEST(a_timer_beyond_the_horizon_waits_for_its_round)
{
    deadlines_t *wheel = deadlines_new(0);
    struct deadline near = {0}, far = {0};
    deadline_set(wheel, &near, 640);
    deadline_set(wheel, &far, 640 + 3 * HORIZON_MS);
    ck_assert_ptr_eq(deadlines_next(wheel, 640), &near);
    for (int64_t now = 640; now < 640 + 3 * HORIZON_MS; now += DEADLINE_SLOT_MS)
        ck_assert_ptr_null(deadlines_next(wheel, now));
    ck_assert_ptr_eq(deadlines_next(wheel, 640 + 3 * HORIZON_MS), &far);
    deadlines_destroy(&wheel);
}
END_TEST

START_TEST(a_jump_of_the_clock_reports_all_that_is_due)
{
    deadlines_t *wheel = deadlines_new(0);
    struct deadline timers[1000] = {0}, later = {0};
    for (int i = 0; i < 1000; i++)
        deadline_set(wheel, &timers[i], i * 200);
    deadline_set(wheel, &later, 1000 * 200 + 10 * HORIZON_MS);
    int count = 0;
    for (struct deadline *timer; (timer = deadlines_next(wheel, 200000 + HORIZON_MS)); count++)
        ck_assert_ptr_ne(timer, &later);
    ck_assert_int_eq(count, 1000);
    ck_assert(deadline_is_set(&later));
    deadlines_destroy(&wheel);
}
END_TEST

START_TEST(a_cleared_timer_is_not_reported)
{
    deadlines_t *wheel = deadlines_new(0);
    struct deadline a = {0}, b = {0}, c = {0};
    deadline_clear(&a);
    deadline_set(wheel, &a, 100);
    deadline_set(wheel, &b, 100);
    deadline_set(wheel, &c, 100);
    deadline_clear(&b);
    deadline_clear(&b);
    ck_assert(!deadline_is_set(&b));
    ck_assert_ptr_eq(deadlines_next(wheel, 1000), &a);
    deadline_clear(&c); /* already taken from the wheel, not yet reported */
    ck_assert_ptr_null(deadlines_next(wheel, 1000));
    ck_assert_int_eq(deadlines_wait(wheel, 1000), -1);
    deadlines_destroy(&wheel);
}
END_TEST

START_TEST(a_cleared_timer_wakes_nobody)
{
    deadlines_t *wheel = deadlines_new(0);
    struct deadline a = {0}, b = {0};
    deadline_set(wheel, &a, 640);
    deadline_clear(&a);
    ck_assert_int_eq(deadlines_wait(wheel, 0), -1);
    deadline_set(wheel, &a, 640);
    deadline_set(wheel, &b, 6400);
    deadline_clear(&a);
    ck_assert_int_eq(deadlines_wait(wheel, 0), 6400);
    deadlines_destroy(&wheel);
}
END_TEST

START_TEST(setting_again_moves_the_timer)
{
    deadlines_t *wheel = deadlines_new(0);
    struct deadline timer = {0};
    deadline_set(wheel, &timer, 100);
    deadline_set(wheel, &timer, 5000);
    ck_assert_ptr_null(deadlines_next(wheel, 4900));
    deadline_set(wheel, &timer, 4900);
    ck_assert_ptr_eq(deadlines_next(wheel, 4992), &timer);
    deadlines_destroy(&wheel);
}
END_TEST

/* As a program does: sleep as long as the wheel allows, handle, set again. */
START_TEST(wait_is_long_enough_and_short_enough)
{
    deadlines_t *wheel = deadlines_new(0);
    struct deadline periodic = {0}, far = {0};
    deadline_set(wheel, &periodic, 25000);
    deadline_set(wheel, &far, 500000);
    int64_t now = 0;
    int reports = 0, turns = 0;
    while (deadline_is_set(&far)) {
        int64_t wait = deadlines_wait(wheel, now);
        ck_assert_int_ge(wait, 0);
        now += wait;
        turns++;
        for (struct deadline *timer; (timer = deadlines_next(wheel, now));) {
            ck_assert_int_ge(now, timer->at_ms);
            ck_assert_int_lt(now, timer->at_ms + DEADLINE_SLOT_MS);
            if (timer == &periodic) {
                reports++;
                deadline_set(wheel, &periodic, now + 25000);
            }
        }
    }
    ck_assert_int_ge(reports, 19);
    ck_assert_int_le(turns, 60); /* each report, and once a round for the timer beyond */
    deadlines_destroy(&wheel);
    ck_assert(!deadline_is_set(&periodic)); /* forgotten, so that clearing it stays safe */
}
END_TEST

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525 + 1013904223;
    return *state >> 8;
}

/* Sets, clears and steps of any length: what is due is reported, and nothing else. */
START_TEST(agrees_with_a_model)
{
    enum { TIMERS = 50 };
    struct deadline timers[TIMERS] = {0};
    int64_t at[TIMERS];
    uint32_t random = (uint32_t)_i;
    int64_t now = 12345;
    deadlines_t *wheel = deadlines_new(now);
    for (int step = 0; step < 5000; step++) {
        uint32_t i = next_random(&random) % TIMERS;
        if (next_random(&random) % 4 == 0) {
            deadline_clear(&timers[i]);
        } else {
            at[i] = now - 100 + next_random(&random) % (3 * HORIZON_MS);
            deadline_set(wheel, &timers[i], at[i]);
        }
        now += next_random(&random) % 2000;
        for (struct deadline *timer; (timer = deadlines_next(wheel, now));)
            ck_assert_int_le(timer->at_ms, now);
        int64_t first = INT64_MAX;
        for (i = 0; i < TIMERS; i++) {
            if (deadline_is_set(&timers[i]) && at[i] < first)
                first = at[i];
        }
        ck_assert_int_gt(first, now - DEADLINE_SLOT_MS);
        int64_t wait = deadlines_wait(wheel, now);
        ck_assert_int_eq(wait < 0, first == INT64_MAX);
        ck_assert(wait < 0 || now + wait < first + DEADLINE_SLOT_MS);
    }
    deadlines_destroy(&wheel);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("deadline");
    TCase *tests = tcase_create("deadline");
    tcase_add_loop_test(tests, reports_once_never_early_at_most_one_slot_late, 0, 200);
    tcase_add_test(tests, a_time_in_the_past_is_due_at_once);
    tcase_add_test(tests, a_timer_beyond_the_horizon_waits_for_its_round);
    tcase_add_test(tests, a_jump_of_the_clock_reports_all_that_is_due);
    tcase_add_test(tests, a_cleared_timer_is_not_reported);
    tcase_add_test(tests, a_cleared_timer_wakes_nobody);
    tcase_add_test(tests, setting_again_moves_the_timer);
    tcase_add_test(tests, wait_is_long_enough_and_short_enough);
    tcase_add_loop_test(tests, agrees_with_a_model, 0, 10);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
