#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "common/streams.h"
#include "proto/bus_codec.h"

/* core_presence - who is subscribed to an address, on all gateways: a part of the core.
 *
 * The gateways know; the broker asks all of them with one frame each and joins what they say. What
 * it tells is whole or an error: a gateway that does not answer within PRESENCE_LIMIT_MS, that is
 * lost meanwhile or that is away (broker/away.h) makes it 503, which clients get as the temporary
 * error 100.
 *
 * One round of asking answers all questions that came before it began. One that comes later needs
 * another round, because a client may have left since; questions gather for it until the running
 * round is over, and PRESENCE_REST_MS more. So a herd that asks for one address costs two rounds,
 * and clients that go on asking cost the gateways, which count all subscribers each time, no more
 * than ten rounds a second.
 */
#define PRESENCE_REST_MS  100 /* between two rounds of one address */
#define PRESENCE_LIMIT_MS 900 /* from a question to its answer; looked at once in 100 ms */

struct presence_settings {
    uint32_t clients;   /* listed by one answer */
    uint32_t users;     /* told apart by one answer */
    uint32_t rounds;    /* running at once */
    uint32_t questions; /* waiting at once */
    int64_t return_ms;  /* how long a lost gateway is waited for */
};

struct core;
struct party;
typedef struct presence presence_t;

/* NULL only when memory is exhausted. */
presence_t *presence_new(const struct presence_settings *settings, int64_t now_ms);
/* From now on; gateways that are away stay so as long as they would have. */
void presence_configure(presence_t *self, const struct presence_settings *settings);
/* Sets *self_p to NULL; safe on NULL. */
void presence_destroy(presence_t **self_p);

/* A question of kind PRESENCE or PRESENCE_STATS. False: refused, as *reply says now. True: answered
 * later, by a frame of its own. */
bool core_presence_question(struct core *core, struct party *gateway, const stream_header_t *header,
                            const struct bus_question *question, struct bus_reply *reply,
                            int64_t now_ms);
/* Begins as many rounds as may run. Call it when all questions at hand were taken. */
void core_presence_start(struct core *core, int64_t now_ms);
/* A frame presence_part. */
void core_presence_part(struct core *core, struct party *gateway, struct span frame,
                        int64_t now_ms);
/* Ends what takes too long. */
void core_presence_tick(struct core *core, int64_t now_ms);
/* A gateway said hello; it said hello before, and is gone. */
void core_presence_joined(struct core *core, struct party *gateway);
void core_presence_left(struct core *core, struct party *gateway);
/* How many gateways may be out there, with clients, and do not hear us. */
size_t core_presence_lost(struct core *core, int64_t now_ms);
void core_presence_measure(const struct core *core);
