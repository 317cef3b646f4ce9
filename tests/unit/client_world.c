#include "client_world.h"
#include "asserts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/status.h"

struct world world;

void given_settings(struct hub_settings settings)
{
    world_open(&world, &settings);
    world_connect(&world, 0);
}

void given(void)
{
    given_settings(world_settings());
}

void done(void)
{
    world_close(&world);
}

const struct hub_metrics *metrics(void)
{
    return hub_metrics(world.hub, world.now_ms);
}

/* --- what is said and heard --- */

void say(const char *text)
{
    world_send(&world, 0, "%s", text);
}

void subscribe(size_t client, const char *channel)
{
    world_send(&world, client, "{\"id\":2,\"subscribe\":{\"channel\":\"%s\"}}", channel);
    world_settle(&world);
    expect_from(client, "\"subscribe\":{");
}

void expect_from(size_t client, const char *part)
{
    char *text = world_next(&world, client);
    ck_assert_msg(text != NULL, "nothing came, expected %s", part);
    ck_assert_msg(strstr(text, part) != NULL, "%s came, expected %s", text, part);
    free(text);
}

void expect(const char *part)
{
    expect_from(0, part);
}

void expect_nothing_for(size_t client)
{
    char *text = world_next(&world, client);
    ck_assert_msg(text == NULL, "%s came, expected nothing", text);
}

void expect_nothing(void)
{
    expect_nothing_for(0);
}

void expect_publication(size_t client, unsigned long long offset)
{
    char part[64];
    snprintf(part, sizeof part, "\"n\":%llu},\"offset\":%llu}}}", offset, offset);
    expect_from(client, part);
}

void expect_closed(enum client_close code)
{
    ck_assert(world.clients[0].has_been_closed);
    ck_assert_int_eq(world.clients[0].code, code);
}

/* --- what moves --- */

void published(size_t stream)
{
    world_publish(&world, stream);
    while (world_move_publication(&world))
        continue;
}

void fenced(void)
{
    while (world_move_topic(&world) || world_move_publication(&world))
        continue;
}

void answered(void)
{
    while (world_move_question(&world) || world_move_answer(&world))
        continue;
}

void answers_come(void)
{
    while (world_move_answer(&world))
        continue;
}

void lose_questions(void)
{
    while (world.questions.count > 0)
        buffer_free(&world.questions.items[--world.questions.count]);
}

/* --- permissions --- */

void verdict(uint16_t status, bool temporary, uint32_t grant_ms)
{
    world.streams[0].verdict = (struct world_verdict){status, temporary, grant_ms};
}

void given_granted(uint32_t grant_ms)
{
    given();
    verdict(STATUS_OK, false, grant_ms);
    subscribe(0, "s0");
}

void given_over(void)
{
    given_granted(100);
    world_advance(&world, 100);
}

void given_held(void)
{
    given_over();
    published(0);
    expect_nothing();
    ck_assert_uint_eq(metrics()->held_for_permit, 1);
    ck_assert_uint_eq(metrics()->permits_asked_total, 1);
}

void expect_nothing_held(void)
{
    ck_assert_uint_eq(metrics()->held_for_permit, 0);
}
