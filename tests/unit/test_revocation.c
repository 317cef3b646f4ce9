#include <stdio.h>

#include "common/subscriber.h"
#include "hub_world.h"
#include "proto/status.h"
#include "token_maker.h"
#include "unit.h"

/* Rights that are taken back: whom it hits, what they are told, and when it is confirmed. */

#define ALL (BUS_SCOPE_SITE | BUS_SCOPE_APP | BUS_SCOPE_CHANNEL)

static struct world world;
static site_keys_t *keys;

static struct bus_revoke chat(uint8_t mode)
{
    return (struct bus_revoke){.mode = mode,
                               .scope = ALL,
                               .site = span_text(world.site),
                               .channel = span_text("s0")};
}

static void verdict(uint16_t status, bool temporary, uint32_t grant_ms)
{
    world.streams[0].verdict = (struct world_verdict){status, temporary, grant_ms};
}

static void expect(size_t client, const char *part)
{
    char *text = world_next(&world, client);
    ck_assert_msg(text != NULL, "nothing came to %zu, expected %s", client, part);
    ck_assert_msg(strstr(text, part) != NULL, "%s came, expected %s", text, part);
    free(text);
}

static void expect_nothing(size_t client)
{
    char *text = world_next(&world, client);
    ck_assert_msg(text == NULL, "%s came, expected nothing", text);
}

static void subscribe(size_t client, size_t stream)
{
    world_send(&world, client, "{\"id\":%zu,\"subscribe\":{\"channel\":\"%s\"}}", 10 + stream,
               world_channel(stream));
    world_settle(&world);
    expect(client, "\"subscribe\":{");
}

/* Two visitors on s0, the first one on s1 too. */
static void setup(void)
{
    struct hub_settings settings = world_settings();
    world_open(&world, &settings);
    for (size_t client = 0; client < 2; client++) {
        world_connect(&world, client);
        subscribe(client, 0);
    }
    subscribe(0, 1);
}

static void teardown(void)
{
    world_close(&world);
    site_keys_destroy(&keys);
}

/* The frame comes in, and what it needs no answer for is done. */
static void revoke(struct bus_revoke what)
{
    world_revoke(&world, what);
    while (world_move_answer(&world))
        continue;
}

static void expect_confirmed(uint64_t count, uint32_t affected, uint32_t ended)
{
    ck_assert_uint_eq(world.confirmations, count);
    ck_assert_uint_eq(world.revoked.number, world.revocations);
    ck_assert_uint_eq(world.revoked.affected, affected);
    ck_assert_uint_eq(world.revoked.ended, ended);
}

static void confirmed_now(uint32_t affected, uint32_t ended)
{
    while (world_move_question(&world))
        continue;
    expect_confirmed(1, affected, ended);
}

START_TEST(deny_ends_and_says_so)
{
    revoke(chat(BUS_REVOKE_DENY));
    confirmed_now(2, 2);
    for (size_t client = 0; client < 2; client++)
        expect(client, "\"channel\":\"s0\",\"unsubscribe\":{\"code\":2410,\"reason\":\"read "
                       "permission revoked\"}");
    world_publish(&world, 0);
    world_publish(&world, 1);
    world_settle(&world);
    expect(0, "\"channel\":\"s1\"");
    expect_nothing(0);
    expect_nothing(1);
}
END_TEST

