#include <stdio.h>

#include "hub_world.h"
#include "proto/status.h"
#include "token_maker.h"
#include "unit.h"

/* The site takes back who may read or be connected: whom it means, and what is confirmed when. */

#define NOW INT64_C(1800000000)

static struct world world;
static site_keys_t *keys;

static void given(void)
{
    keys = token_one_site();
    struct hub_settings settings = world_settings();
    settings.keys = keys;
    world_open(&world, &settings);
    world.site = "acme";
    hub_set_wall(world.hub, NOW * 1000 - world.now_ms);
}

static void done(void)
{
    world_close(&world);
    site_keys_destroy(&keys);
}

static const struct hub_metrics *metrics(void)
{
    return hub_metrics(world.hub, world.now_ms);
}

static void expect(size_t client, const char *part)
{
    char *text = world_next(&world, client);
    ck_assert_msg(text != NULL, "nothing came, expected %s", part);
    ck_assert_msg(strstr(text, part) != NULL, "%s came, expected %s", text, part);
    free(text);
}

static void expect_nothing(size_t client)
{
    char *text = world_next(&world, client);
    ck_assert_msg(text == NULL, "%s came, expected nothing", text);
}

static void connect_as(size_t client, const char *claims)
{
    char all[256];
    snprintf(all, sizeof all, "{\"exp\":%lld,%s}", (long long)NOW + 3600, claims);
    char *token = token_make("{\"alg\":\"HS256\",\"kid\":\"a\"}", all, TOKEN_SECRET);
    world.clients[client].session =
        hub_session_opened(world.hub, (void *)(uintptr_t)client, world.now_ms);
    world_send(&world, client, "{\"id\":1,\"connect\":{\"token\":\"%s\"}}", token);
    free(token);
    expect(client, "\"connect\":{");
}

static void subscribe(size_t client, const char *channel)
{
    world_send(&world, client, "{\"id\":2,\"subscribe\":{\"channel\":\"%s\"}}", channel);
    world_settle(&world);
    expect(client, "\"subscribe\":{");
}

#define MEMBER(id) "\"type\":\"MEMBER\",\"sub\":\"" id "\""

/* One member who reads s0. */
static void given_member(uint32_t grant_ms)
{
    given();
    world.streams[0].verdict.grant_ms = grant_ms;
    connect_as(0, MEMBER("u1"));
    subscribe(0, "s0");
}

static void verdict(uint16_t status, uint32_t grant_ms)
{
    world.streams[0].verdict = (struct world_verdict){.status = status, .grant_ms = grant_ms};
}

/* Reaches the gateway; what it says to that waits. */
static void revoke(struct bus_revoke frame)
{
    world_revoke(&world, frame);
    while (world_move_answer(&world))
        continue;
}

static void revoke_s0(uint8_t mode)
{
    revoke((struct bus_revoke){.mode = mode,
                               .scope = BUS_SCOPE_SITE | BUS_SCOPE_APP | BUS_SCOPE_CHANNEL |
                                        BUS_SCOPE_RESOURCE,
                               .site = span_text("acme"),
                               .channel = span_text("s0")});
}

static void published(void)
{
    world_publish(&world, 0);
    while (world_move_publication(&world))
        continue;
}

static void expect_confirmed(uint32_t affected, uint32_t ended)
{
    uint64_t before = world.confirmations;
    while (world_move_question(&world))
        continue;
    ck_assert_uint_eq(world.confirmations, before + 1);
    ck_assert_uint_eq(world.revoked.number, world.revocations);
    ck_assert_uint_eq(world.revoked.affected, affected);
    ck_assert_uint_eq(world.revoked.ended, ended);
}

static void expect_unconfirmed(void)
{
    uint64_t before = world.confirmations;
    while (world_move_question(&world))
        continue;
    ck_assert_uint_eq(world.confirmations, before);
}

/* --- whom it means --- */

/* Each reads s0 and s0:r. */
static const char *const people[] = {MEMBER("u1"), "\"type\":\"ADMIN\",\"sub\":\"u1\"",
                                     MEMBER("u2"), "\"type\":\"VISITOR\"",
                                     MEMBER("u1") ",\"app\":\"shop\""};
