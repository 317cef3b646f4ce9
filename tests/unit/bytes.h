#pragma once
#include <stdlib.h>
#include <string.h>

#include "asserts.h"
#include "proto/buffer.h"
#include "proto/span.h"

/* bytes - helpers for tests of codecs. */

/* A literal with zero bytes in it. */
#define BYTES(literal) span_of(literal, sizeof(literal) - 1)

/* A copy in memory of exactly its size, so that the address sanitizer sees any read beyond it.
 * Free with free((void *)copy.data). */
static inline struct span exact_copy(struct span bytes)
{
    uint8_t *data = malloc(bytes.size ? bytes.size : 1);
    ck_assert_ptr_nonnull(data);
    if (bytes.size > 0)
        memcpy(data, bytes.data, bytes.size);
    /* An empty copy ends where its one byte ends: nothing of it may be read. */
    return span_of(bytes.size ? data : data + 1, bytes.size);
}

static inline void free_copy(struct span copy)
{
    free((void *)(uintptr_t)(copy.size ? copy.data : copy.data - 1));
}

static inline void assert_bytes(struct span got, struct span expected)
{
    ck_assert_uint_eq(got.size, expected.size);
    if (got.size > 0)
        ck_assert_mem_eq(got.data, expected.data, got.size);
}

/* Compares as text, for a readable failure. */
static inline void assert_text(struct span got, const char *expected)
{
    char text[4096];
    ck_assert_uint_lt(got.size, sizeof text);
    if (got.size > 0)
        memcpy(text, got.data, got.size);
    text[got.size] = '\0';
    ck_assert_str_eq(text, expected);
}
