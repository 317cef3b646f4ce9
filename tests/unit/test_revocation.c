#include <stdio.h>

#include "proto/status.h"
#include "revocation_world.h"
#include "unit.h"

/* The site takes back who may read: whom it means, what a denial ends, and what a gateway has
 * missed. */

/* --- whom it means --- */

#define SITE     BUS_SCOPE_SITE
#define APP      BUS_SCOPE_APP
#define CHANNEL  BUS_SCOPE_CHANNEL
#define RESOURCE BUS_SCOPE_RESOURCE
#define TYPE     BUS_SCOPE_TYPE
#define ID       BUS_SCOPE_SUBSCRIBER

static const struct scope_case {
    uint8_t scope;
    const char *site, *app, *channel, *resource;
    uint8_t type;
    const char *id;
    unsigned channel_itself, its_resource; /* whom it means there */
} cases[] = {
    {0, "", "", "", "", 0, "", ALL, ALL},
    {SITE, "acme", "", "", "", 0, "", ALL, ALL},
    {SITE, "other", "", "", "", 0, "", 0, 0},
    {SITE | APP, "acme", "", "", "", 0, "", OF_SITE, OF_SITE},
    {SITE | APP, "acme", "shop", "", "", 0, "", IN_APP, IN_APP},
    {SITE | APP | CHANNEL, "acme", "", "s0", "", 0, "", OF_SITE, OF_SITE},
    {SITE | APP | CHANNEL, "acme", "", "s1", "", 0, "", 0, 0},
    {SITE | CHANNEL, "acme", "", "s0", "", 0, "", ALL, ALL},
    {SITE | APP | CHANNEL | RESOURCE, "acme", "", "s0", "", 0, "", OF_SITE, 0},
    {SITE | APP | CHANNEL | RESOURCE, "acme", "", "s0", "r", 0, "", 0, OF_SITE},
    {SITE | APP | CHANNEL | RESOURCE, "acme", "", "s0", "q", 0, "", 0, 0},
    {SITE | APP | CHANNEL | RESOURCE, "acme", "shop", "s0", "r", 0, "", 0, IN_APP},
    {SITE | APP | CHANNEL | RESOURCE, "other", "", "s0", "r", 0, "", 0, 0},
    {SITE | APP | CHANNEL | RESOURCE | ID, "acme", "", "s0", "r", 0, "u1", 0, MEMBER_1 | ADMIN_1},
    {SITE | APP | CHANNEL | RESOURCE | ID | TYPE, "acme", "", "s0", "", 2, "u1", ADMIN_1, 0},
    {SITE | APP | CHANNEL | RESOURCE | TYPE, "acme", "", "s0", "", 1, "", MEMBER_1 | MEMBER_2, 0},
    {CHANNEL | RESOURCE, "", "", "s0", "r", 0, "", 0, ALL},
    {RESOURCE, "", "", "", "", 0, "", ALL, 0},
    {SITE | ID, "acme", "", "", "", 0, "u1", MEMBER_1 | ADMIN_1 | IN_APP,
     MEMBER_1 | ADMIN_1 | IN_APP},
    {SITE | APP | ID, "acme", "", "", "", 0, "u1", MEMBER_1 | ADMIN_1, MEMBER_1 | ADMIN_1},
    {SITE | APP | CHANNEL | ID, "acme", "", "s0", "", 0, "u1", MEMBER_1 | ADMIN_1,
     MEMBER_1 | ADMIN_1},
    {SITE | ID | TYPE, "acme", "", "", "", 1, "u1", MEMBER_1 | IN_APP, MEMBER_1 | IN_APP},
    {SITE | ID, "acme", "", "", "", 0, "", VISITOR, VISITOR}, /* those who are nobody */
    {SITE | ID, "acme", "", "", "", 0, "u3", 0, 0},
    {SITE | TYPE, "acme", "", "", "", 0, "", VISITOR, VISITOR},
    {SITE | TYPE, "acme", "", "", "", 7, "", 0, 0},
};
#define CASES (int)(sizeof cases / sizeof *cases)

static struct bus_revoke frame_of(const struct scope_case *scope, uint8_t mode)
{
    return (struct bus_revoke){.mode = mode,
                               .scope = scope->scope,
                               .site = span_text(scope->site),
                               .app = span_text(scope->app),
                               .channel = span_text(scope->channel),
                               .resource = span_text(scope->resource),
                               .type = scope->type,
                               .subscriber = span_text(scope->id)};
}

