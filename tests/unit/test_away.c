#include "broker/away.h"

#include "unit.h"

static struct away away;

static void setup(void)
{
    away_init(&away, 6000, 1000);
}

/* Who has a higher number was started later. */
static struct away_who who(uint64_t incarnation, const char *name)
{
    return (struct away_who){
        .incarnation = incarnation, .started_ms = incarnation, .name = span_text(name)};
}

static void lost(uint64_t incarnation, const char *name, int64_t now_ms)
{
    struct away_who gateway = who(incarnation, name);
    away_lost(&away, &gateway, now_ms);
}

static void returned(uint64_t incarnation, const char *name)
{
    struct away_who gateway = who(incarnation, name);
    away_returned(&away, &gateway);
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

START_TEST(a_newer_one_of_its_name_takes_its_place)
{
    lost(1, "a", 10000);
    returned(2, "a");
    ck_assert(!away_any(&away, 10000));
}
END_TEST

START_TEST(an_older_one_of_its_name_does_not)
{
    lost(2, "a", 10000);
    returned(1, "a");
    ck_assert(away_any(&away, 10000));
}
END_TEST

START_TEST(of_two_that_lived_side_by_side_each_must_return)
{
    struct away_who twin = who(1, "a");
    twin.has_twin = true;
    away_lost(&away, &twin, 10000);
    returned(2, "a");
    ck_assert(away_any(&away, 10000));
    returned(1, "a");
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
    tcase_add_test(tests, a_newer_one_of_its_name_takes_its_place);
    tcase_add_test(tests, an_older_one_of_its_name_does_not);
    tcase_add_test(tests, of_two_that_lived_side_by_side_each_must_return);
    tcase_add_test(tests, names_are_compared_as_far_as_they_are_kept);
    tcase_add_test(tests, beyond_the_room_only_the_time_counts);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
