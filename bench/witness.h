#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "bench/herd_line.h"
#include "bench/offsets.h"

/* witness - what one client knows of one address, and whether what it is told agrees with that.
 *
 * Kept over connections that come and go. Pure.
 */
#define WITNESS_EPOCH_MAX 32

struct witness {
    struct offsets offsets; /* next - 1 is the position to recover from */
    uint64_t number;        /* the last n that a payload had */
    char epoch[WITNESS_EPOCH_MAX + 1];
    bool has_position;
};

/* What a server may never do. All 0: it did not. */
struct witness_faults {
    struct offset_faults offsets; /* holes, doubles and late ones within one epoch */
    uint64_t repeated;            /* an offset that is new with a message that is not */
    uint64_t foreign;             /* a message of another address */
    uint64_t replies;             /* subscribe replies that contradict the request or the past */
};

static inline uint64_t witness_position(const struct witness *self)
{
    return self->has_position ? self->offsets.next - 1 : 0;
}

/* A message on this address, whose text is `channel`. */
void witness_publication(struct witness *self, const struct herd_publication *publication,
                         struct herd_text channel, struct witness_faults *faults);

/* A subscribe reply, with its publications. `asked`: the request named our position. Returns true
 * when all that was missed is there. */
bool witness_subscribed(struct witness *self, struct herd_line *reply, bool asked,
                        struct herd_text channel, struct witness_faults *faults);
