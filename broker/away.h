#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/span.h"

/* away - gateways that were lost and may come back with all their clients.
 *
 * Pure. A lost link does not tell whether the gateway is dead or will be back in a second; until
 * that is clear nobody can say who is there. A gateway is away until it returns (the same
 * incarnation, or another one under its name: then the old one is dead), or `return_ms` is over.
 * After the broker's start all may be away.
 */
#define AWAY_MAX  64 /* known one by one; beyond it only the time counts */
#define AWAY_NAME 64

struct away {
    int64_t return_ms;
    int64_t blind_until_ms;
    size_t count;
    struct away_gateway {
        uint64_t incarnation;
        int64_t until_ms;
        uint8_t name[AWAY_NAME];
        uint8_t name_size;
    } gateways[AWAY_MAX];
};

void away_init(struct away *self, int64_t return_ms, int64_t now_ms);
void away_lost(struct away *self, uint64_t incarnation, struct span name, int64_t now_ms);
void away_returned(struct away *self, uint64_t incarnation, struct span name);
/* Is any gateway away? */
bool away_any(struct away *self, int64_t now_ms);
