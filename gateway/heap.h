#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "admin/cgroup.h"
#include "gateway/memory_watch.h"

/* heap - gives memory back after a rush, and says when it is short.
 *
 * A rush of clients leaves holes all over the heap: what they needed to come, and what they missed
 * meanwhile. Without a word the process would keep them for ever; looking for them takes
 * milliseconds, so it is done after many connections, or when memory is short, and not often.
 */
struct heap {
    uint64_t limit_bytes; /* of resident memory; 0: what the cgroup says */
    struct cgroup cgroup;
    uint64_t resident_bytes;
    struct memory_watch watch;
    int64_t tidy_at_ms;    /* not before */
    uint64_t tidied_total; /* connections accepted until it was tidied last */
};

/* At the start, and when settings are read again: `limit_bytes` and the cgroup. */
void heap_configure(struct heap *self, uint64_t limit_bytes);
/* Each second. True: watch.is_short has changed; that was logged. */
bool heap_look(struct heap *self, uint64_t came_total, int64_t now_ms);
