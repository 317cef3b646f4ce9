#include "revocation_world.h"
#include "asserts.h"

#include <stdio.h>
#include <stdlib.h>

#include "token_maker.h"

#define NOW INT64_C(1800000000)

static site_keys_t *keys;

void revocation_setup(void)
{
    keys = token_one_site();
    struct hub_settings settings = world_settings();
    settings.keys = keys;
    world_open(&world, &settings);
    world.site = "acme";
    hub_set_wall(world.hub, NOW * 1000 - world.now_ms);
}

void revocation_teardown(void)
{
    done();
    site_keys_destroy(&keys);
}

/* --- people --- */

void connect_as(size_t client, const char *claims)
{
    char all[256];
    snprintf(all, sizeof all, "{\"exp\":%lld,%s}", (long long)NOW + 3600, claims);
    char *token = token_make("{\"alg\":\"HS256\",\"kid\":\"a\"}", all, TOKEN_SECRET);
    world.clients[client].session =
        hub_session_opened(world.hub, (void *)(uintptr_t)client, world.now_ms);
    world_send(&world, client, "{\"id\":1,\"connect\":{\"token\":\"%s\"}}", token);
    free(token);
    expect_from(client, "\"connect\":{");
}

void given_member(uint32_t grant_ms)
{
    world.streams[0].verdict.grant_ms = grant_ms;
    connect_as(0, MEMBER("u1"));
    subscribe(0, "s0");
}

static void given_catching(void)
{
    connect_as(0, MEMBER("u1"));
    world_send(&world, 0, "{\"id\":2,\"subscribe\":{\"channel\":\"s0\"}}");
    fenced();
    world_move_question(&world);
    for (int i = 0; i < 14; i++)
        world_publish(&world, 0);
    while (world_move_publication(&world) || world_move_answer(&world))
        continue;
    expect("\"subscribe\":{");
}

uint64_t given_half_caught_up(void)
{
    given_catching();
    while (metrics()->deliveries_total == 0 && world_move_question(&world))
        world_move_answer(&world);
    uint64_t heard = metrics()->deliveries_total;
    ck_assert_uint_gt(heard, 0);
    ck_assert_uint_lt(heard, 14);
    for (uint64_t i = 0; i < heard; i++)
        expect("\"pub\":{");
    return heard;
}

void given_people(void)
{
    static const char *const people[WORLD_CLIENTS] = {
        MEMBER("u1"), "\"type\":\"ADMIN\",\"sub\":\"u1\"", MEMBER("u2"), "\"type\":\"VISITOR\"",
        MEMBER("u1") ",\"app\":\"shop\""};
    for (size_t i = 0; i < WORLD_CLIENTS; i++) {
        connect_as(i, people[i]);
        subscribe(i, "s0");
        subscribe(i, "s0:r");
    }
}

uint32_t count_of(unsigned who)
{
    return (uint32_t)__builtin_popcount(who);
}

/* --- revocations --- */

void revoke(struct bus_revoke frame)
{
    world_revoke(&world, frame);
    answers_come();
}

void revoke_s0(uint8_t mode)
{
    revoke((struct bus_revoke){.mode = mode,
                               .scope = BUS_SCOPE_SITE | BUS_SCOPE_APP | BUS_SCOPE_CHANNEL |
                                        BUS_SCOPE_RESOURCE,
                               .site = span_text("acme"),
                               .channel = span_text("s0")});
}

void expect_confirmations(uint64_t count)
{
    while (world_move_question(&world))
        continue;
    ck_assert_uint_eq(world.confirmations, count);
}

void expect_confirmed(uint32_t affected, uint32_t ended)
{
    expect_confirmations(world.confirmations + 1);
    ck_assert_uint_eq(world.revoked.number, world.revocations);
    ck_assert_uint_eq(world.revoked.affected, affected);
    ck_assert_uint_eq(world.revoked.ended, ended);
}

void expect_unconfirmed(void)
{
    expect_confirmations(world.confirmations);
}
