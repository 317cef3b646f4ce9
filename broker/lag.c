#include "broker/lag.h"

#define WINDOW_MS 60000
/* What was known so long ago does not count: clocks differ by some 50 ms in that time. */
#define FORGET_MS 1800000

int64_t lag_of(struct lag *self, uint64_t at_ms, int64_t now_ms)
{
    int64_t between = (int64_t)((uint64_t)now_ms - at_ms);
    if (!self->is_known || now_ms - self->since_ms >= FORGET_MS) {
        *self = (struct lag){true, now_ms, between, between};
        return 0;
    }
    if (now_ms - self->since_ms >= WINDOW_MS) {
        self->before = self->least;
        self->least = between;
        self->since_ms = now_ms;
    }
    if (between < self->least)
        self->least = between;
    int64_t least = self->least < self->before ? self->least : self->before;
    uint64_t lag = (uint64_t)between - (uint64_t)least;
    return lag > INT64_MAX ? INT64_MAX : (int64_t)lag;
}
