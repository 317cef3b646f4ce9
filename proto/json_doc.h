#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "proto/buffer.h"
#include "proto/span.h"

/* json_doc - JSON text from others, read strictly. The only module that knows jansson.
 *
 * Strict UTF-8, duplicate keys refused, nothing behind the value, depth checked before parsing,
 * no integer beyond 64 bits, no real beyond a double, no U+0000 in keys.
 * Values are borrowed from the document.
 */
typedef struct json_doc json_doc_t;
struct json_value; /* opaque */

enum json_type {
    JSON_TYPE_NULL,
    JSON_TYPE_BOOL,
    JSON_TYPE_INT,
    JSON_TYPE_REAL,
    JSON_TYPE_STRING,
    JSON_TYPE_ARRAY,
    JSON_TYPE_OBJECT
};

/* NULL when the text is not exactly one JSON value nested at most max_depth deep (the outermost
 * container is 1); *why (not NULL) then gets a sentence with line and column. */
json_doc_t *json_doc_parse(struct span text, size_t max_depth, struct buffer *why);
/* Sets *self_p to NULL; safe on NULL. */
void json_doc_destroy(json_doc_t **self_p);

const struct json_value *json_doc_root(const json_doc_t *self);

/* The names end in _of because jansson, which we link, has its own json_type and json_string. */
enum json_type json_type_of(const struct json_value *value);
struct span json_string_of(const struct json_value *value); /* may contain U+0000 */
int64_t json_int_of(const struct json_value *value);
double json_real_of(const struct json_value *value);
bool json_bool_of(const struct json_value *value);
/* Of an integer or a real; 0 of anything else. */
double json_number_of(const struct json_value *value);

/* NULL when there is no such member (or the value is no object). */
const struct json_value *json_member(const struct json_value *object, const char *name);

/* NULL behind the end (or when the value is no array). */
const struct json_value *json_at(const struct json_value *array, size_t index);

/* Members in document order: for (i = json_first(o); i; i = json_next(o, i)). */
const void *json_first(const struct json_value *object);
const void *json_next(const struct json_value *object, const void *at);
struct span json_name_at(const void *at);
const struct json_value *json_value_at(const void *at);

/* The value as msgpack (see proto/wire.h), a deep copy. */
void json_to_wire(struct buffer *to, const struct json_value *value);
