#include "answers_world.h"
#include "asserts.h"

#include <stdio.h>
#include <string.h>

struct bus_question about(uint8_t kind, struct span address)
{
    return (struct bus_question){.kind = kind, .token = 42, .address = address};
}

const struct bus_reply *ask(struct bus_question question)
{
    world_ask("g", &question, 1);
    const struct world_answers *answers = take_answers("g");
    ck_assert_uint_eq(answers->count, 1);
    ck_assert_uint_eq(answers->replies[0].token, question.token);
    return &answers->replies[0];
}

const struct bus_reply *recover(const char *channel, uint64_t epoch, uint64_t offset,
                                uint8_t more_flags)
{
    struct bus_question question = about(BUS_SUBSCRIBE, world_key(channel, NULL));
    question.flags = BUS_QUESTION_RECOVER | more_flags;
    question.epoch = epoch;
    question.offset = offset;
    return ask(question);
}

void expect_position(const struct bus_reply *reply, uint64_t epoch, uint64_t offset)
{
    ck_assert_uint_eq(reply->status, STATUS_OK);
    ck_assert_uint_eq(reply->epoch, epoch);
    ck_assert_uint_eq(reply->offset, offset);
}

void expect_recovered(const struct bus_reply *reply, const char *publications)
{
    ck_assert_uint_eq(reply->status, STATUS_OK);
    ck_assert_uint_eq(reply->flags, BUS_REPLY_RECOVERED);
    ck_assert_str_eq(world_publications(reply), publications);
}

void expect_not_recovered(const struct bus_reply *reply)
{
    ck_assert_uint_eq(reply->status, STATUS_OK);
    ck_assert_uint_eq(reply->flags, 0);
    ck_assert_uint_eq(reply->count, 0);
}

void given_payloads_of(size_t bytes)
{
    world_settings.payload_bytes = bytes;
    world_settings.streams.rule.limits.bytes = 16 << 20;
    world_start();
    world_gateway("g", 5);
}

void publish_large(const char *channel, uint64_t epoch, int count, size_t text_size)
{
    char request[16384];
    size_t head = (size_t)snprintf(request, sizeof request,
                                   "{'op':'publish','channel':'%s','payload':{'t':'", channel);
    memset(request + head, 'x', text_size);
    strcpy(request + head + text_size, "'}}");
    for (int i = 0; i < count; i++) {
        world_request(0, "p", request);
        core_stored(world, expect_append(channel, NULL, epoch, (uint64_t)i + 1, NULL),
                    STORE_COMMITTED, world_now);
    }
    drop_effects();
}
