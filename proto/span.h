#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* span - borrowed bytes: somebody else owns them and says how long they live.
 * Not zero-terminated. An empty span may have a NULL pointer. */
struct span {
    const uint8_t *data;
    size_t size;
};

static inline struct span span_of(const void *data, size_t size)
{
    return (struct span){data, size};
}

static inline struct span span_text(const char *text)
{
    return (struct span){(const uint8_t *)text, text ? strlen(text) : 0};
}

static inline bool span_equal(struct span a, struct span b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static inline bool span_is(struct span a, const char *text)
{
    return span_equal(a, span_text(text));
}

/* For printf: printf("%.*s", SPAN_ARG(span)). */
#define SPAN_ARG(s) (int)(s).size, (const char *)(s).data
