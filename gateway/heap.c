#include "gateway/heap.h"

#include <malloc.h>

#include "admin/resident.h"
#include "common/log.h"

#define TIDY_CONNECTIONS 1000
#define TIDY_MS          5000

static void tidy(struct heap *self, uint64_t came_total, int64_t now_ms)
{
    bool is_due = self->watch.is_short || came_total - self->tidied_total >= TIDY_CONNECTIONS;
    if (now_ms < self->tidy_at_ms || !is_due)
        return;
    self->tidy_at_ms = now_ms + TIDY_MS;
    self->tidied_total = came_total;
    malloc_trim(0);
}

bool heap_look(struct heap *self, uint64_t came_total, int64_t now_ms)
{
    self->used_bytes = resident_bytes();
    bool changed = memory_watch_look(&self->watch, self->used_bytes);
    if (changed && self->watch.is_short)
        log_error("memory_short", LOG_UINT("bytes", self->used_bytes),
                  LOG_UINT("limit", self->watch.limit_bytes));
    else if (changed)
        log_info("memory_enough", LOG_UINT("bytes", self->used_bytes),
                 LOG_UINT("limit", self->watch.limit_bytes));
    tidy(self, came_total, now_ms);
    return changed;
}
