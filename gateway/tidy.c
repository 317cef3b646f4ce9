#include "gateway/tidy.h"

bool tidy_is_due(struct tidy *self, bool is_short, uint64_t came_total, int64_t now_ms)
{
    int64_t passed_ms = now_ms - self->last_ms;
    bool is_wanted = is_short || came_total - self->came_total >= TIDY_CONNECTIONS ||
                     passed_ms >= TIDY_ANYWAY_MS;
    if (passed_ms < TIDY_MS || !is_wanted)
        return false;
    self->last_ms = now_ms;
    self->came_total = came_total;
    return true;
}