enum {
    MEMBER_1 = 1 << 0,
    ADMIN_1 = 1 << 1,
    MEMBER_2 = 1 << 2,
    VISITOR = 1 << 3,
    IN_APP = 1 << 4,
    OF_SITE = MEMBER_1 | ADMIN_1 | MEMBER_2 | VISITOR,
    ALL = OF_SITE | IN_APP
};

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

static void given_people(void)
{
    given();
    for (size_t i = 0; i < WORLD_CLIENTS; i++) {
        connect_as(i, people[i]);
        subscribe(i, "s0");
        subscribe(i, "s0:r");
    }
}

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

static uint32_t count_of(unsigned who)
{
    return (uint32_t)__builtin_popcount(who);
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
    done();
}
END_TEST

START_TEST(a_recheck_asks_for_those_it_means_and_nobody_else)
{
    const struct scope_case *scope = &cases[_i];
    uint32_t count = count_of(scope->channel_itself) + count_of(scope->its_resource);
    given_people();
    verdict(STATUS_FORBIDDEN, 0);
    revoke(frame_of(scope, BUS_REVOKE_RECHECK));
    if (count > 0)
        expect_unconfirmed();
    while (world_move_answer(&world))
        continue;
    expect_confirmed(count, count);
    for (size_t i = 0; i < WORLD_CLIENTS; i++)
        expect_ended(i, 2403, scope->channel_itself >> i & 1, scope->its_resource >> i & 1);
    ck_assert_uint_eq(world.permits, count);
    done();
}
END_TEST

START_TEST(preview_is_never_its_concern)
{
    given();
    connect_as(0, MEMBER("u1") ",\"view\":\"preview\"");
    subscribe(0, "s0");
    revoke((struct bus_revoke){.mode = BUS_REVOKE_DENY});
    expect_confirmed(0, 0);
    revoke((struct bus_revoke){
        .mode = BUS_REVOKE_RECHECK, .scope = ID, .subscriber = span_text("u1")});
    expect_confirmed(0, 0);
    expect_nothing(0);
    done();
}
END_TEST

/* --- deny --- */

START_TEST(nothing_comes_after_a_denial)
{
    given_member(BUS_GRANT_FOREVER);
    revoke_s0(BUS_REVOKE_DENY);
    expect(0, "{\"push\":{\"channel\":\"s0\",\"unsubscribe\":{\"code\":2410,\"reason\":\"read "
              "permission revoked\"}}}");
    published();
    expect_nothing(0);
    expect_confirmed(1, 1);
    ck_assert_uint_eq(metrics()->revocations_total, 1);
    subscribe(0, "s0"); /* the broker's business, again */
    published();
    expect(0, "\"offset\":2");
    done();
}
END_TEST

START_TEST(a_denial_takes_what_is_held_along)
{
    given_member(BUS_GRANT_ONCE);
    published();
    world_move_question(&world); /* a yes is on its way, in front of the denial */
    buffer_free(&world.answers.items[--world.answers.count]);
    revoke_s0(BUS_REVOKE_DENY);
    expect(0, "\"code\":2410");
    expect_confirmed(1, 1);
    ck_assert_uint_eq(metrics()->held_for_permit, 0);
    done();
}
END_TEST

START_TEST(who_is_not_answered_yet_is_the_brokers_business)
{
    given();
    connect_as(0, MEMBER("u1"));
    world_send(&world, 0, "{\"id\":2,\"subscribe\":{\"channel\":\"s0\"}}");
    revoke_s0(BUS_REVOKE_DENY); /* waits for its fence */
    while (world_move_topic(&world) || world_move_publication(&world))
        continue;
    revoke_s0(BUS_REVOKE_RECHECK); /* asked */
    while (world_move_question(&world))
        continue;
    ck_assert_uint_eq(world.confirmations, 2);
    ck_assert_uint_eq(world.revoked.affected, 0);
    world_settle(&world);
    expect(0, "\"subscribe\":{");
    published();
    expect(0, "\"offset\":1");
    done();
}
END_TEST

/* To the place where a range is fetched for the subscriber alone. */
static void given_catching(void)
{
    given();
    connect_as(0, MEMBER("u1"));
    world_send(&world, 0, "{\"id\":2,\"subscribe\":{\"channel\":\"s0\"}}");
    while (world_move_topic(&world) || world_move_publication(&world))
        continue;
    world_move_question(&world);
    for (int i = 0; i < 14; i++)
        world_publish(&world, 0);
    while (world_move_publication(&world) || world_move_answer(&world))
        continue;
    expect(0, "\"subscribe\":{");
}

