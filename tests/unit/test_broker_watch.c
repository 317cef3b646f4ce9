#include "gateway/broker_watch.h"

#include "unit.h"

static struct broker_watch watch;
static struct broker_seen seen;

static void setup(void)
{
    watch = (struct broker_watch){.limit_ms = 30000, .ready_ms = 1000};
    seen = (struct broker_seen){.is_up = true, .is_ready = true, .canary_age_ms = 500};
}

static void expect(enum broker_watch_event event, int64_t now_ms)
{
    ck_assert_int_eq(broker_watch_look(&watch, &seen, now_ms), event);
    if (event != BROKER_WATCH_NOTHING)
        ck_assert_int_eq(broker_watch_look(&watch, &seen, now_ms), BROKER_WATCH_NOTHING);
}

START_TEST(silence_is_said_once_and_its_end_too)
{
    expect(BROKER_WATCH_NOTHING, 1000);
    seen.canary_age_ms = 2999;
    expect(BROKER_WATCH_NOTHING, 2000);
    seen.canary_age_ms = 3000;
    expect(BROKER_WATCH_SILENT, 3000);
    seen.canary_age_ms = 5000;
    expect(BROKER_WATCH_NOTHING, 5000);
    seen.canary_age_ms = 10;
    expect(BROKER_WATCH_HEARD, 6000);
}
END_TEST

START_TEST(a_link_that_is_gone_is_not_silent)
{
    seen = (struct broker_seen){.canary_age_ms = 5000};
    expect(BROKER_WATCH_NOTHING, 1000);
    seen.is_up = true;
    expect(BROKER_WATCH_SILENT, 2000);
    seen.is_up = false;
    expect(BROKER_WATCH_NOTHING, 3000);
}
END_TEST

START_TEST(clients_leave_after_the_limit_and_come_back_with_the_broker)
{
    expect(BROKER_WATCH_NOTHING, 5000);
    seen.is_ready = false;
    expect(BROKER_WATCH_NOTHING, 34999);
    expect(BROKER_WATCH_LEAVE, 35000);
    expect(BROKER_WATCH_NOTHING, 80000);
    seen.is_ready = true;
    expect(BROKER_WATCH_RETURN, 80001);
    expect(BROKER_WATCH_NOTHING, 80002);
}
END_TEST

START_TEST(without_a_limit_nobody_leaves)
{
    watch.limit_ms = 0;
    seen = (struct broker_seen){.is_up = false};
    expect(BROKER_WATCH_NOTHING, 100000000);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("broker_watch");
    TCase *tests = tcase_create("broker_watch");
    tcase_add_checked_fixture(tests, setup, NULL);
    tcase_add_test(tests, silence_is_said_once_and_its_end_too);
    tcase_add_test(tests, a_link_that_is_gone_is_not_silent);
    tcase_add_test(tests, clients_leave_after_the_limit_and_come_back_with_the_broker);
    tcase_add_test(tests, without_a_limit_nobody_leaves);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