/* The pushes that somebody got, whichever came first. */
static void expect_ended(size_t client, unsigned code, bool channel_itself, bool its_resource)
{
    char part[64];
    bool was[2] = {false, false};
    for (char *text; (text = world_next(&world, client)); free(text)) {
        snprintf(part, sizeof part, "\"unsubscribe\":{\"code\":%u", code);
        ck_assert_msg(strstr(text, part) != NULL, "%s", text);
        was[strstr(text, "\"s0:r\"") != NULL] = true;
    }
    ck_assert_int_eq(was[0], channel_itself);
    ck_assert_int_eq(was[1], its_resource);
}

START_TEST(a_denial_ends_those_it_means_and_nobody_else)
{
    const struct scope_case *scope = &cases[_i];
    uint32_t count = count_of(scope->channel_itself) + count_of(scope->its_resource);
    given_people();
    revoke(frame_of(scope, BUS_REVOKE_DENY));
    expect_confirmed(count, count);
    for (size_t i = 0; i < WORLD_CLIENTS; i++)
        expect_ended(i, 2410, scope->channel_itself >> i & 1, scope->its_resource >> i & 1);
    ck_assert_uint_eq(metrics()->revoked_total, count);
    ck_assert_uint_eq(metrics()->subscriptions, 2 * WORLD_CLIENTS - count);
}
END_TEST

START_TEST(a_recheck_asks_for_those_it_means_and_nobody_else)
{
    const struct scope_case *scope = &cases[_i];
    uint32_t count = count_of(scope->channel_itself) + count_of(scope->its_resource);
    given_people();
    verdict(STATUS_FORBIDDEN, false, 0);
    revoke(frame_of(scope, BUS_REVOKE_RECHECK));
    if (count > 0)
        expect_unconfirmed();
    answers_come();
    expect_confirmed(count, count);
    for (size_t i = 0; i < WORLD_CLIENTS; i++)
        expect_ended(i, 2403, scope->channel_itself >> i & 1, scope->its_resource >> i & 1);
    ck_assert_uint_eq(world.permits, count);
}
END_TEST

START_TEST(preview_is_never_its_concern)
{
    connect_as(0, MEMBER("u1") ",\"view\":\"preview\"");
    subscribe(0, "s0");
    revoke((struct bus_revoke){.mode = BUS_REVOKE_DENY});
    expect_confirmed(0, 0);
    revoke((struct bus_revoke){
        .mode = BUS_REVOKE_RECHECK, .scope = ID, .subscriber = span_text("u1")});
    expect_confirmed(0, 0);
    expect_nothing();
}
END_TEST

/* --- deny --- */

START_TEST(nothing_comes_after_a_denial)
{
    given_member(BUS_GRANT_FOREVER);
    revoke_s0(BUS_REVOKE_DENY);
    expect("{\"push\":{\"channel\":\"s0\",\"unsubscribe\":{\"code\":2410,\"reason\":\"read "
           "permission revoked\"}}}");
    published(0);
    expect_nothing();
    expect_confirmed(1, 1);
    ck_assert_uint_eq(metrics()->revocations_total, 1);
    subscribe(0, "s0"); /* the broker's business, again */
    published(0);
    expect("\"offset\":2");
}
END_TEST

START_TEST(a_denial_takes_what_is_held_along)
{
    given_member(BUS_GRANT_ONCE);
    published(0);
    world_move_question(&world); /* a yes is on its way, in front of the denial */
    buffer_free(&world.answers.items[--world.answers.count]);
    revoke_s0(BUS_REVOKE_DENY);
    expect("\"code\":2410");
    expect_confirmed(1, 1);
    ck_assert_uint_eq(metrics()->held_for_permit, 0);
}
END_TEST

START_TEST(who_is_not_answered_yet_is_the_brokers_business)
{
    connect_as(0, MEMBER("u1"));
    world_send(&world, 0, "{\"id\":2,\"subscribe\":{\"channel\":\"s0\"}}");
    revoke_s0(BUS_REVOKE_DENY); /* waits for its fence */
    fenced();
    revoke_s0(BUS_REVOKE_RECHECK); /* asked */
    expect_confirmations(2);
    ck_assert_uint_eq(world.revoked.affected, 0);
    world_settle(&world);
    expect("\"subscribe\":{");
    published(0);
    expect("\"offset\":1");
}
END_TEST

START_TEST(a_denial_reaches_one_that_catches_up)
{
    given_half_caught_up();
    revoke_s0(BUS_REVOKE_DENY);
    expect("\"code\":2410");
    world_settle(&world);
    published(0);
    expect_nothing();
    ck_assert_uint_eq(world.revoked.affected, 1);
    ck_assert_uint_eq(world.revoked.ended, 1);
}
END_TEST

