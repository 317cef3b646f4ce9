#include "broker/breaker.h"

bool breaker_admits(struct breaker *self, int64_t now_ms)
{
    if (!self->is_open)
        return true;
    if (now_ms - self->probed_ms < self->interval_ms)
        return false;
    self->probed_ms = now_ms;
    return true;
}

void breaker_succeeded(struct breaker *self, int64_t now_ms)
{
    self->success_ms = now_ms;
    self->failures = 0;
    self->is_open = false;
}

void breaker_failed(struct breaker *self, int64_t tried_ms, int64_t now_ms)
{
    if (tried_ms < self->success_ms)
        return;
    if (self->is_open && tried_ms <= self->opened_ms)
        return;
    if (self->is_open) {
        if (self->interval_ms < BREAKER_PROBE_MAX_MS / 2)
            self->interval_ms *= 2;
        else
            self->interval_ms = BREAKER_PROBE_MAX_MS;
        return;
    }
    if (++self->failures < BREAKER_FAILURES)
        return;
    self->is_open = true;
    self->interval_ms = BREAKER_PROBE_MS;
    self->probed_ms = self->opened_ms = now_ms;
}

void breaker_hurry(struct breaker *self)
{
    self->interval_ms = BREAKER_PROBE_MS;
}
