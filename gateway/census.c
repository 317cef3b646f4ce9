#include "gateway/census.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "proto/bus_codec.h"

void census_add(struct census *self, struct span user)
{
    uint64_t hash = XXH3_64bits_withSeed(user.data, user.size, self->seed);
    bool follows = self->clients++ > 0 && hash == self->last; /* anonymous ones come in runs */
    self->last = hash;
    if (!follows)
        buffer_put(&self->hashes, &hash, sizeof hash);
}

static int compare(const void *a, const void *b)
{
    uint64_t first, second;
    memcpy(&first, a, sizeof first);
    memcpy(&second, b, sizeof second);
    return first < second ? -1 : first > second;
}

uint32_t census_put_users(struct census *self, struct buffer *to)
{
    size_t count = self->hashes.size / sizeof(uint64_t);
    uint64_t last = 0;
    uint32_t users = 0;
    if (count > 1)
        qsort(self->hashes.data, count, sizeof(uint64_t), compare);
    for (size_t i = 0; i < count; i++) {
        uint64_t hash;
        memcpy(&hash, self->hashes.data + i * sizeof hash, sizeof hash);
        if (users > 0 && hash == last)
            continue;
        bus_put_presence_user(to, &(struct bus_presence_user){.hash = hash});
        last = hash;
        users++;
    }
    return users;
}

void census_free(struct census *self)
{
    buffer_free(&self->hashes);
    *self = (struct census){0};
}