START_TEST(commands_that_wait_behind_a_denied_one_are_run)
{
    given_member(BUS_GRANT_FOREVER);
    world_send(&world, 0,
               "{\"id\":3,\"history\":{\"channel\":\"s0\",\"limit\":1}}\n"
               "{\"id\":4,\"history\":{\"channel\":\"s0\",\"limit\":1}}\n"
               "{\"id\":5,\"subscribe\":{\"channel\":\"s0\"}}");
    revoke_s0(BUS_REVOKE_DENY);
    expect("{\"id\":3,\"error\":{\"code\":103");
    expect("\"code\":2410");
    expect("{\"id\":4,\"error\":{\"code\":103");
    world_settle(&world);
    expect("{\"id\":5,\"subscribe\":{");
    expect_nothing();
}
END_TEST

/* --- the link --- */

START_TEST(the_gateway_remembers_what_it_has_applied)
{
    given_member(BUS_GRANT_FOREVER);
    ck_assert_uint_eq(hub_broker(world.hub), world.broker);
    ck_assert_uint_eq(hub_revoked(world.hub), 0);
    revoke_s0(BUS_REVOKE_DENY);
    revoke_s0(BUS_REVOKE_DENY);
    ck_assert_uint_eq(hub_revoked(world.hub), 2);
    world_break_link(&world);
    ck_assert_uint_eq(hub_broker(world.hub), world.broker);
    ck_assert_uint_eq(hub_revoked(world.hub), 2);
    world.revocations = 0;
    world_restart_broker(&world);
    ck_assert_uint_eq(hub_broker(world.hub), world.broker);
    ck_assert_uint_eq(hub_revoked(world.hub), 0);
}
END_TEST

START_TEST(what_was_missed_is_applied_before_the_welcome)
{
    given_member(BUS_GRANT_FOREVER);
    world_break_link(&world);
    verdict(STATUS_FORBIDDEN, false, 0);
    revoke_s0(BUS_REVOKE_RECHECK);
    ck_assert_uint_eq(hub_revoked(world.hub), 1);
    published(0);
    expect_nothing();
    ck_assert_uint_eq(metrics()->permits_asked_total, 0);
    world_mend_link(&world);
    ck_assert_uint_eq(hub_revoked(world.hub), 1);
    world_settle(&world);
    expect("\"code\":2403");
    expect_nothing();
    ck_assert_uint_eq(world.revoked.ended, 1);
}
END_TEST

START_TEST(what_is_no_revocation_is_counted_and_not_confirmed)
{
    given_member(BUS_GRANT_FOREVER);
    revoke((struct bus_revoke){.mode = 0});
    revoke((struct bus_revoke){.mode = 4});
    hub_revoke(world.hub, span_text("\t"), world.now_ms);
    expect_unconfirmed();
    ck_assert_uint_eq(metrics()->publications_malformed_total, 3);
    ck_assert_uint_eq(metrics()->revocations_total, 0);
    ck_assert_uint_eq(hub_revoked(world.hub), 0);
    published(0);
    expect("\"offset\":1");
}
END_TEST

/* Whom a lost one was about is not known. */
START_TEST(after_a_lost_one_nobody_reads_unasked_and_the_link_asks_for_it)
{
    given_member(BUS_GRANT_FOREVER);
    struct buffer frame = {0};
    bus_put_revoke(&frame, &(struct bus_revoke){.number = 2, .mode = BUS_REVOKE_DENY});
    ck_assert(!hub_revoke(world.hub, buffer_span(&frame), world.now_ms));
    ck_assert_uint_eq(hub_revoked(world.hub), 0);
    ck_assert_uint_eq(metrics()->revocations_missed_total, 1);
    published(0);
    ck_assert_ptr_null(world_next(&world, 0));
    verdict(STATUS_FORBIDDEN, false, 0);
    world_settle(&world);
    expect("\"code\":2403");
    /* sent again, in their order; what was applied is not applied twice */
    for (uint64_t number = 1; number <= 2; number++) {
        buffer_reset(&frame);
        bus_put_revoke(&frame, &(struct bus_revoke){.number = number, .mode = BUS_REVOKE_DENY});
        ck_assert(hub_revoke(world.hub, buffer_span(&frame), world.now_ms));
        ck_assert_uint_eq(hub_revoked(world.hub), number);
    }
    uint64_t before = metrics()->revocations_total;
    ck_assert(hub_revoke(world.hub, buffer_span(&frame), world.now_ms));
    ck_assert_uint_eq(metrics()->revocations_total, before);
    buffer_free(&frame);
}
END_TEST

