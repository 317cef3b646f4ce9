#include "gateway/frame.h"

#include <string.h>

#include "proto/client_codec.h"
#include "proto/ws_frame.h"

/* Where what is known about it stands. */
static size_t about_at(size_t size)
{
    const size_t alignment = _Alignof(struct frame_about);
    return (size + alignment - 1) / alignment * alignment;
}

static_assert(offsetof(payload_t, data) % _Alignof(struct frame_about) == 0,
              "what is aligned in the data is aligned in memory");

payload_t *frame_new(size_t size, const struct frame_about *about, uint8_t **text)
{
    size_t whole = ws_header_size(size) + size;
    payload_t *self = payload_new(about_at(whole) + sizeof *about);
    if (!self)
        return NULL;
    self->size = (uint32_t)whole;
    *text = self->data + ws_write_header(self->data, WS_TEXT, size);
    memcpy(self->data + about_at(whole), about, sizeof *about);
    return self;
}

const struct frame_about *frame_about(const payload_t *frame)
{
    return (const struct frame_about *)(const void *)(frame->data + about_at(frame->size));
}

payload_t *frame_telling(const payload_t *frame, uint32_t missed)
{
    struct frame_about about = *frame_about(frame);
    const uint8_t *from = ws_frame_payload(frame->data), *end = frame->data + frame->size;
    const uint8_t *rest = from + about.at + client_missed_size(about.missed);
    about.missed = missed;
    uint8_t *to;
    size_t size = about.at + client_missed_size(missed) + (size_t)(end - rest);
    payload_t *self = frame_new(size, &about, &to);
    if (!self)
        return NULL;
    memcpy(to, from, about.at);
    to = client_write_missed(to + about.at, missed);
    memcpy(to, rest, (size_t)(end - rest));
    return self;
}
