#pragma once
#include <stdbool.h>
#include <stdint.h>

/* tidy - when to give memory back to the system.
 *
 * A rush of clients leaves holes all over the heap: what they needed to come, and what they missed
 * meanwhile. Without a word the process would keep them for ever; looking for them takes
 * milliseconds, so it is done after many connections, or when memory is short, and not often. Every
 * few minutes it is done in any case: what was held or queued for those who are there leaves holes,
 * too.
 * Pure. A zeroed struct has given nothing back.
 */
#define TIDY_CONNECTIONS 1000
#define TIDY_MS          5000
#define TIDY_ANYWAY_MS   300000

struct tidy {
    int64_t last_ms;     /* memory was given back */
    uint64_t came_total; /* connections accepted until then */
};

/* True: it is given back now. */
bool tidy_is_due(struct tidy *self, bool is_short, uint64_t came_total, int64_t now_ms);
