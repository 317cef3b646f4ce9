#include "proto/buffer.h"

#include <assert.h>
#include <endian.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void buffer_reset(struct buffer *self)
{
    self->size = 0;
    self->failed = false;
}

void buffer_free(struct buffer *self)
{
    free(self->data);
    *self = (struct buffer){0};
}

uint8_t *buffer_reserve(struct buffer *self, size_t size)
{
    if (self->failed)
        return NULL;
    if (self->room - self->size >= size && self->data)
        return self->data + self->size;

    size_t room = self->room ? self->room : 256;
    while (room - self->size < size) {
        if (room > SIZE_MAX / 2)
            goto fail;
        room *= 2;
    }
    uint8_t *data = realloc(self->data, room);
    if (!data)
        goto fail;
    self->data = data;
    self->room = room;
    return self->data + self->size;

fail:
    self->failed = true;
    return NULL;
}

void buffer_advance(struct buffer *self, size_t size)
{
    assert(self->room - self->size >= size);
    self->size += size;
}

void buffer_put(struct buffer *self, const void *data, size_t size)
{
    if (size == 0)
        return;
    uint8_t *to = buffer_reserve(self, size);
    if (!to)
        return;
    memcpy(to, data, size);
    self->size += size;
}

void buffer_put_span(struct buffer *self, struct span span)
{
    buffer_put(self, span.data, span.size);
}

void buffer_put_text(struct buffer *self, const char *text)
{
    buffer_put(self, text, strlen(text));
}

void buffer_put_byte(struct buffer *self, uint8_t byte)
{
    buffer_put(self, &byte, 1);
}

void buffer_put_u64_text(struct buffer *self, uint64_t value)
{
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    buffer_put(self, digits + at, sizeof digits - at);
}

void buffer_printf(struct buffer *self, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int size = vsnprintf(NULL, 0, format, args);
    va_end(args);
    assert(size >= 0);

    char *to = (char *)buffer_reserve(self, (size_t)size + 1);
    if (!to)
        return;
    va_start(args, format);
    vsnprintf(to, (size_t)size + 1, format, args);
    va_end(args);
    self->size += (size_t)size;
}

void buffer_put_u16(struct buffer *self, uint16_t value)
{
    value = htobe16(value);
    buffer_put(self, &value, sizeof value);
}

void buffer_put_u32(struct buffer *self, uint32_t value)
{
    value = htobe32(value);
    buffer_put(self, &value, sizeof value);
}

void buffer_put_u64(struct buffer *self, uint64_t value)
{
    value = htobe64(value);
    buffer_put(self, &value, sizeof value);
}
