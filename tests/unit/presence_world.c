#include "presence_world.h"
#include "asserts.h"

#include <string.h>

#include "common/address.h"

const char *const gateways[2] = {"g1", "g2"};
static const struct streams_channel channels[] = {
    {"room", {{10, 1000, 1000}, true, PRESENCE_FULL, false, SLOW_READER_DISCONNECT}},
    {"hall", {{10, 1000, 1000}, true, PRESENCE_STATS, false, SLOW_READER_DISCONNECT}},
};

void presence_setup(void)
{
    world_setup();
    world_settings.streams.channels = channels;
    world_settings.streams.channel_count = 2;
    world_settings.presence = (struct presence_settings){
        .clients = 3, .users = 3, .rounds = 2, .questions = 4, .return_ms = 0};
    world_start();
    world_gateway("g1", 11);
    world_gateway("g2", 12);
}

void setup_return(void)
{
    world_settings.presence.return_ms = 6000;
    world_start();
    world_now += 6000;
    world_gateway("g1", 11);
    world_gateway("g2", 12);
}

/* --- events --- */

void question(const char *peer, uint64_t token, uint8_t kind, const char *channel)
{
    world_ask(
        peer,
        &(struct bus_question){.kind = kind, .token = token, .address = world_key(channel, NULL)},
        1);
}

void turn(void)
{
    core_answer(world, SIZE_MAX, world_now);
}

void rested_turn(void)
{
    world_now += PRESENCE_REST_MS;
    turn();
}

void advance(int64_t ms)
{
    world_now += ms;
    core_tick(world, world_now);
}

void part(const char *peer, uint64_t round, const char *clients)
{
    struct buffer items = {0}, frame = {0};
    uint32_t count = 0;
    for (; *clients; clients++) {
        if (*clients == ' ')
            continue;
        bus_put_presence_client(&items, &(struct bus_presence_client){.client = span_of(clients, 1),
                                                                      .user = span_of(clients, 1)});
        count++;
    }
    bus_put_presence_part(&frame, &(struct bus_presence_part){.round = round,
                                                              .clients = count,
                                                              .items = buffer_span(&items)});
    world_frame(peer, &frame);
    buffer_free(&items);
    buffer_free(&frame);
}

void part_status(const char *peer, uint64_t round, uint16_t status)
{
    struct buffer frame = {0};
    bus_put_presence_part(&frame, &(struct bus_presence_part){.round = round, .status = status});
    world_frame(peer, &frame);
    buffer_free(&frame);
}

/* --- effects --- */

struct bus_presence_ask expect_asked(const char *peer, uint8_t kind, const char *channel)
{
    struct bus_presence_ask ask;
    ck_assert(bus_get_presence_ask(take_frame(peer), &ask));
    ck_assert_uint_eq(ask.kind, kind);
    ck_assert(span_equal(ask.address, world_key(channel, NULL)));
    ck_assert_uint_eq(ask.limit, 3);
    return ask;
}

uint64_t expect_round(uint8_t kind, const char *channel)
{
    uint64_t seed = 0, round = 0;
    for (size_t i = 0; i < 2; i++) {
        struct bus_presence_ask ask = expect_asked(gateways[i], kind, channel);
        ck_assert(i == 0 || (ask.seed == seed && ask.round == round));
        seed = ask.seed;
        round = ask.round;
    }
    return round;
}

void check_clients(const struct bus_reply *reply, uint64_t token, const char *clients)
{
    struct span rest = reply->publications;
    char got[64] = "";
    struct bus_presence_client client;
    while (rest.size > 0) {
        ck_assert(bus_next_presence_client(&rest, &client));
        ck_assert(span_equal(client.client, client.user));
        strncat(got, (const char *)client.client.data, client.client.size);
    }
    ck_assert_uint_eq(reply->token, token);
    ck_assert_uint_eq(reply->status, STATUS_OK);
    ck_assert_uint_eq(reply->count, strlen(clients));
    ck_assert_str_eq(got, clients);
}

void expect_clients(const char *peer, uint64_t token, const char *clients)
{
    const struct world_answers *got = take_answer_frame(peer);
    ck_assert_uint_eq(got->count, 1);
    check_clients(&got->replies[0], token, clients);
}

void expect_refused(const char *peer, uint64_t token, enum status status, const char *words)
{
    const struct world_answers *got = take_answer_frame(peer);
    ck_assert_uint_eq(got->count, 1);
    const struct bus_reply *reply = &got->replies[0];
    ck_assert_uint_eq(reply->token, token);
    ck_assert_uint_eq(reply->status, (unsigned)status);
    ck_assert_uint_eq(reply->publications.size, 0);
    ck_assert_msg(memmem(reply->message.data, reply->message.size, words, strlen(words)), "%.*s",
                  SPAN_ARG(reply->message));
}

uint64_t waiting(void)
{
    core_measure(world);
    return world_metrics.presence_waiting;
}
