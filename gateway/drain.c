#include "gateway/drain.h"

/* After the last one, for the answers to close frames; ws cuts those who give none. */
#define ANSWERS_MS 5000
/* For those who were in their handshake when the drain began: they are told to go elsewhere. */
#define HANDSHAKES_MS 1000

size_t drain_keep(const struct drain *self, int64_t now_ms)
{
    int64_t passed_ms = now_ms - self->began_ms;
    if (self->sessions == 0 || passed_ms >= self->length_ms)
        return 0;
    return self->sessions - 1 - self->sessions * (size_t)passed_ms / (size_t)self->length_ms;
}

bool drain_is_over(const struct drain *self, size_t sessions, size_t sockets, int64_t now_ms)
{
    int64_t passed_ms = now_ms - self->began_ms;
    if (passed_ms >= self->length_ms + ANSWERS_MS)
        return true;
    return sessions == 0 && (sockets == 0 || passed_ms >= HANDSHAKES_MS);
}
