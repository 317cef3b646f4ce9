#include "gateway/broker_watch.h"

static bool must_leave(const struct broker_watch *self, int64_t now_ms)
{
    return self->limit_ms > 0 && now_ms - self->ready_ms >= self->limit_ms;
}

enum broker_watch_event broker_watch_look(struct broker_watch *self, const struct broker_seen *seen,
                                          int64_t now_ms)
{
    if (seen->is_ready)
        self->ready_ms = now_ms;
    bool is_silent = seen->is_up && seen->canary_age_ms >= BROKER_SILENT_MS;
    bool is_heard = !seen->is_up || seen->canary_age_ms < BROKER_SILENT_MS;
    if (is_silent && !self->is_silent) {
        self->is_silent = true;
        return BROKER_WATCH_SILENT;
    }
    if (is_heard && self->is_silent) { /* a link that is gone has its own line */
        self->is_silent = false;
        return seen->is_up ? BROKER_WATCH_HEARD : BROKER_WATCH_NOTHING;
    }
    if (self->is_leaving && seen->is_ready) {
        self->is_leaving = false;
        return BROKER_WATCH_RETURN;
    }
    if (!self->is_leaving && !seen->is_ready && must_leave(self, now_ms)) {
        self->is_leaving = true;
        return BROKER_WATCH_LEAVE;
    }
    return BROKER_WATCH_NOTHING;
}
