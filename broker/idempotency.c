#include "broker/idempotency.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "common/address.h"
#include "common/map.h"
#include "proto/limits.h"

#define KEY_MAX (ADDRESS_KEY_MAX + LIMIT_KEY_BYTES)

/* Old entries freed with each claim: more than it can add. */
#define EXPIRE_BUDGET 4

struct idempotency {
    map_t *entries;
    int64_t memory_ms;
    size_t max_keys;
    /* Confirmed entries in the order of their end. */
    struct idempotency_entry *first, *last;
};

struct span idempotency_key(const struct idempotency_entry *entry)
{
    return span_of(entry->key, entry->key_size);
}

static struct span entry_key(const void *item)
{
    return idempotency_key(item);
}

idempotency_t *idempotency_new(int64_t memory_ms, size_t keys)
{
    idempotency_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->memory_ms = memory_ms;
    self->max_keys = keys;
    self->entries = map_new(entry_key);
    if (!self->entries)
        idempotency_destroy(&self);
    return self;
}

void idempotency_configure(idempotency_t *self, int64_t memory_ms, size_t keys)
{
    self->memory_ms = memory_ms;
    self->max_keys = keys;
}

static void free_entry(void *item, void *arg)
{
    (void)arg;
    free(item);
}

void idempotency_destroy(idempotency_t **self_p)
{
    idempotency_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    if (self->entries)
        map_visit(self->entries, free_entry, NULL);
    map_destroy(&self->entries);
    free(self);
}

size_t idempotency_count(const idempotency_t *self)
{
    return map_count(self->entries);
}

static struct idempotency_entry *add(idempotency_t *self, struct span key)
{
    if (map_count(self->entries) >= self->max_keys)
        return NULL;
    struct idempotency_entry *entry = calloc(1, sizeof *entry + key.size);
    if (!entry)
        return NULL;
    entry->key_size = (uint16_t)key.size;
    memcpy(entry->key, key.data, key.size);
    if (!map_put(self->entries, entry)) {
        free(entry);
        return NULL;
    }
    return entry;
}

enum idempotency_claim idempotency_claim(idempotency_t *self, struct span address, struct span key,
                                         struct span body, uint64_t ticket, int64_t now_ms,
                                         struct idempotency_entry **out)
{
    assert(address.size <= ADDRESS_KEY_MAX && key.size <= LIMIT_KEY_BYTES);
    uint8_t bytes[KEY_MAX];
    memcpy(bytes, address.data, address.size);
    memcpy(bytes + address.size, key.data, key.size);
    struct span whole = span_of(bytes, address.size + key.size);
    XXH128_hash_t hash = XXH3_128bits(body.data, body.size);

    idempotency_expire(self, now_ms, EXPIRE_BUDGET);
    struct idempotency_entry *entry = map_get(self->entries, whole);
    if (entry && entry->done && entry->until_ms <= now_ms) {
        idempotency_expire(self, now_ms, SIZE_MAX);
        entry = NULL;
    }
    if (entry) {
        *out = entry;
        if (entry->hash[0] != hash.low64 || entry->hash[1] != hash.high64)
            return IDEMPOTENCY_OTHER;
        return entry->done ? IDEMPOTENCY_DONE : IDEMPOTENCY_PENDING;
    }
    entry = add(self, whole);
    if (!entry)
        return IDEMPOTENCY_FULL;
    entry->hash[0] = hash.low64;
    entry->hash[1] = hash.high64;
    entry->ticket = ticket;
    *out = entry;
    return IDEMPOTENCY_NEW;
}

static void confirm(idempotency_t *self, struct idempotency_entry *entry, uint64_t epoch,
                    uint64_t offset, int64_t until_ms)
{
    if (self->last && until_ms < self->last->until_ms)
        until_ms = self->last->until_ms; /* other settings, or a clock that was set back */
    entry->done = true;
    entry->epoch = epoch;
    entry->offset = offset;
    entry->until_ms = until_ms;
    *(self->last ? &self->last->next : &self->first) = entry;
    self->last = entry;
}

void idempotency_confirm(idempotency_t *self, struct idempotency_entry *entry, uint64_t epoch,
                         uint64_t offset, int64_t now_ms)
{
    assert(!entry->done);
    confirm(self, entry, epoch, offset, now_ms + self->memory_ms);
}

bool idempotency_restore(idempotency_t *self, struct span whole, const uint64_t hash[2],
                         uint64_t epoch, uint64_t offset, int64_t until_ms)
{
    if (whole.size > KEY_MAX)
        return false;
    struct idempotency_entry *entry = map_get(self->entries, whole);
    if (entry) { /* used again, when its first time was over: the last word counts */
        memcpy(entry->hash, hash, sizeof entry->hash);
        entry->epoch = epoch;
        entry->offset = offset;
        return true;
    }
    entry = add(self, whole);
    if (!entry)
        return false;
    memcpy(entry->hash, hash, sizeof entry->hash);
    confirm(self, entry, epoch, offset, until_ms);
    return true;
}

void idempotency_forget(idempotency_t *self, struct idempotency_entry *entry)
{
    assert(!entry->done);
    map_remove(self->entries, entry_key(entry));
    free(entry);
}

void idempotency_expire(idempotency_t *self, int64_t now_ms, size_t budget)
{
    while (self->first && self->first->until_ms <= now_ms && budget-- > 0) {
        struct idempotency_entry *entry = self->first;
        self->first = entry->next;
        if (!self->first)
            self->last = NULL;
        map_remove(self->entries, entry_key(entry));
        free(entry);
    }
}
