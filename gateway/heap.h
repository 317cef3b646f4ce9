#pragma once
#include <stdint.h>

/* heap - gives memory back after a rush.
 *
 * A rush of clients leaves holes all over the heap: what they needed to come, and what they missed
 * meanwhile. Without a word the process would keep them for ever; looking for them takes
 * milliseconds, so it is done after many connections, and not often.
 */
struct heap {
    int64_t tidy_at_ms;    /* not before */
    uint64_t tidied_total; /* connections accepted until it was tidied last */
};

void heap_tidy(struct heap *self, uint64_t came_total, int64_t now_ms);
