#include "gateway/heap.h"

#include <malloc.h>

#include "admin/resident.h"
#include "common/log.h"

/* What cannot be found out now, for want of descriptors, is as it was. */
static bool measure(struct heap *self)
{
    struct cgroup_memory used;
    uint64_t resident = resident_bytes();
    if (resident)
        self->resident_bytes = resident;
    if (self->limit_bytes)
        return memory_watch_look(&self->watch, self->limit_bytes, self->resident_bytes);
    if (!cgroup_memory(&self->cgroup, &used))
        return false;
    return memory_watch_look(&self->watch, memory_watch_share(used.max_bytes), used.used_bytes);
}

void heap_configure(struct heap *self, uint64_t limit_bytes)
{
    self->limit_bytes = limit_bytes;
    cgroup_find(&self->cgroup);
}

bool heap_look(struct heap *self, uint64_t came_total, int64_t now_ms)
{
    bool changed = measure(self);
    const struct memory_watch *watch = &self->watch;
    if (changed && watch->is_short)
        log_error("memory_short", LOG_UINT("bytes", watch->used_bytes),
                  LOG_UINT("limit", watch->limit_bytes));
    else if (changed)
        log_info("memory_enough", LOG_UINT("bytes", watch->used_bytes),
                 LOG_UINT("limit", watch->limit_bytes));
    if (tidy_is_due(&self->tidy, watch->is_short, came_total, now_ms))
        malloc_trim(0);
    return changed;
}
