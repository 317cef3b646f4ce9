#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "hub_world.h"

/* hub_history - random histories of one gateway.
 *
 * Clients come, go, subscribe and recover while publications, digests and canaries are made, lost
 * and delayed, streams are forgotten and the broker dies. A model of each client checks every word
 * it hears:
 *   - publications come in order, without a hole and without a double, from the position that the
 *     subscribe reply gave; what was left out because the client read too slowly is told to the
 *     number, and only of channels that want it so;
 *   - nothing comes for a channel that is not subscribed;
 *   - a position changes only by a publication or by a reply that says so;
 *   - nothing comes when a permission is over or was revoked, and nobody is left without a word;
 *   - when all is quiet everybody has everything.
 */

/* What may happen, and what tells of losses. */
enum history_faults { NO_FAULTS, FAULTS, FAULTS_AND_SILENCE };

struct history_kind {
    enum history_faults faults;
    bool with_permissions;
    bool with_stalls; /* clients stop reading, and go on; the stream's index is its policy */
    bool with_other_policies; /* from time to time */
    bool with_little_room;    /* for what is held: two publications in all */
};

/* That there was something to check. */
struct history_seen {
    uint64_t heard, recovered, not_recovered, told;
    uint64_t gaps, audit_holes, resyncs, silences;
    uint64_t refused, revoked, not_held;
    uint64_t missed_of[WORLD_STREAMS], cut_off;
};

/* The same seed gives the same history everywhere. Adds to `*sum`. */
void history_run(uint64_t seed, struct history_kind of, struct history_seen *sum);
