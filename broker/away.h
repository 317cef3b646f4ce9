#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/span.h"

/* away - gateways that were lost and may come back with all their clients.
 *
 * Pure. A lost link does not tell whether the gateway is dead or will be back in a second; until
 * that is clear nobody can say who is there. A gateway is away until it returns (the same
 * incarnation, or a newer one under its name: then the old one is dead, unless two of this name
 * lived side by side), or `return_ms` is over. After the broker's start all may be away.
 */
#define AWAY_MAX  64 /* known one by one; beyond it only the time counts */
#define AWAY_NAME 64

struct away {
    int64_t return_ms;
    int64_t blind_until_ms;
    size_t count;
    struct away_gateway {
        uint64_t incarnation, started_ms;
        int64_t until_ms;
        bool has_twin;
        uint8_t name[AWAY_NAME];
        uint8_t name_size;
    } gateways[AWAY_MAX];
};

struct away_who {
    uint64_t incarnation, started_ms; /* bus_frames.def: hello */
    struct span name;
    bool has_twin; /* another gateway has this name, too, and lives */
};

void away_init(struct away *self, int64_t return_ms, int64_t now_ms);
void away_lost(struct away *self, const struct away_who *who, int64_t now_ms);
void away_returned(struct away *self, const struct away_who *who);
/* Is any gateway away? */
bool away_any(struct away *self, int64_t now_ms);
