#pragma once
#include <stdint.h>

#include "proto/buffer.h"
#include "proto/bus_codec.h"
#include "proto/status.h"

/* tally - who is subscribed to one address, put together from what each gateway says.
 *
 * Pure. Either the clients themselves, or how many clients and distinct users they are: users are
 * told apart by their hashes, which each gateway sends in ascending order, so that joining two
 * lists takes one walk. More than the limit is an error, never a part of the truth.
 */
struct tally {
    enum bus_question_kind kind; /* BUS_PRESENCE or BUS_PRESENCE_STATS */
    uint32_t limit;              /* clients or users */
    uint32_t clients;
    struct buffer items; /* PRESENCE: parts presence_client */
    uint64_t *users;     /* STATS: ascending */
    uint32_t user_count;
};

void tally_init(struct tally *self, enum bus_question_kind kind, uint32_t limit);
void tally_free(struct tally *self);

/* OK; TOO_LARGE: more than the limit, or more than one answer carries; BAD_INPUT: no well-formed
 * part; INTERNAL: no memory, here or at the gateway. After an error the tally is of no use. */
enum status tally_add(struct tally *self, const struct bus_presence_part *part);
/* What goes into the answer: `count` and the items, valid until the next change. */
struct span tally_items(struct tally *self, uint32_t *count);