START_TEST(whom_it_hits)
{
    const struct span own = span_text("default"), other = span_text("other");
    const struct span s0 = span_text("s0"), s1 = span_text("s1"), s9 = span_text("s9");
    const struct {
        struct bus_revoke scope;
        uint32_t affected;
    } cases[] = {
        {{.scope = 0}, 3},
        {{.scope = BUS_SCOPE_SITE, .site = own}, 3},
        {{.scope = BUS_SCOPE_SITE, .site = other}, 0},
        {{.scope = BUS_SCOPE_SITE | BUS_SCOPE_APP, .site = own}, 3},
        {{.scope = BUS_SCOPE_SITE | BUS_SCOPE_APP, .site = own, .app = other}, 0},
        {{.scope = ALL, .site = own, .channel = s0}, 2},
        {{.scope = ALL, .site = own, .channel = s1}, 1},
        {{.scope = ALL, .site = own, .channel = s9}, 0},
        {{.scope = ALL, .site = other, .channel = s0}, 0},
        {{.scope = ALL | BUS_SCOPE_RESOURCE, .site = own, .channel = s0}, 2},
        {{.scope = ALL | BUS_SCOPE_RESOURCE, .site = own, .channel = s0, .resource = s9}, 0},
        {{.scope = BUS_SCOPE_TYPE, .type = SUBSCRIBER_VISITOR}, 3},
        {{.scope = BUS_SCOPE_TYPE, .type = SUBSCRIBER_MEMBER}, 0},
        {{.scope = BUS_SCOPE_SUBSCRIBER}, 3}, /* nobody in particular */
        {{.scope = BUS_SCOPE_SUBSCRIBER, .subscriber = s9}, 0},
        {{.scope = ALL | BUS_SCOPE_SUBSCRIBER | BUS_SCOPE_TYPE,
          .site = own,
          .channel = s0,
          .type = SUBSCRIBER_VISITOR},
         2},
    };
    struct bus_revoke what = cases[_i].scope;
    what.mode = BUS_REVOKE_DENY;
    revoke(what);
    confirmed_now(cases[_i].affected, cases[_i].affected);
}
END_TEST

START_TEST(recheck_keeps_those_who_may)
{
    revoke(chat(BUS_REVOKE_RECHECK));
    ck_assert_uint_eq(world.confirmations, 0);
    world_settle(&world);
    expect_confirmed(1, 2, 0);
    ck_assert_uint_eq(world.permits, 2);
    world_publish(&world, 0);
    world_settle(&world);
    for (size_t client = 0; client < 2; client++) {
        expect(client, "\"offset\":1");
        expect_nothing(client);
    }
}
END_TEST

START_TEST(recheck_ends_those_who_may_not)
{
    verdict(STATUS_FORBIDDEN, false, 0);
    revoke(chat(BUS_REVOKE_RECHECK));
    world_settle(&world);
    expect_confirmed(1, 2, 2);
    expect(0, "\"unsubscribe\":{\"code\":2403,\"reason\":\"read permission refused\"}");
}
END_TEST

START_TEST(nothing_is_delivered_until_it_is_decided)
{
    revoke(chat(BUS_REVOKE_RECHECK));
    world_publish(&world, 0);
    while (world_move_publication(&world))
        continue;
    expect_nothing(0);
    verdict(STATUS_FORBIDDEN, false, 0);
    world_settle(&world);
    expect(0, "\"unsubscribe\":{\"code\":2403");
    expect_nothing(0);
}
END_TEST

START_TEST(a_recheck_without_an_answer_is_confirmed_after_a_while)
{
    revoke(chat(BUS_REVOKE_RECHECK));
    world_publish(&world, 0);
    while (world_move_publication(&world))
        continue;
    while (world.questions.count > 0) { /* nobody answers */
        struct buffer *question = &world.questions.items[0];
        ck_assert(question->size > 0);
        break;
    }
    world_advance(&world, 799);
    ck_assert_uint_eq(world.confirmations, 0);
    world_advance(&world, 1);
    while (world_move_question(&world))
        continue;
    expect_confirmed(1, 2, 0);
    expect_nothing(0); /* and still nothing is delivered */
}
END_TEST

START_TEST(a_temporary_outage_is_told_as_a_loss)
{
    verdict(STATUS_UNAVAILABLE, true, 0);
    revoke(chat(BUS_REVOKE_RECHECK));
    world_settle(&world);
    expect_confirmed(1, 2, 2);
    world_advance(&world, 100);
    expect(0, "\"unsubscribe\":{\"code\":2500");
}
END_TEST

START_TEST(a_final_outage_ends_it)
{
    verdict(STATUS_UNAVAILABLE, false, 0);
    revoke(chat(BUS_REVOKE_RECHECK));
    world_settle(&world);
    expect_confirmed(1, 2, 2);
    expect(0, "\"unsubscribe\":{\"code\":2453,\"reason\":\"permission handler unavailable\"}");
}
END_TEST

