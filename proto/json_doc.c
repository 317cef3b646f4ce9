#include "proto/json_doc.h"

#include <jansson.h>
#include <stdlib.h>

#include "proto/json_text.h"
#include "proto/wire.h"

struct json_doc {
    json_t *root;
};

/* Where nesting exceeds max_depth, or NULL. Text that is no JSON may be judged either way: the
 * parser refuses it anyhow. */
static const uint8_t *too_deep(struct span text, size_t max_depth)
{
    size_t depth = 0;
    bool inside = false; /* a string */
    for (size_t i = 0; i < text.size; i++) {
        uint8_t byte = text.data[i];
        if (byte == '"')
            inside = !inside;
        else if (inside && byte == '\\')
            i++;
        else if (!inside && (byte == '[' || byte == '{') && ++depth > max_depth)
            return text.data + i;
        else if (!inside && (byte == ']' || byte == '}') && depth > 0)
            depth--;
    }
    return NULL;
}

static void say_too_deep(struct buffer *why, struct span text, const uint8_t *at, size_t max_depth)
{
    size_t line = 1;
    const uint8_t *start = text.data;
    for (const uint8_t *i = text.data; i < at; i++) {
        if (*i == '\n') {
            line++;
            start = i + 1;
        }
    }
    buffer_printf(why, "line %zu, column %zu: nested deeper than %zu levels", line,
                  (size_t)(at - start) + 1, max_depth);
}

/* jansson's message quotes the text and, behind a bad escape, may stop inside a character. */
static void say_error(struct buffer *why, const json_error_t *error)
{
    struct span text = span_text(error->text);
    while (!utf8_valid(text, NULL))
        text.size--;
    buffer_printf(why, "line %d, column %d: %.*s", error->line, error->column, SPAN_ARG(text));
}

json_doc_t *json_doc_parse(struct span text, size_t max_depth, struct buffer *why)
{
    if (text.size == 0) {
        buffer_put_text(why, "line 1, column 1: there is no value");
        return NULL;
    }
    const uint8_t *deep = too_deep(text, max_depth);
    if (deep) {
        say_too_deep(why, text, deep, max_depth);
        return NULL;
    }
    json_doc_t *self = calloc(1, sizeof *self);
    if (!self) {
        buffer_put_text(why, "line 1, column 1: out of memory");
        return NULL;
    }
    json_error_t error;
    self->root = json_loadb((const char *)text.data, text.size,
                            JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    if (!self->root) {
        say_error(why, &error);
        json_doc_destroy(&self);
    }
    return self;
}

void json_doc_destroy(json_doc_t **self_p)
{
    json_doc_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    json_decref(self->root);
    free(self);
}

static const json_t *json_of(const struct json_value *value)
{
    return (const json_t *)value;
}

/* jansson's iterators take objects that are not const, but do not change them. */
static json_t *iterable(const struct json_value *value)
{
    return (json_t *)(uintptr_t)value;
}

const struct json_value *json_doc_root(const json_doc_t *self)
{
    return (const struct json_value *)self->root;
}

enum json_type json_type_of(const struct json_value *value)
{
    switch (json_typeof(json_of(value))) {
    case JSON_OBJECT:
        return JSON_TYPE_OBJECT;
    case JSON_ARRAY:
        return JSON_TYPE_ARRAY;
    case JSON_STRING:
        return JSON_TYPE_STRING;
    case JSON_INTEGER:
        return JSON_TYPE_INT;
    case JSON_REAL:
        return JSON_TYPE_REAL;
    case JSON_TRUE:
    case JSON_FALSE:
        return JSON_TYPE_BOOL;
    case JSON_NULL:
        break;
    }
    return JSON_TYPE_NULL;
}

struct span json_string_of(const struct json_value *value)
{
    return span_of(json_string_value(json_of(value)), json_string_length(json_of(value)));
}

int64_t json_int_of(const struct json_value *value)
{
    return json_integer_value(json_of(value));
}

double json_real_of(const struct json_value *value)
{
    return json_real_value(json_of(value));
}

bool json_bool_of(const struct json_value *value)
{
    return json_is_true(json_of(value));
}

double json_number_of(const struct json_value *value)
{
    return json_number_value(json_of(value));
}

const struct json_value *json_member(const struct json_value *object, const char *name)
{
    return (const struct json_value *)json_object_get(json_of(object), name);
}

const struct json_value *json_at(const struct json_value *array, size_t index)
{
    return (const struct json_value *)json_array_get(json_of(array), index);
}

const void *json_first(const struct json_value *object)
{
    return json_object_iter(iterable(object));
}

const void *json_next(const struct json_value *object, const void *at)
{
    return json_object_iter_next(iterable(object), (void *)(uintptr_t)at);
}

struct span json_name_at(const void *at)
{
    return span_text(json_object_iter_key((void *)(uintptr_t)at));
}

const struct json_value *json_value_at(const void *at)
{
    return (const struct json_value *)json_object_iter_value((void *)(uintptr_t)at);
}

static void put_object(struct buffer *to, const struct json_value *object)
{
    wire_put_map(to, json_object_size(json_of(object)));
    for (const void *at = json_first(object); at; at = json_next(object, at)) {
        wire_put_text(to, json_name_at(at));
        json_to_wire(to, json_value_at(at));
    }
}

static void put_array(struct buffer *to, const json_t *array)
{
    wire_put_array(to, json_array_size(array));
    for (size_t i = 0; i < json_array_size(array); i++)
        json_to_wire(to, (const struct json_value *)json_array_get(array, i));
}

void json_to_wire(struct buffer *to, const struct json_value *value)
{
    switch (json_type_of(value)) {
    case JSON_TYPE_NULL:
        wire_put_nil(to);
        break;
    case JSON_TYPE_BOOL:
        wire_put_bool(to, json_bool_of(value));
        break;
    case JSON_TYPE_INT:
        wire_put_int(to, json_int_of(value));
        break;
    case JSON_TYPE_REAL:
        wire_put_double(to, json_real_value(json_of(value)));
        break;
    case JSON_TYPE_STRING:
        wire_put_text(to, json_string_of(value));
        break;
    case JSON_TYPE_ARRAY:
        put_array(to, json_of(value));
        break;
    case JSON_TYPE_OBJECT:
        put_object(to, value);
        break;
    }
}
