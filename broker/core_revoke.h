#pragma once
#include <stddef.h>
#include <stdint.h>

#include "proto/backend_codec.h"
#include "proto/bus_codec.h"

/* core_revoke - the right to read, or a connection, is taken back: a part of the core.
 *
 * What was asked or kept about it is void first; then all gateways are told, with a number, and
 * confirm. A gateway that was away says which number it has applied last, and gets the later ones
 * before anything else; when nobody knows them any more, it has to ask for every subscription anew.
 */
struct core;
struct party;
typedef struct revocations revocations_t;

struct revocations_settings {
    size_t kept;      /* for gateways that come back: not more than their link takes at once */
    int64_t limit_ms; /* for all gateways to confirm */
};

/* NULL only when memory is exhausted. */
revocations_t *revocations_new(const struct revocations_settings *settings);
/* For those that come from now on. `kept` stays. */
void revocations_configure(revocations_t *self, const struct revocations_settings *settings);
/* Sets *self_p to NULL; safe on NULL. */
void revocations_destroy(revocations_t **self_p);

/* The requests revoke and disconnect. */
void core_revoke(struct core *core, struct party *from, const struct backend_request *request,
                 int64_t now_ms);
/* What the settings say about who may read has changed: all gateways ask about all subscriptions.
 */
void core_recheck_all(struct core *core);
/* A frame revoked. */
void core_revoked(struct core *core, struct party *gateway, struct span frame);
/* A gateway said hello: what it lacks goes to it now, in front of the welcome. */
void core_revocations_send(struct core *core, struct party *gateway, const struct bus_hello *hello);
/* The number of the last one. */
uint64_t core_revocation_number(const struct core *core);
/* A gateway is gone, and confirms nothing more. */
void core_revocations_left(struct core *core, struct party *gateway);
void core_revocations_tick(struct core *core, int64_t now_ms);
void core_revocations_measure(const struct core *core);
/* Is every one confirmed, or not waited for any longer? */
bool core_no_revoking(const struct core *core);