START_TEST(one_behind_which_all_is_forgotten_stands_for_all_before_it)
{
    given_member(BUS_GRANT_FOREVER);
    struct buffer frame = {0};
    struct bus_revoke all = {.number = 9, .mode = BUS_REVOKE_RECHECK};
    bus_put_revoke(&frame, &all);
    ck_assert(!hub_revoke(world.hub, buffer_span(&frame), world.now_ms)); /* it is about all */
    ck_assert_uint_eq(hub_revoked(world.hub), 0);
    buffer_reset(&frame);
    all.scope = BUS_SCOPE_FORGOTTEN;
    bus_put_revoke(&frame, &all);
    ck_assert(hub_revoke(world.hub, buffer_span(&frame), world.now_ms));
    ck_assert_uint_eq(hub_revoked(world.hub), 9);
    buffer_free(&frame);
}
END_TEST

/* A welcome that comes while the link is up says what the broker has sent, and not what came. */
START_TEST(a_welcome_does_not_make_up_for_what_was_lost)
{
    given_member(BUS_GRANT_FOREVER);
    struct buffer frame = {0};
    bus_put_revoke(&frame, &(struct bus_revoke){.number = 2, .mode = BUS_REVOKE_DISCONNECT});
    ck_assert(!hub_revoke(world.hub, buffer_span(&frame), world.now_ms));
    ck_assert(!hub_broker_up(world.hub, hub_broker(world.hub), 2, world.now_ms));
    ck_assert_uint_eq(hub_revoked(world.hub), 0);
    for (uint64_t number = 1; number <= 2; number++) {
        buffer_reset(&frame);
        bus_put_revoke(&frame,
                       &(struct bus_revoke){.number = number, .mode = BUS_REVOKE_DISCONNECT});
        ck_assert(hub_revoke(world.hub, buffer_span(&frame), world.now_ms));
    }
    ck_assert_uint_eq(hub_revoked(world.hub), 2);
    ck_assert_uint_eq(metrics()->revocations_total, 2);
    ck_assert(hub_broker_up(world.hub, hub_broker(world.hub), 2, world.now_ms));
    buffer_free(&frame);
}
END_TEST

START_TEST(a_link_that_lacks_some_is_not_up)
{
    given_member(BUS_GRANT_FOREVER);
    world_break_link(&world);
    ck_assert(!hub_broker_up(world.hub, hub_broker(world.hub), 1, world.now_ms));
    ck_assert_uint_eq(metrics()->broker_up, 0);
    ck_assert_uint_eq(metrics()->revocations_missed_total, 1);
    revoke_s0(BUS_REVOKE_DENY); /* sent again */
    world_mend_link(&world);
    ck_assert_uint_eq(metrics()->broker_up, 1);
    expect("\"code\":2410");
}
END_TEST

START_TEST(the_last_one_that_was_lost_is_missed_by_its_number)
{
    given_member(BUS_GRANT_FOREVER);
    ck_assert(hub_check_revoked(world.hub, 0, world.now_ms));
    ck_assert(!hub_check_revoked(world.hub, 1, world.now_ms));
    ck_assert(!hub_check_revoked(world.hub, 1, world.now_ms)); /* everybody is asked about once */
    ck_assert_uint_eq(metrics()->revocations_missed_total, 1);
    published(0);
    expect_nothing();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("revocation");
    TCase *tests = tcase_create("all");
    tcase_add_checked_fixture(tests, revocation_setup, revocation_teardown);
    tcase_add_loop_test(tests, a_denial_ends_those_it_means_and_nobody_else, 0, CASES);
    tcase_add_loop_test(tests, a_recheck_asks_for_those_it_means_and_nobody_else, 0, CASES);
    tcase_add_test(tests, preview_is_never_its_concern);
    tcase_add_test(tests, nothing_comes_after_a_denial);
    tcase_add_test(tests, a_denial_takes_what_is_held_along);
    tcase_add_test(tests, who_is_not_answered_yet_is_the_brokers_business);
    tcase_add_test(tests, a_denial_reaches_one_that_catches_up);
    tcase_add_test(tests, commands_that_wait_behind_a_denied_one_are_run);
    tcase_add_test(tests, the_gateway_remembers_what_it_has_applied);
    tcase_add_test(tests, what_was_missed_is_applied_before_the_welcome);
    tcase_add_test(tests, what_is_no_revocation_is_counted_and_not_confirmed);
    tcase_add_test(tests, after_a_lost_one_nobody_reads_unasked_and_the_link_asks_for_it);
    tcase_add_test(tests, one_behind_which_all_is_forgotten_stands_for_all_before_it);
    tcase_add_test(tests, a_welcome_does_not_make_up_for_what_was_lost);
    tcase_add_test(tests, a_link_that_lacks_some_is_not_up);
    tcase_add_test(tests, the_last_one_that_was_lost_is_missed_by_its_number);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