START_TEST(deny_after_recheck_wins)
{
    revoke(chat(BUS_REVOKE_RECHECK));
    revoke(chat(BUS_REVOKE_DENY));
    world_settle(&world);
    ck_assert_uint_eq(world.confirmations, 2);
    expect(0, "\"unsubscribe\":{\"code\":2410");
    expect_nothing(0);
    ck_assert_uint_eq(hub_metrics(world.hub, world.now_ms)->held_for_permit, 0);
}
END_TEST

START_TEST(who_leaves_is_decided)
{
    revoke(chat(BUS_REVOKE_RECHECK));
    world_disconnect(&world, 0);
    world_send(&world, 1, "{\"id\":50,\"unsubscribe\":{\"channel\":\"s0\"}}");
    while (world_move_question(&world))
        continue;
    ck_assert_uint_eq(world.confirmations, 1);
    ck_assert_uint_eq(world.revoked.affected, 2);
}
END_TEST

START_TEST(a_subscription_that_is_being_asked_for_is_the_brokers_business)
{
    world_connect(&world, 2);
    world_send(&world, 2, "{\"id\":2,\"subscribe\":{\"channel\":\"s0\"}}");
    revoke(chat(BUS_REVOKE_DENY));
    world_settle(&world);
    ck_assert_uint_eq(world.revoked.affected, 2);
    expect(2, "\"subscribe\":{"); /* asked behind the revocation, and allowed */
    expect_nothing(2);
}
END_TEST

START_TEST(preview_is_nobodys_to_revoke)
{
    world_close(&world);
    keys = token_one_site();
    struct hub_settings settings = world_settings();
    settings.keys = keys;
    world_open(&world, &settings);
    hub_set_wall(world.hub, INT64_C(1800000000000) - world.now_ms);
    world.clients[0].session = hub_session_opened(world.hub, (void *)0, world.now_ms);
    char *token = token_make("{\"alg\":\"HS256\",\"kid\":\"a\"}",
                             "{\"sub\":\"ann\",\"type\":\"MEMBER\",\"exp\":1800003600,"
                             "\"view\":\"preview\"}",
                             TOKEN_SECRET);
    world_send(&world, 0, "{\"id\":1,\"connect\":{\"token\":\"%s\"}}", token);
    free(token);
    expect(0, "\"connect\":{");
    world_send(&world, 0, "{\"id\":2,\"subscribe\":{\"channel\":\"s0\"}}");
    while (world_move_topic(&world) || world_move_publication(&world))
        continue;
    revoke((struct bus_revoke){.mode = BUS_REVOKE_DENY});
    while (world_move_question(&world))
        continue;
    ck_assert_uint_eq(world.revoked.affected, 0);
    /* but the person can be sent away, by name and type */
    revoke((struct bus_revoke){.mode = BUS_REVOKE_DISCONNECT,
                               .scope = BUS_SCOPE_SITE | BUS_SCOPE_SUBSCRIBER | BUS_SCOPE_TYPE,
                               .site = span_text("acme"),
                               .type = SUBSCRIBER_MEMBER,
                               .subscriber = span_text("ann")});
    ck_assert(world.clients[0].has_been_closed);
}
END_TEST

START_TEST(disconnect_closes_for_good_with_a_reason)
{
    static const struct {
        const char *reason, *text;
    } cases[] = {
        {"", "disconnected by the site"},
        {"spam", "disconnected by the site: spam"},
        {"42", "disconnected by the site: 42"}, /* must not parse as JSON */
        {"\xff", "disconnected by the site"},
    };
    revoke((struct bus_revoke){.mode = BUS_REVOKE_DISCONNECT,
                               .scope = BUS_SCOPE_SITE,
                               .site = span_text("default"),
                               .reason = span_text(cases[_i].reason)});
    confirmed_now(2, 2);
    for (size_t client = 0; client < 2; client++) {
        ck_assert(world.clients[client].has_been_closed);
        ck_assert_int_eq(world.clients[client].code, CLIENT_CLOSE_DISCONNECTED);
        ck_assert_str_eq(world.clients[client].reason, cases[_i].text);
    }
}
END_TEST

