#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/span.h"

/* idempotency - which publications were asked for before, by the key that the backend gave them.
 *
 * Pure. A key belongs to one canonical address. It is claimed before the append, confirmed by
 * its commit and forgotten when the append fails. A confirmed key is remembered for memory_ms; at
 * most `keys` are remembered. What was published is compared by a 128-bit hash of its body.
 */
typedef struct idempotency idempotency_t;

enum idempotency_claim {
    IDEMPOTENCY_NEW,     /* claimed: confirm or forget it */
    IDEMPOTENCY_PENDING, /* the first one is still on its way to the store */
    IDEMPOTENCY_DONE,    /* epoch and offset are those of the first one */
    IDEMPOTENCY_OTHER,   /* the key was used for another publication */
    IDEMPOTENCY_FULL     /* no room for another key, or no memory */
};

/* Members are for reading. A pending entry stays until it is confirmed or forgotten, a confirmed
 * one until the next call. */
struct idempotency_entry {
    uint64_t epoch, offset; /* DONE */
    uint64_t ticket;        /* PENDING: what idempotency_claim was given */

    uint64_t hash[2];
    bool done;
    int64_t until_ms;
    struct idempotency_entry *next;
    uint16_t key_size;
    uint8_t key[]; /* canonical address, then the backend's key */
};

/* For a copy of the entry. */
struct span idempotency_key(const struct idempotency_entry *entry);

/* NULL only when memory is exhausted. */
idempotency_t *idempotency_new(int64_t memory_ms, size_t keys);
void idempotency_destroy(idempotency_t **self_p);
/* For keys that come from now on; what is remembered keeps its time. With a shorter memory no key
 * goes before those that were there before it. */
void idempotency_configure(idempotency_t *self, int64_t memory_ms, size_t keys);

/* `address` and `key` are at most 64 KiB together. `ticket` is the caller's name for the append.
 * *out is set unless the answer is FULL. */
enum idempotency_claim idempotency_claim(idempotency_t *self, struct span address, struct span key,
                                         struct span body, uint64_t ticket, int64_t now_ms,
                                         struct idempotency_entry **out);
void idempotency_confirm(idempotency_t *self, struct idempotency_entry *entry, uint64_t epoch,
                         uint64_t offset, int64_t now_ms);
/* At the start: a confirmed one from before; `whole` is address and key. Those whose time is over
 * first come first; of two of one key the later one counts. False: it is not remembered. */
bool idempotency_restore(idempotency_t *self, struct span whole, const uint64_t hash[2],
                         uint64_t epoch, uint64_t offset, int64_t until_ms);
/* Frees an entry that is not confirmed. */
void idempotency_forget(idempotency_t *self, struct idempotency_entry *entry);

/* Frees at most `budget` entries whose time is over. */
void idempotency_expire(idempotency_t *self, int64_t now_ms, size_t budget);
size_t idempotency_count(const idempotency_t *self);
