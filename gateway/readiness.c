#include "gateway/readiness.h"

#include "proto/json_text.h"

static const char *reason_of(const struct readiness *self)
{
    if (self->is_draining)
        return "draining";
    if (!self->is_up)
        return "the broker cannot be reached";
    if (!self->is_heard)
        return "no canary of the broker was heard for 6 s";
    if (self->is_memory_short)
        return "no memory for more connections, see the setting memory_bytes";
    if (self->is_replaced)
        return "a newer gateway has this one's name: each needs a [gateway] name of its own";
    return NULL;
}

bool readiness_is_ready(const struct readiness *self)
{
    return !reason_of(self);
}

void readiness_write_reason(const struct readiness *self, struct buffer *to)
{
    const char *reason = reason_of(self);
    if (!reason)
        return;
    if (!self->is_draining && self->refusal.size > 0 && json_text_string(to, self->refusal))
        return;
    buffer_printf(to, "\"%s\"", reason);
}