START_TEST(a_long_reason_is_cut_between_characters)
{
    char reason[LIMIT_REASON_BYTES + 1];
    for (size_t i = 0; i < LIMIT_REASON_BYTES; i += 2)
        memcpy(reason + i, "\xc3\xa4", 2);
    reason[LIMIT_REASON_BYTES] = '\0';
    revoke((struct bus_revoke){.mode = BUS_REVOKE_DISCONNECT, .reason = span_text(reason)});
    const char *got = world.clients[0].reason;
    ck_assert_uint_le(strlen(got), LIMIT_CLOSE_REASON_BYTES);
    ck_assert_uint_gt(strlen(got), LIMIT_CLOSE_REASON_BYTES - 2);
    ck_assert_int_eq((uint8_t)got[strlen(got) - 1], 0xa4);
}
END_TEST

START_TEST(disconnect_of_nobody)
{
    revoke((struct bus_revoke){.mode = BUS_REVOKE_DISCONNECT,
                               .scope = BUS_SCOPE_SUBSCRIBER,
                               .subscriber = span_text("carl")});
    confirmed_now(0, 0);
    ck_assert(!world.clients[0].has_been_closed);
}
END_TEST

START_TEST(frames_that_are_none_do_nothing)
{
    struct buffer frame = {0};
    for (uint8_t mode = 0; mode < 5; mode += 4) {
        buffer_reset(&frame);
        bus_put_revoke(&frame, &(struct bus_revoke){.number = 1, .mode = mode});
        hub_revoke(world.hub, buffer_span(&frame), world.now_ms);
    }
    frame.size--;
    hub_revoke(world.hub, buffer_span(&frame), world.now_ms);
    buffer_free(&frame);
    ck_assert_uint_eq(hub_metrics(world.hub, world.now_ms)->publications_malformed_total, 3);
    ck_assert_uint_eq(hub_revoked(world.hub), 0);
}
END_TEST

START_TEST(the_next_hello_knows_the_last_one)
{
    revoke(chat(BUS_REVOKE_DENY));
    ck_assert_uint_eq(hub_revoked(world.hub), 1);
    ck_assert_uint_eq(hub_broker(world.hub), world.broker);
    hub_broker_down(world.hub, world.now_ms);
    ck_assert_uint_eq(hub_revoked(world.hub), 1);
    hub_broker_up(world.hub, world.broker + 1, 7, world.now_ms);
    ck_assert_uint_eq(hub_revoked(world.hub), 7);
    ck_assert_uint_eq(hub_broker(world.hub), world.broker + 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("revocation");
    TCase *cases = tcase_create("all");
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, deny_ends_and_says_so);
    tcase_add_loop_test(cases, whom_it_hits, 0, 16);
    tcase_add_test(cases, recheck_keeps_those_who_may);
    tcase_add_test(cases, recheck_ends_those_who_may_not);
    tcase_add_test(cases, nothing_is_delivered_until_it_is_decided);
    tcase_add_test(cases, a_recheck_without_an_answer_is_confirmed_after_a_while);
    tcase_add_test(cases, a_temporary_outage_is_told_as_a_loss);
    tcase_add_test(cases, a_final_outage_ends_it);
    tcase_add_test(cases, deny_after_recheck_wins);
    tcase_add_test(cases, who_leaves_is_decided);
    tcase_add_test(cases, a_subscription_that_is_being_asked_for_is_the_brokers_business);
    tcase_add_test(cases, preview_is_nobodys_to_revoke);
    tcase_add_loop_test(cases, disconnect_closes_for_good_with_a_reason, 0, 4);
    tcase_add_test(cases, a_long_reason_is_cut_between_characters);
    tcase_add_test(cases, disconnect_of_nobody);
    tcase_add_test(cases, frames_that_are_none_do_nothing);
    tcase_add_test(cases, the_next_hello_knows_the_last_one);
    suite_add_tcase(suite, cases);
    return unit_run(suite);
}
