#include "broker/give_back.h"

bool give_back_is_due(struct give_back *self, size_t bytes, int64_t now_ms)
{
    if (now_ms < self->look_ms)
        return false;
    self->look_ms = now_ms + GIVE_BACK_LOOK_MS;
    if (bytes > self->most_bytes)
        self->most_bytes = bytes;
    if (self->most_bytes - bytes < GIVE_BACK_BYTES && now_ms - self->last_ms < GIVE_BACK_ANYWAY_MS)
        return false;
    self->last_ms = now_ms;
    self->most_bytes = bytes;
    return true;
}
