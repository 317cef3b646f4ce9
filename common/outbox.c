#include "common/outbox.h"

#define SLAB_BYTES  65536
#define SLAB_CHUNKS (SLAB_BYTES / sizeof(struct outbox_chunk) - 1)

static_assert(sizeof(struct outbox_chunk) == 64, "a chunk is one cache line");

struct outbox_slab {
    _Alignas(64) struct outbox_slab *next;
    struct outbox_chunk chunks[SLAB_CHUNKS];
};

outbox_pool_t *outbox_pool_new(void)
{
    return calloc(1, sizeof(outbox_pool_t));
}

void outbox_pool_destroy(outbox_pool_t **self_p)
{
    outbox_pool_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    while (self->slabs) {
        struct outbox_slab *slab = self->slabs;
        self->slabs = slab->next;
        free(slab);
    }
    free(self);
}

bool outbox_pool_grow(outbox_pool_t *self)
{
    struct outbox_slab *slab = aligned_alloc(64, sizeof *slab);
    if (!slab)
        return false;
    slab->next = self->slabs;
    self->slabs = slab;
    for (size_t i = 0; i < SLAB_CHUNKS; i++) {
        slab->chunks[i].next = self->spare;
        self->spare = &slab->chunks[i];
    }
    return true;
}

size_t outbox_peek(const outbox_t *self, payload_t **out, size_t max, size_t max_bytes)
{
    size_t count = 0, bytes = 0;
    if (self->front && max > 0) {
        bytes = self->front->size;
        out[count++] = self->front;
    }
    for (const struct outbox_chunk *chunk = self->head; chunk; chunk = chunk->next) {
        for (size_t i = chunk->first; i < chunk->end; i++) {
            bytes += chunk->items[i]->size;
            if (count == max || (count > 0 && bytes > max_bytes))
                return count;
            out[count++] = chunk->items[i];
        }
    }
    return count;
}

static void drop_first_chunk(outbox_t *self, outbox_pool_t *pool)
{
    struct outbox_chunk *chunk = self->head;
    self->head = chunk->next;
    if (!self->head)
        self->tail = NULL;
    chunk->next = pool->spare;
    pool->spare = chunk;
}

static void drop(outbox_t *self, outbox_pool_t *pool, payload_t *payload)
{
    self->bytes -= payload->size;
    pool->bytes -= payload->size;
    payload_release(&payload);
}

void outbox_drop(outbox_t *self, outbox_pool_t *pool, size_t count)
{
    if (self->front && count > 0) {
        drop(self, pool, self->front);
        self->front = NULL;
        count--;
    }
    while (count > 0) {
        struct outbox_chunk *chunk = self->head;
        assert(chunk);
        for (; count > 0 && chunk->first < chunk->end; count--)
            drop(self, pool, chunk->items[chunk->first++]);
        if (chunk->first == chunk->end)
            drop_first_chunk(self, pool);
    }
}

void outbox_clear(outbox_t *self, outbox_pool_t *pool)
{
    if (self->front)
        outbox_drop(self, pool, 1);
    while (self->head)
        outbox_drop(self, pool, (size_t)(self->head->end - self->head->first));
}
