#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/span.h"

/* buffer - bytes that grow while something is being written.
 *
 * A zeroed struct is an empty buffer. When memory runs out the buffer turns `failed`, keeps what
 * it had and ignores every later write, so that a writer checks once, at the end.
 * buffer_reset keeps the memory for the next use; buffer_free gives it back.
 */
struct buffer {
    uint8_t *data;
    size_t size;
    size_t room;
    bool failed;
};

void buffer_reset(struct buffer *self);
void buffer_free(struct buffer *self);

/* At least `size` writable bytes behind the end, or NULL (and failed). They count only after
 * buffer_advance. */
uint8_t *buffer_reserve(struct buffer *self, size_t size);
void buffer_advance(struct buffer *self, size_t size);

void buffer_put(struct buffer *self, const void *data, size_t size);
void buffer_put_span(struct buffer *self, struct span span);
void buffer_put_text(struct buffer *self, const char *text);
void buffer_put_byte(struct buffer *self, uint8_t byte);
/* Decimal digits, no sign, no padding. */
void buffer_put_u64_text(struct buffer *self, uint64_t value);
void buffer_printf(struct buffer *self, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Big-endian numbers, as all our binary frames use them. */
void buffer_put_u16(struct buffer *self, uint16_t value);
void buffer_put_u32(struct buffer *self, uint32_t value);
void buffer_put_u64(struct buffer *self, uint64_t value);

static inline struct span buffer_span(const struct buffer *self)
{
    return span_of(self->data, self->size);
}
