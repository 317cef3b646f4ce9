#include "broker/tally.h"

#include <stdlib.h>
#include <string.h>

#include "proto/limits.h"

#define HASH_BYTES sizeof(uint64_t)

void tally_init(struct tally *self, enum bus_question_kind kind, uint32_t limit)
{
    *self = (struct tally){.kind = kind, .limit = limit};
}

void tally_free(struct tally *self)
{
    buffer_free(&self->items);
    free(self->users);
    self->users = NULL;
}

static enum status add_clients(struct tally *self, const struct bus_presence_part *part)
{
    struct span rest = part->items;
    struct bus_presence_client client;
    uint32_t count = 0;
    while (rest.size > 0 && bus_next_presence_client(&rest, &client))
        count++;
    if (rest.size > 0 || count != part->clients)
        return STATUS_BAD_INPUT;
    if (count > self->limit - self->clients ||
        part->items.size > LIMIT_PRESENCE_BYTES - self->items.size)
        return STATUS_TOO_LARGE;
    buffer_put_span(&self->items, part->items);
    self->clients += count;
    return self->items.failed ? STATUS_INTERNAL : STATUS_OK;
}

/* The hashes of a part, ascending; false when they are none, or more than there are clients. */
static bool read_users(const struct bus_presence_part *part, uint64_t *out)
{
    struct span rest = part->items;
    struct bus_presence_user user;
    size_t count = 0;
    while (rest.size > 0) {
        if (count == part->clients || !bus_next_presence_user(&rest, &user) ||
            (count > 0 && user.hash <= out[count - 1]))
            return false;
        out[count++] = user.hash;
    }
    return count > 0 || part->clients == 0;
}

/* Both are ascending; what both have counts once. Returns how many there are in *out. */
static size_t merge(const uint64_t *a, size_t a_count, const uint64_t *b, size_t b_count,
                    uint64_t *out)
{
    size_t count = 0, i = 0, j = 0;
    while (i < a_count || j < b_count) {
        bool from_a = j == b_count || (i < a_count && a[i] <= b[j]);
        bool both = i < a_count && j < b_count && a[i] == b[j];
        out[count++] = from_a ? a[i] : b[j];
        i += from_a || both;
        j += !from_a || both;
    }
    return count;
}

static enum status add_users(struct tally *self, const struct bus_presence_part *part)
{
    size_t count = part->items.size / HASH_BYTES;
    if (count > LIMIT_PRESENCE_USERS || part->clients > UINT32_MAX - self->clients)
        return STATUS_TOO_LARGE;
    uint64_t *theirs = calloc(count + 1, HASH_BYTES);
    uint64_t *all = calloc(count + self->user_count + 1, HASH_BYTES);
    enum status status = theirs && all ? STATUS_OK : STATUS_INTERNAL;
    if (status == STATUS_OK && !read_users(part, theirs))
        status = STATUS_BAD_INPUT;
    if (status == STATUS_OK) {
        size_t merged = merge(self->users, self->user_count, theirs, count, all);
        free(self->users);
        self->users = all;
        all = NULL;
        self->user_count = (uint32_t)merged;
        self->clients += part->clients;
        if (merged > self->limit)
            status = STATUS_TOO_LARGE;
    }
    free(theirs);
    free(all);
    return status;
}

enum status tally_add(struct tally *self, const struct bus_presence_part *part)
{
    switch (part->status) {
    case STATUS_OK:
        return self->kind == BUS_PRESENCE ? add_clients(self, part) : add_users(self, part);
    case STATUS_TOO_LARGE:
        return STATUS_TOO_LARGE;
    default:
        return STATUS_INTERNAL;
    }
}

struct span tally_items(struct tally *self, uint32_t *count)
{
    *count = self->clients;
    if (self->kind == BUS_PRESENCE)
        return buffer_span(&self->items);
    *count = 1;
    buffer_reset(&self->items);
    bus_put_presence_count(&self->items, &(struct bus_presence_count){.clients = self->clients,
                                                                      .users = self->user_count});
    return buffer_span(&self->items);
}
