#include "permission_world.h"
#include "unit.h"

/* Other settings while gateways and backends are there. */

static policy_t *policy;

static void teardown(void)
{
    world_teardown();
    policy_destroy(&policy);
}

static void configure(void)
{
    ck_assert(core_configure(world, &world_settings, world_now));
}

/* The same with these rules. */
static void configure_rules(const struct policy_rule *rules, size_t count)
{
    policy_t *before = policy;
    struct buffer why = {0};
    size_t index = 0;
    policy =
        policy_new(&(struct policy_settings){.rules = rules, .rule_count = count}, &index, &why);
    ck_assert_ptr_nonnull(policy);
    world_settings.policy = policy;
    configure();
    policy_destroy(&before);
}

static const struct policy_rule visitors = {.label = "v", .channel = "chat", .allow = "visitor"};

static void expect_recheck(uint64_t number)
{
    struct bus_revoke revoke;
    ck_assert(bus_get_revoke(take_frame("g"), &revoke));
    ck_assert_uint_eq(revoke.mode, BUS_REVOKE_RECHECK);
    ck_assert_uint_eq(revoke.scope, 0);
    ck_assert_uint_eq(revoke.number, number);
    expect_nothing();
}

START_TEST(the_same_settings_change_nothing)
{
    configure();
    configure_rules(NULL, 0);
    expect_nothing();
    ck_assert_uint_eq(world_metrics.rechecks_total, 0);
}
END_TEST

START_TEST(limits_hold_at_once)
{
    post(1, 1);
    drop_effects();
    world_settings.payload_bytes = 4;
    world_settings.handlers = 0;
    configure();
    expect_nothing();
    world_request(0, "p", "{'op':'publish','id':2,'channel':'chat','payload':{'n':1}}");
    expect_refusal("p", "2", STATUS_TOO_LARGE, "the limit is 4");
    world_request(0, "p", "{'op':'handle','id':3,'handlers':[{'channel':'chat'}]}");
    expect_refusal("p", "3", STATUS_TOO_MANY, "more than 0");
}
END_TEST

START_TEST(rights_of_backends_hold_with_the_next_request)
{
    static const struct sites_principal principals[] = {{"default", "", "history"}};
    struct buffer why = {0};
    size_t index;
    const sites_t *before = world_settings.sites;
    sites_t *sites = sites_new(principals, 1, &index, &why);
    ck_assert_ptr_nonnull(sites);
    world_settings.sites = sites;
    configure();
    world_request(0, "p", "{'op':'publish','id':1,'channel':'chat','payload':{'n':1}}");
    expect_refusal("p", "1", STATUS_FORBIDDEN, "may not publish");
    world_settings.sites = before;
    configure();
    sites_destroy(&sites);
    post(2, 2);
    drop_effects();
    ck_assert_uint_eq(world_metrics.refused_forbidden_total, 1);
}
END_TEST

START_TEST(another_rule_is_asked_about_everywhere)
{
    ask_member(7);
    expect_answer("g", 7, STATUS_OK);
    configure_rules(&visitors, 1);
    expect_recheck(1);
    ck_assert_uint_eq(world_metrics.rechecks_total, 1);
    ask_member(8);
    expect_answer("g", 8, STATUS_FORBIDDEN);
    configure_rules(&visitors, 1); /* the same */
    expect_nothing();
    configure_rules(NULL, 0);
    expect_recheck(2);
    ask_member(9);
    expect_answer("g", 9, STATUS_OK);
}
END_TEST

START_TEST(what_a_handler_said_and_nobody_was_told_is_decided_again)
{
    world_handler("w", "[{}]");
    ask_member(7);
    expect_check("w", CHECK("1", "chat", "ann", "MEMBER"));
    answer("w", "1", "[{'read':true}]");
    configure_rules(&visitors, 1); /* of the channel: before the default handler */
    expect_recheck(1);
    expect_answer("g", 7, STATUS_FORBIDDEN);
}
END_TEST

START_TEST(what_a_handler_has_not_said_yet_is_decided_by_the_rule)
{
    world_handler("w", "[{}]");
    ask_member(7);
    expect_check("w", CHECK("1", "chat", "ann", "MEMBER"));
    configure_rules(&visitors, 1);
    expect_recheck(1);
    expect_answer("g", 7, STATUS_FORBIDDEN);
    answer("w", "1", "[{'read':true}]");
    expect_nothing();
}
END_TEST

START_TEST(another_time_to_ask_is_asked_about_everywhere)
{
    struct streams_channel strict = {"chat", world_settings.streams.rule};
    strict.rule.check_each = true;
    world_subscribe("chat", NULL, true);
    ask_member(7);
    ck_assert_uint_eq(expect_answer("g", 7, STATUS_OK).grant_ms, BUS_GRANT_FOREVER);
    world_settings.streams.channels = &strict;
    world_settings.streams.channel_count = 1;
    configure();
    expect_recheck(1);
    ask_member(8);
    ck_assert_uint_eq(expect_answer("g", 8, STATUS_OK).grant_ms, BUS_GRANT_ONCE);
}
END_TEST

START_TEST(fewer_answers_are_kept)
{
    world_handler("w", "[{}]");
    ask_as("ann");
    check_answered("1", "ann", "[{'read':true,'ttl':100}]");
    expect_answer("g", 7, STATUS_OK);
    core_measure(world);
    ck_assert_uint_eq(world_metrics.grants, 1);
    world_settings.asks.grants = 0;
    configure();
    core_measure(world);
    ck_assert_uint_eq(world_metrics.grants, 0);
    ask_as("ann");
    expect_check("w", CHECK("2", "chat", "ann", "MEMBER"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("core_configure");
    TCase *tests = tcase_create("core_configure");
    tcase_add_checked_fixture(tests, permission_setup, teardown);
    tcase_add_test(tests, the_same_settings_change_nothing);
    tcase_add_test(tests, limits_hold_at_once);
    tcase_add_test(tests, rights_of_backends_hold_with_the_next_request);
    tcase_add_test(tests, another_rule_is_asked_about_everywhere);
    tcase_add_test(tests, what_a_handler_said_and_nobody_was_told_is_decided_again);
    tcase_add_test(tests, what_a_handler_has_not_said_yet_is_decided_by_the_rule);
    tcase_add_test(tests, another_time_to_ask_is_asked_about_everywhere);
    tcase_add_test(tests, fewer_answers_are_kept);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