/* It has got the first part of its range, and the rest was asked for. Returns how many that are. */
static uint64_t given_half_caught_up(void)
{
    given_catching();
    while (metrics()->deliveries_total == 0 && world_move_question(&world))
        world_move_answer(&world);
    uint64_t heard = metrics()->deliveries_total;
    ck_assert_uint_gt(heard, 0);
    ck_assert_uint_lt(heard, 14);
    for (uint64_t i = 0; i < heard; i++)
        expect(0, "\"pub\":{");
    return heard;
}

START_TEST(a_denial_reaches_one_that_catches_up)
{
    given_half_caught_up();
    revoke_s0(BUS_REVOKE_DENY);
    expect(0, "\"code\":2410");
    world_settle(&world);
    published();
    expect_nothing(0);
    ck_assert_uint_eq(world.revoked.affected, 1);
    ck_assert_uint_eq(world.revoked.ended, 1);
    done();
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
    expect(0, "{\"id\":3,\"error\":{\"code\":103");
    expect(0, "\"code\":2410");
    expect(0, "{\"id\":4,\"error\":{\"code\":103");
    world_settle(&world);
    expect(0, "{\"id\":5,\"subscribe\":{");
    expect_nothing(0);
    done();
}
END_TEST

/* --- recheck --- */

START_TEST(a_recheck_that_is_granted_loses_nothing)
{
    given_member(BUS_GRANT_FOREVER);
    revoke_s0(BUS_REVOKE_RECHECK);
    published();
    published();
    expect_nothing(0);
    expect_unconfirmed();
    while (world_move_answer(&world))
        continue;
    expect_confirmed(1, 0);
    expect(0, "\"offset\":1");
    expect(0, "\"offset\":2");
    published();
    expect(0, "\"offset\":3");
    done();
}
END_TEST

START_TEST(a_recheck_that_is_refused_delivers_nothing)
{
    given_member(BUS_GRANT_FOREVER);
    revoke_s0(BUS_REVOKE_RECHECK);
    published();
    verdict(STATUS_FORBIDDEN, 0);
    expect_unconfirmed();
    while (world_move_answer(&world))
        continue;
    expect_confirmed(1, 1);
    expect(0, "\"code\":2403");
    expect_nothing(0);
    done();
}
END_TEST

START_TEST(a_late_yes_does_not_win)
{
    given_member(BUS_GRANT_ONCE);
    published();
    world_move_question(&world); /* the yes of before is on its way */
    verdict(STATUS_FORBIDDEN, 0);
    struct world_queue late = world.answers;
    world.answers = (struct world_queue){0};
    revoke_s0(BUS_REVOKE_RECHECK);
    world.answers.items = realloc(world.answers.items, sizeof *late.items);
    world.answers.items[world.answers.count++] = late.items[0];
    free(late.items);
    world_move_answer(&world);
    expect_nothing(0);
    expect_unconfirmed();
    while (world_move_answer(&world))
        continue;
    expect(0, "\"code\":2403");
    expect_nothing(0);
    expect_confirmed(1, 1);
    done();
}
END_TEST

START_TEST(a_recheck_is_confirmed_after_a_while_in_any_case)
{
    given_member(BUS_GRANT_FOREVER);
    revoke_s0(BUS_REVOKE_RECHECK);
    struct world_queue asked = world.questions; /* the handler takes its time */
    world.questions = (struct world_queue){0};
    world_advance(&world, 799);
    expect_unconfirmed();
    world_advance(&world, 1);
    expect_confirmed(1, 0);
    published();
    expect_nothing(0);
    free(world.questions.items);
    world.questions = asked;
    verdict(STATUS_FORBIDDEN, 0);
    world_settle(&world);
    expect(0, "\"code\":2403");
    expect_nothing(0);
    ck_assert_uint_eq(world.confirmations, 1);
    done();
}
END_TEST

START_TEST(a_recheck_that_is_never_answered_is_a_loss)
{
    given_member(BUS_GRANT_FOREVER);
    revoke_s0(BUS_REVOKE_RECHECK);
    world_advance(&world, 4200);
    expect(0, "\"code\":2500");
    published();
    world_settle(&world);
    expect_nothing(0);
    done();
}
END_TEST

