#pragma once
#include <stdbool.h>
#include <stdint.h>

/* offsets - is each offset of a stream the one after the last? If not: a hole, a double, or late?
 *
 * A hole counts as lost until what is missing arrives late; then it counts as reordered instead.
 * Pure.
 */
#define OFFSETS_WINDOW 64 /* offsets back to which a late message is told from a double one */

struct offsets {
    uint64_t next;
    uint64_t seen; /* bit i: offset next - 1 - i has arrived */
};

struct offset_faults {
    uint64_t lost, duplicated, reordered;
};

/* The first one to come is after + 1. */
static inline void offsets_begin(struct offsets *self, uint64_t after)
{
    *self = (struct offsets){.next = after + 1, .seen = UINT64_MAX};
}

static inline void offsets_count_irregular(struct offsets *self, uint64_t offset,
                                           struct offset_faults *faults)
{
    if (offset > self->next) {
        uint64_t missing = offset - self->next;
        faults->lost += missing;
        self->seen = missing + 1 < OFFSETS_WINDOW ? self->seen << (missing + 1) | 1 : 1;
        self->next = offset + 1;
        return;
    }
    uint64_t age = self->next - 1 - offset;
    if (age >= OFFSETS_WINDOW || self->seen >> age & 1) {
        faults->duplicated++;
    } else {
        self->seen |= UINT64_C(1) << age;
        faults->reordered++;
        faults->lost--;
    }
}

/* True when it is the next one. */
static inline bool offsets_take(struct offsets *self, uint64_t offset, struct offset_faults *faults)
{
    if (offset != self->next) {
        offsets_count_irregular(self, offset, faults);
        return false;
    }
    self->seen = self->seen << 1 | 1;
    self->next++;
    return true;
}
