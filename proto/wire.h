#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/buffer.h"
#include "proto/span.h"

/* wire - msgpack, read and written safely. The only module that knows msgpack-c.
 *
 * Reading walks the bytes first and checks depth, counts and sizes against what is really there,
 * because msgpack-c reserves memory by the announced size; only then it unpacks. Values are
 * borrowed from the reader and its input, until the reader's next wire_read.
 */
typedef struct wire_reader wire_reader_t;
struct wire_value; /* opaque */

enum wire_type {
    WIRE_NIL,
    WIRE_BOOL,
    WIRE_UINT, /* a non-negative integer */
    WIRE_INT,  /* a negative integer */
    WIRE_DOUBLE,
    WIRE_TEXT,
    WIRE_BINARY,
    WIRE_ARRAY,
    WIRE_MAP,
    WIRE_EXTENSION
};

wire_reader_t *wire_reader_new(void);
void wire_reader_destroy(wire_reader_t **self_p);

/* Unpacks exactly one value that fills `bytes`. NULL on failure; *why then gets a sentence
 * (truncated, bytes behind the value, nested too deep, announces more than is there ...).
 * max_depth counts containers; max_nodes all values. */
const struct wire_value *wire_read(wire_reader_t *self, struct span bytes, size_t max_depth,
                                   size_t max_nodes, const char **why);

enum wire_type wire_type(const struct wire_value *value);
bool wire_bool(const struct wire_value *value);
uint64_t wire_uint(const struct wire_value *value);
int64_t wire_int(const struct wire_value *value);
double wire_double(const struct wire_value *value);
bool wire_is_float32(const struct wire_value *value);
/* Bytes of a text (not checked for UTF-8) or a binary. */
struct span wire_text(const struct wire_value *value);
size_t wire_count(const struct wire_value *value); /* array or map */
const struct wire_value *wire_at(const struct wire_value *array, size_t index);
const struct wire_value *wire_key_at(const struct wire_value *map, size_t index);
const struct wire_value *wire_value_at(const struct wire_value *map, size_t index);

/* Writing appends to a buffer. */
void wire_put_nil(struct buffer *to);
void wire_put_bool(struct buffer *to, bool value);
void wire_put_uint(struct buffer *to, uint64_t value);
void wire_put_int(struct buffer *to, int64_t value);
void wire_put_double(struct buffer *to, double value);
void wire_put_text(struct buffer *to, struct span text);
void wire_put_word(struct buffer *to, const char *text);
void wire_put_array(struct buffer *to, size_t count);
void wire_put_map(struct buffer *to, size_t count);
void wire_put_value(struct buffer *to, const struct wire_value *value); /* a deep copy */