START_TEST(one_answer_decides_all_that_wait_for_it)
{
    given_member(BUS_GRANT_FOREVER);
    for (int i = 0; i < 3; i++)
        revoke_s0(BUS_REVOKE_RECHECK);
    expect_unconfirmed();
    while (world_move_answer(&world))
        continue;
    while (world_move_question(&world))
        continue;
    ck_assert_uint_eq(world.confirmations, 3);
    done();
}
END_TEST

START_TEST(who_leaves_meanwhile_has_ended)
{
    given_member(BUS_GRANT_FOREVER);
    connect_as(1, MEMBER("u2"));
    subscribe(1, "s0");
    revoke_s0(BUS_REVOKE_RECHECK);
    world_send(&world, 0, "{\"id\":3,\"unsubscribe\":{\"channel\":\"s0\"}}");
    expect(0, "\"unsubscribe\":{}");
    world_disconnect(&world, 1);
    while (world.questions.count > 1) /* the questions are not answered */
        world_move_question(&world);
    expect_confirmed(2, 2);
    done();
}
END_TEST

START_TEST(what_waits_is_bounded)
{
    given_member(BUS_GRANT_FOREVER);
    for (int i = 0; i < 1024; i++)
        revoke_s0(BUS_REVOKE_RECHECK);
    struct world_queue asked = world.questions;
    world.questions = (struct world_queue){0};
    revoke_s0(BUS_REVOKE_RECHECK);
    expect_confirmed(1, 0);
    published();
    expect_nothing(0);
    world_advance(&world, 800);
    while (world_move_question(&world))
        continue;
    ck_assert_uint_eq(world.confirmations, 1025);
    for (size_t i = 0; i < asked.count; i++)
        buffer_free(&asked.items[i]);
    free(asked.items);
    done();
}
END_TEST

START_TEST(a_recheck_reaches_one_that_catches_up)
{
    uint64_t heard = given_half_caught_up();
    revoke_s0(BUS_REVOKE_RECHECK);
    verdict(STATUS_OK, BUS_GRANT_FOREVER);
    world_settle(&world);
    for (uint64_t i = heard; i < 14; i++) {
        char part[32];
        snprintf(part, sizeof part, "\"offset\":%llu", (unsigned long long)i + 1);
        expect(0, part);
    }
    published();
    expect(0, "\"offset\":15");
    expect_nothing(0);
    ck_assert_uint_eq(world.revoked.affected, 1);
    ck_assert_uint_eq(world.revoked.ended, 0);
    done();
}
END_TEST

START_TEST(one_that_catches_up_can_be_refused)
{
    given_half_caught_up();
    revoke_s0(BUS_REVOKE_RECHECK);
    verdict(STATUS_FORBIDDEN, 0);
    world_settle(&world);
    expect(0, "\"code\":2403");
    expect_nothing(0);
    ck_assert_uint_eq(metrics()->held_for_permit, 0);
    ck_assert_uint_eq(world.revoked.ended, 1);
    done();
}
END_TEST

START_TEST(what_was_asked_by_one_who_could_read_is_asked_again)
{
    static const char *const asked[] = {"history", "presence", "presence_stats"};
    given_member(BUS_GRANT_FOREVER);
    world_send(&world, 0, "{\"id\":3,\"%s\":{\"channel\":\"s0\"}}", asked[_i]);
    world_move_question(&world);
    struct world_queue late = world.answers;
    world.answers = (struct world_queue){0};
    revoke_s0(BUS_REVOKE_RECHECK);
    verdict(STATUS_FORBIDDEN, 0);
    world.answers.items = realloc(world.answers.items, sizeof *late.items);
    world.answers.items[world.answers.count++] = late.items[0];
    free(late.items);
    world_move_answer(&world);
    expect_nothing(0);
    world_settle(&world);
    expect(0, "{\"id\":3,\"error\":{\"code\":103");
    expect(0, "\"code\":2403");
    expect_nothing(0);
    done();
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
    world.broker++;
    world.revocations = 0;
    world_mend_link(&world);
    ck_assert_uint_eq(hub_broker(world.hub), world.broker);
    ck_assert_uint_eq(hub_revoked(world.hub), 0);
    done();
}
END_TEST

