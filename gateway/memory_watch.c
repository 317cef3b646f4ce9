#include "gateway/memory_watch.h"

uint64_t memory_watch_limit(uint64_t setting_bytes, uint64_t allowed_bytes)
{
    return setting_bytes ? setting_bytes : allowed_bytes / 5 * 4;
}

bool memory_watch_look(struct memory_watch *self, uint64_t used_bytes)
{
    uint64_t limit = self->limit_bytes;
    bool was_short = self->is_short;
    if (limit == 0 || used_bytes < limit - limit / 16)
        self->is_short = false;
    else if (used_bytes >= limit)
        self->is_short = true;
    return self->is_short != was_short;
}
