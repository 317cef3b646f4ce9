#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "admin/cgroup.h"
#include "gateway/memory_watch.h"
#include "gateway/tidy.h"

/* heap - gives memory back (see tidy.h), and says when it is short. */
struct heap {
    uint64_t limit_bytes; /* of resident memory; 0: what the cgroup says */
    struct cgroup cgroup;
    uint64_t resident_bytes;
    struct memory_watch watch;
    struct tidy tidy;
};

/* At the start, and when settings are read again: `limit_bytes` and the cgroup. */
void heap_configure(struct heap *self, uint64_t limit_bytes);
/* Each second. True: watch.is_short has changed; that was logged. */
bool heap_look(struct heap *self, uint64_t came_total, int64_t now_ms);