START_TEST(what_was_missed_is_applied_before_the_welcome)
{
    given_member(BUS_GRANT_FOREVER);
    world_break_link(&world);
    verdict(STATUS_FORBIDDEN, 0);
    revoke_s0(BUS_REVOKE_RECHECK);
    ck_assert_uint_eq(hub_revoked(world.hub), 0); /* whose number that is, the welcome says */
    published();
    expect_nothing(0);
    ck_assert_uint_eq(metrics()->permits_asked_total, 0);
    world_mend_link(&world);
    ck_assert_uint_eq(hub_revoked(world.hub), 1);
    world_settle(&world);
    expect(0, "\"code\":2403");
    expect_nothing(0);
    ck_assert_uint_eq(world.revoked.ended, 1);
    done();
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
    published();
    expect(0, "\"offset\":1");
    done();
}
END_TEST

/* --- disconnect --- */

static void disconnect(uint8_t scope, const char *site, uint8_t type, const char *id,
                       struct span reason)
{
    revoke((struct bus_revoke){.mode = BUS_REVOKE_DISCONNECT,
                               .scope = scope,
                               .site = span_text(site),
                               .app = span_text("nobody looks"),
                               .type = type,
                               .subscriber = span_text(id),
                               .reason = reason});
}

START_TEST(a_disconnect_closes_those_it_means_for_good)
{
    static const struct {
        uint8_t scope;
        const char *site;
        uint8_t type;
        const char *id;
        unsigned who;
    } whom[] = {
        {SITE | ID, "acme", 0, "u1", MEMBER_1 | ADMIN_1 | IN_APP},
        {SITE | ID | TYPE, "acme", SUBSCRIBER_ADMIN, "u1", ADMIN_1},
        {SITE | TYPE, "acme", SUBSCRIBER_VISITOR, "", VISITOR},
        {SITE | ID, "other", 0, "u1", 0},
        {SITE | ID, "acme", 0, "u3", 0},
        {SITE, "acme", 0, "", ALL},
    };
    given_people();
    disconnect(whom[_i].scope, whom[_i].site, whom[_i].type, whom[_i].id, span_text("left"));
    expect_confirmed(count_of(whom[_i].who), count_of(whom[_i].who));
    for (size_t i = 0; i < WORLD_CLIENTS; i++) {
        ck_assert_int_eq(world.clients[i].has_been_closed, whom[_i].who >> i & 1);
        if (!world.clients[i].has_been_closed)
            continue;
        ck_assert_int_eq(world.clients[i].code, 3503);
        ck_assert_str_eq(world.clients[i].reason, "disconnected by the site: left");
    }
    ck_assert_uint_eq(metrics()->disconnected_total, count_of(whom[_i].who));
    done();
}
END_TEST

START_TEST(a_disconnect_closes_preview_too_but_not_those_who_are_nobody_yet)
{
    given();
    connect_as(0, MEMBER("u1") ",\"view\":\"preview\"");
    world.clients[1].session = hub_session_opened(world.hub, (void *)1, world.now_ms);
    disconnect(SITE, "acme", 0, "", (struct span){0});
    expect_confirmed(1, 1);
    ck_assert(world.clients[0].has_been_closed);
    ck_assert(!world.clients[1].has_been_closed);
    done();
}
END_TEST

START_TEST(the_reason_is_always_text_and_never_json)
{
    static const struct {
        const char *given, *told;
    } reasons[] = {
        {"", "disconnected by the site"},
        {"{\"code\":1}", "disconnected by the site: {\"code\":1}"},
        {"1", "disconnected by the site: 1"},
        {"\xff", "disconnected by the site"}, /* no text */
        /* 26 bytes of ours, 96 of theirs, and half a character has no room */
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
         "aaaaaaaaaaaaaaaa\xc3\xa9z",
         "disconnected by the site: "
         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
         "aaaaaaaaaaaaaaaa"},
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
         "aaaaaaaaaaaaaaa\xc3\xa9z",
         "disconnected by the site: "
         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
         "aaaaaaaaaaaaaaa\xc3\xa9"},
    };
    given_member(BUS_GRANT_FOREVER);
    disconnect(ID, "", 0, "u1", span_text(reasons[_i].given));
    expect_confirmed(1, 1);
    ck_assert_str_eq(world.clients[0].reason, reasons[_i].told);
    done();
}
END_TEST

