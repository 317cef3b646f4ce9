#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "proto/buffer.h"
#include "proto/span.h"

/* census - how many clients there are, and which users they are, as hashes of their ids.
 *
 * Pure. The same user has the same hash on every gateway that was given the same seed.
 */
struct census {
    uint64_t seed;
    uint32_t clients;
    struct buffer hashes; /* uint64_t, as the clients came */
    uint64_t last;
};

/* One client more, of this user; the empty id is a user like any other. */
void census_add(struct census *self, struct span user);
/* Writes the users as parts presence_user: ascending, each once. Returns how many. When memory was
 * exhausted, hashes.failed or to->failed says so. */
uint32_t census_put_users(struct census *self, struct buffer *to);
void census_free(struct census *self);
