#pragma once
#include <stddef.h>
#include <stdint.h>

#include "common/payload.h"
#include "proto/span.h"

/* recent - the last publications of one address, in the order in which they came.
 *
 * Held while a subscription joins or a hole is repaired; when it is full the oldest is forgotten
 * (and fetched from the broker later), and when all addresses together are at their bound nothing
 * more is taken. Pure.
 */
typedef struct recent recent_t;

/* What a publication counts beside its body: its place, and what the heap adds. */
#define RECENT_ENTRY_BYTES 128

struct recent_total {
    size_t bytes, max_bytes; /* held by all that share it */
};

struct recent_entry {
    uint64_t epoch, offset;
    payload_t *body;
};

/* NULL only when memory is exhausted. Borrows total. */
recent_t *recent_new(uint32_t max, struct recent_total *total);
void recent_destroy(recent_t **self_p);

enum recent_result {
    RECENT_OK,
    RECENT_OVERFLOW,  /* the oldest was forgotten */
    RECENT_NO_ROOM,   /* all together hold as much as they may: it was not taken */
    RECENT_NO_MEMORY, /* the same for want of memory */
};
/* Copies the body. */
enum recent_result recent_put(recent_t *self, uint64_t epoch, uint64_t offset, struct span body);

uint32_t recent_count(const recent_t *self);
/* 0 is the oldest. Borrowed. */
const struct recent_entry *recent_at(const recent_t *self, uint32_t index);
/* Forgets all that are not of this epoch. */
void recent_keep_epoch(recent_t *self, uint64_t epoch);
