#include "gateway/lines.h"

#include <assert.h>

#include "proto/span.h"
#include "proto/ws_frame.h"

static void put(struct lines *self, struct span text, size_t *skip)
{
    size_t skipped = *skip < text.size ? *skip : text.size;
    *skip -= skipped;
    if (skipped == text.size)
        return;
    struct iovec *part = &self->parts[self->part_count++];
    part->iov_base = (void *)(uintptr_t)(text.data + skipped);
    part->iov_len = text.size - skipped;
    self->sizes[self->frame_count] += part->iov_len;
}

static struct span text_in(const payload_t *frame)
{
    const uint8_t *text = ws_frame_payload(frame->data);
    return span_of(text, frame->size - (size_t)(text - frame->data));
}

void lines_gather(struct lines *self, const outbox_t *outbox, enum lines_form form, size_t sent)
{
    payload_t *frames[LINES_FRAMES];
    size_t count = outbox_peek(outbox, frames, LINES_FRAMES, LINES_BYTES);
    self->part_count = self->frame_count = 0;
    for (size_t i = 0; i < count; i++) {
        self->sizes[i] = 0;
        if (form == LINES_EVENTS)
            put(self, span_text("data: "), &sent);
        put(self, text_in(frames[i]), &sent);
        put(self, span_text(form == LINES_EVENTS ? "\n\n" : "\n"), &sent);
        self->frame_count++;
    }
    assert(sent == 0 || count == 0); /* a slow client's outbox was dropped */
}

size_t lines_taken(const struct lines *self, size_t taken, size_t *sent)
{
    size_t done = 0;
    while (done < self->frame_count && taken >= self->sizes[done]) {
        taken -= self->sizes[done++];
        *sent = 0;
    }
    *sent += taken;
    return done;
}
