#include "broker/away.h"

#include "unit.h"

static struct away away;

static void setup(void)
{
    away_init(&away, 6000, 1000);
}

static void lost(uint64_t incarnation, const char *name, int64_t now_ms)
{
    away_lost(&away, incarnation, span_text(name), now_ms);
}

static void returned(uint64_t incarnation, const char *name)
{
    away_returned(&away, incarnation, span_text(name));
}

START_TEST(after_the_start_all_may_be_away)
{
    ck_assert(away_any(&away, 1000));
    returned(1, "a");
    ck_assert(away_any(&away, 6999));
    ck_assert(!away_any(&away, 7000));
}
END_TEST

START_TEST(a_lost_gateway_is_waited_for)
{
    lost(1, "a", 10000);
    ck_assert(away_any(&away, 10000));
    ck_assert(away_any(&away, 15999));
    ck_assert(!away_any(&away, 16000));
}
END_TEST

START_TEST(one_that_returns_is_not_away_and_others_still_are)
{
    lost(1, "a", 10000);
    lost(2, "b", 11000);
    returned(1, "a");
    ck_assert(away_any(&away, 11000));
    returned(3, "c");
    ck_assert(away_any(&away, 11000));
    returned(2, "b");
    ck_assert(!away_any(&away, 11000));
}
END_TEST

START_TEST(another_one_of_its_name_takes_its_place)
{
    lost(1, "a", 10000);
    returned(2, "a");
    ck_assert(!away_any(&away, 10000));
}
END_TEST

START_TEST(names_are_compared_as_far_as_they_are_kept)
{
    char name[AWAY_NAME + 1];
    memset(name, 'n', AWAY_NAME);
    name[AWAY_NAME] = '\0';
    lost(1, name, 10000);
    returned(2, "n");
    ck_assert(away_any(&away, 10000));
    returned(2, name);
    ck_assert(!away_any(&away, 10000));
}
END_TEST

START_TEST(beyond_the_room_only_the_time_counts)
{
    for (uint64_t i = 0; i < AWAY_MAX; i++)
        lost(i, "", 10000);
    lost(1000, "last", 10500);
    for (uint64_t i = 0; i < AWAY_MAX; i++)
        returned(i, "");
    returned(1000, "last");
    ck_assert(away_any(&away, 16499));
    ck_assert(!away_any(&away, 16500));
    lost(1, "a", 20000); /* there is room again */
    returned(1, "a");
    ck_assert(!away_any(&away, 20000));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("away");
    TCase *tests = tcase_create("away");
    tcase_add_checked_fixture(tests, setup, NULL);
    tcase_add_test(tests, after_the_start_all_may_be_away);
    tcase_add_test(tests, a_lost_gateway_is_waited_for);
    tcase_add_test(tests, one_that_returns_is_not_away_and_others_still_are);
    tcase_add_test(tests, another_one_of_its_name_takes_its_place);
    tcase_add_test(tests, names_are_compared_as_far_as_they_are_kept);
    tcase_add_test(tests, beyond_the_room_only_the_time_counts);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
