#include "gateway/heap.h"

#include <malloc.h>

#define TIDY_CONNECTIONS 1000
#define TIDY_MS          5000

void heap_tidy(struct heap *self, uint64_t came_total, int64_t now_ms)
{
    if (now_ms < self->tidy_at_ms || came_total - self->tidied_total < TIDY_CONNECTIONS)
        return;
    self->tidy_at_ms = now_ms + TIDY_MS;
    self->tidied_total = came_total;
    malloc_trim(0);
}
