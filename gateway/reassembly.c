#include "gateway/reassembly.h"

static bool fits(const struct reassembly *self, size_t piece, size_t remaining)
{
    size_t room = LIMIT_CLIENT_FRAME_BYTES - self->text.size;
    return piece <= room && remaining <= room - piece;
}

static bool has_room(const struct reassembly *self, const struct reassembly_total *total,
                     size_t piece)
{
    return self->text.size + piece <= REASSEMBLY_SMALL_BYTES ||
           total->bytes + piece <= total->max_bytes;
}

enum reassembly_result reassembly_add(struct reassembly *self, struct reassembly_total *total,
                                      struct span piece, size_t remaining, bool is_last,
                                      struct span *whole)
{
    if (!fits(self, piece.size, remaining))
        return REASSEMBLY_TOO_BIG;
    if (is_last && self->text.size == 0) {
        *whole = piece;
        return REASSEMBLY_WHOLE;
    }
    if (!is_last && remaining == 0 && ++self->fragments >= LIMIT_CLIENT_FRAGMENTS)
        return REASSEMBLY_TOO_BIG;
    if (!is_last && !has_room(self, total, piece.size))
        return REASSEMBLY_NO_ROOM;
    size_t before = self->text.size;
    buffer_put_span(&self->text, piece);
    total->bytes += self->text.size - before;
    if (self->text.failed)
        return REASSEMBLY_NO_MEMORY;
    *whole = buffer_span(&self->text);
    return is_last ? REASSEMBLY_WHOLE : REASSEMBLY_MORE;
}

void reassembly_reset(struct reassembly *self, struct reassembly_total *total)
{
    total->bytes -= self->text.size;
    buffer_free(&self->text);
    self->fragments = 0;
}
