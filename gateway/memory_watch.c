#include "gateway/memory_watch.h"

uint64_t memory_watch_share(uint64_t allowed_bytes)
{
    return allowed_bytes / 5 * 4;
}

bool memory_watch_look(struct memory_watch *self, uint64_t limit_bytes, uint64_t used_bytes)
{
    bool was_short = self->is_short;
    self->limit_bytes = limit_bytes;
    self->used_bytes = used_bytes;
    if (limit_bytes == 0 || used_bytes < limit_bytes - limit_bytes / 16)
        self->is_short = false;
    else if (used_bytes >= limit_bytes)
        self->is_short = true;
    return self->is_short != was_short;
}
