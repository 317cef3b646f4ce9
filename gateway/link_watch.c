#include "gateway/link_watch.h"

void link_watch_take(struct link_watch *self, enum link_event event, int64_t now_ms)
{
    bool is_new = event == LINK_LOST && !self->is_lost;
    self->is_lost = event == LINK_LOST;
    if (is_new)
        self->lost_ms = now_ms;
}

int64_t link_watch_due(const struct link_watch *self, int64_t now_ms)
{
    if (!self->is_lost)
        return -1;
    int64_t left_ms = self->lost_ms + LINK_WATCH_MS - now_ms;
    return left_ms > 0 ? left_ms : 0;
}
