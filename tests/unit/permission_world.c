#include "permission_world.h"
#include "asserts.h"

#include <stdio.h>

const struct world_question member = {
    .token = 7, .channel = "chat", .resource = "", .type = SUBSCRIBER_MEMBER, .id = "ann"};

void permission_setup(void)
{
    world_setup();
    world_gateway("g", 11);
}

void ask_member(uint64_t token)
{
    struct world_question question = member;
    question.token = token;
    world_read("g", &question);
}

void ask_as(const char *id)
{
    struct world_question question = member;
    question.id = id;
    world_read("g", &question);
}

void answer(const char *peer, const char *number, const char *answers)
{
    char json[400];
    snprintf(json, sizeof json, "{'op':'answer','id':%s,'answers':%s}", number, answers);
    world_request(0, peer, json);
}

void check_answered(const char *number, const char *id, const char *answers)
{
    char check[300];
    snprintf(check, sizeof check, CHECK("%s", "chat", "%s", "MEMBER"), number, id);
    expect_check("w", check);
    answer("w", number, answers);
}

void refused(uint64_t token, bool is_temporary)
{
    struct bus_reply reply = expect_answer("g", token, STATUS_UNAVAILABLE);
    ck_assert_int_eq((reply.flags & BUS_REPLY_TEMPORARY) != 0, is_temporary);
}
