#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "core_world.h"

/* permission_world - one gateway "g", through which members ask to read chat, and one who answers
 * for the workers.
 */

/* The question about one who wants to read a channel of the default site. */
#define CHECK(number, channel, id, type)                                                           \
    "{'op':'check','id':" number ",'checks':[{'channel':'" channel "','subscriber':{'id':'" id     \
    "','type':'" type "'},'site':'default','app':'','context':{'request_id':'x'}}]}"

/* What decides about ann. */
#define EXPLAIN_ANN                                                                                \
    "{'op':'explain','id':1,'channel':'chat','subscriber':{'type':'MEMBER','id':'ann'}}"

/* ann, with token 7. */
extern const struct world_question member;

/* world_setup, and the gateway. */
void permission_setup(void);

/* ann asks with this token. */
void ask_member(uint64_t token);
/* A member with this id asks, with token 7. */
void ask_as(const char *id);
/* A worker's answers to a question of this number. */
void answer(const char *peer, const char *number, const char *answers);
/* Worker "w" is asked about this member and chat, and answers. */
void check_answered(const char *number, const char *id, const char *answers);
/* There is no permission, because nobody can say. */
void refused(uint64_t token, bool is_temporary);
