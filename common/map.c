#include "common/map.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/random.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* Linear probing. The hashes are kept next to the items, so that neither growing nor skipping
 * over strangers touches an item; removal shifts the run behind it back, so there are no
 * tombstones and a map that churns stays as fast as a new one. */
#define FIRST_CAPACITY 4

struct map {
    map_key_fn *key;
    void **items;      /* NULL: a free slot. `capacity` of them, the hashes behind them */
    uint32_t *hashes;  /* inside the same allocation */
    uint32_t capacity; /* 0 or a power of two */
    uint32_t count;
};

static uint8_t secret[XXH3_SECRET_DEFAULT_SIZE];
static bool have_secret;

static bool make_secret(void)
{
    size_t at = 0;
    while (!have_secret && at < sizeof secret) {
        ssize_t got = getrandom(secret + at, sizeof secret - at, 0);
        if (got < 0 && errno != EINTR)
            return false;
        at += got > 0 ? (size_t)got : 0;
    }
    have_secret = true;
    return true;
}

static uint32_t hash_of(struct span key)
{
    return (uint32_t)XXH3_64bits_withSecret(key.data, key.size, secret, sizeof secret);
}

map_t *map_new(map_key_fn *key)
{
    assert(key);
    if (!make_secret())
        return NULL;
    map_t *self = calloc(1, sizeof *self);
    if (self)
        self->key = key;
    return self;
}

void map_destroy(map_t **self_p)
{
    map_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    free(self->items);
    free(self);
}

size_t map_count(const map_t *self)
{
    return self->count;
}

/* The slot of the item with this key, or the free slot where it would go. */
static uint32_t find(const map_t *self, struct span key, uint32_t hash)
{
    uint32_t mask = self->capacity - 1;
    uint32_t at = hash & mask;
    while (self->items[at]) {
        if (self->hashes[at] == hash && span_equal(self->key(self->items[at]), key))
            break;
        at = (at + 1) & mask;
    }
    return at;
}

void *map_get(const map_t *self, struct span key)
{
    return self->count ? self->items[find(self, key, hash_of(key))] : NULL;
}

static void place(map_t *self, void *item, uint32_t hash)
{
    uint32_t mask = self->capacity - 1;
    uint32_t at = hash & mask;
    while (self->items[at])
        at = (at + 1) & mask;
    self->items[at] = item;
    self->hashes[at] = hash;
}

static bool grow(map_t *self)
{
    if (self->capacity > UINT32_MAX / 2)
        return false;
    map_t old = *self;
    self->capacity = old.capacity ? old.capacity * 2 : FIRST_CAPACITY;
    self->items = calloc(self->capacity, sizeof *self->items + sizeof *self->hashes);
    if (!self->items) {
        *self = old;
        return false;
    }
    self->hashes = (uint32_t *)(self->items + self->capacity);
    for (uint32_t i = 0; i < old.capacity; i++) {
        if (old.items[i])
            place(self, old.items[i], old.hashes[i]);
    }
    free(old.items);
    return true;
}

bool map_put(map_t *self, void *item)
{
    assert(item);
    /* At most three quarters full. */
    if (self->count >= self->capacity / 4 * 3 && !grow(self))
        return false;
    place(self, item, hash_of(self->key(item)));
    self->count++;
    return true;
}

/* Moves back every item behind the hole that its own probe sequence allows to move. */
static void close_hole(map_t *self, uint32_t hole)
{
    uint32_t mask = self->capacity - 1;
    for (uint32_t at = (hole + 1) & mask; self->items[at]; at = (at + 1) & mask) {
        uint32_t from_home = (at - self->hashes[at]) & mask;
        uint32_t from_hole = (at - hole) & mask;
        if (from_home < from_hole)
            continue;
        self->items[hole] = self->items[at];
        self->hashes[hole] = self->hashes[at];
        hole = at;
    }
    self->items[hole] = NULL;
}

void *map_remove(map_t *self, struct span key)
{
    if (self->count == 0)
        return NULL;
    uint32_t at = find(self, key, hash_of(key));
    void *item = self->items[at];
    if (!item)
        return NULL;
    close_hole(self, at);
    self->count--;
    return item;
}

void map_visit(const map_t *self, map_visit_fn *visit, void *arg)
{
    for (uint32_t i = 0; i < self->capacity; i++) {
        if (self->items[i])
            visit(self->items[i], arg);
    }
}