START_TEST(a_disconnect_decides_a_recheck)
{
    given_member(BUS_GRANT_FOREVER);
    revoke_s0(BUS_REVOKE_RECHECK);
    disconnect(ID, "", 0, "u1", (struct span){0});
    while (world_move_question(&world))
        continue;
    ck_assert_uint_eq(world.confirmations, 2);
    done();
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
    ck_assert_uint_eq(hub_metrics(world.hub, world.now_ms)->revocations_missed_total, 1);
    published();
    ck_assert_ptr_null(world_next(&world, 0));
    verdict(STATUS_FORBIDDEN, 0);
    world_settle(&world);
    expect(0, "\"code\":2403");
    /* sent again, in their order; what was applied is not applied twice */
    for (uint64_t number = 1; number <= 2; number++) {
        buffer_reset(&frame);
        bus_put_revoke(&frame, &(struct bus_revoke){.number = number, .mode = BUS_REVOKE_DENY});
        ck_assert(hub_revoke(world.hub, buffer_span(&frame), world.now_ms));
        ck_assert_uint_eq(hub_revoked(world.hub), number);
    }
    uint64_t before = hub_metrics(world.hub, world.now_ms)->revocations_total;
    ck_assert(hub_revoke(world.hub, buffer_span(&frame), world.now_ms));
    ck_assert_uint_eq(hub_metrics(world.hub, world.now_ms)->revocations_total, before);
    buffer_free(&frame);
    done();
}
END_TEST

START_TEST(one_about_everything_stands_for_all_before_it)
{
    given_member(BUS_GRANT_FOREVER);
    struct buffer frame = {0};
    bus_put_revoke(&frame, &(struct bus_revoke){.number = 9, .mode = BUS_REVOKE_RECHECK});
    ck_assert(hub_revoke(world.hub, buffer_span(&frame), world.now_ms));
    ck_assert_uint_eq(hub_revoked(world.hub), 9);
    buffer_free(&frame);
    done();
}
END_TEST

static void add_tests(TCase *all)
{
    tcase_add_test(all, after_a_lost_one_nobody_reads_unasked_and_the_link_asks_for_it);
    tcase_add_test(all, one_about_everything_stands_for_all_before_it);
    tcase_add_loop_test(all, a_denial_ends_those_it_means_and_nobody_else, 0, CASES);
    tcase_add_loop_test(all, a_recheck_asks_for_those_it_means_and_nobody_else, 0, CASES);
    tcase_add_test(all, preview_is_never_its_concern);
    tcase_add_test(all, nothing_comes_after_a_denial);
    tcase_add_test(all, a_denial_takes_what_is_held_along);
    tcase_add_test(all, who_is_not_answered_yet_is_the_brokers_business);
    tcase_add_test(all, a_denial_reaches_one_that_catches_up);
    tcase_add_test(all, commands_that_wait_behind_a_denied_one_are_run);
    tcase_add_test(all, a_recheck_that_is_granted_loses_nothing);
    tcase_add_test(all, a_recheck_that_is_refused_delivers_nothing);
    tcase_add_test(all, a_late_yes_does_not_win);
    tcase_add_test(all, a_recheck_is_confirmed_after_a_while_in_any_case);
    tcase_add_test(all, a_recheck_that_is_never_answered_is_a_loss);
    tcase_add_test(all, one_answer_decides_all_that_wait_for_it);
    tcase_add_test(all, who_leaves_meanwhile_has_ended);
    tcase_add_test(all, what_waits_is_bounded);
    tcase_add_test(all, a_recheck_reaches_one_that_catches_up);
    tcase_add_test(all, one_that_catches_up_can_be_refused);
    tcase_add_loop_test(all, what_was_asked_by_one_who_could_read_is_asked_again, 0, 3);
    tcase_add_test(all, the_gateway_remembers_what_it_has_applied);
    tcase_add_test(all, what_was_missed_is_applied_before_the_welcome);
    tcase_add_test(all, what_is_no_revocation_is_counted_and_not_confirmed);
    tcase_add_loop_test(all, a_disconnect_closes_those_it_means_for_good, 0, 6);
    tcase_add_test(all, a_disconnect_closes_preview_too_but_not_those_who_are_nobody_yet);
    tcase_add_loop_test(all, the_reason_is_always_text_and_never_json, 0, 6);
    tcase_add_test(all, a_disconnect_decides_a_recheck);
}

int main(void)
{
    Suite *suite = suite_create("revocation");
    TCase *all = tcase_create("all");
    add_tests(all);
    suite_add_tcase(suite, all);
    return unit_run(suite);
}
