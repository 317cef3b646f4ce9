#include "proto/json_text.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "proto/json_number.h"

/* --- strings --- */

static bool is_tail(uint8_t byte)
{
    return (byte & 0xc0) == 0x80;
}

/* Bytes of the UTF-8 sequence at the start, 0 when it is not valid. `left` is at least 1.
 * The ranges of the second byte exclude overlong forms, surrogates and what is above U+10FFFF. */
static size_t utf8_sequence(const uint8_t *at, size_t left)
{
    uint8_t first = at[0];
    if (first < 0x80)
        return 1;
    if (first < 0xc2 || first > 0xf4 || left < 2 || !is_tail(at[1]))
        return 0;
    if (first < 0xe0)
        return 2;
    if (left < 3 || !is_tail(at[2]))
        return 0;
    if (first < 0xf0)
        return (first == 0xe0 && at[1] < 0xa0) || (first == 0xed && at[1] > 0x9f) ? 0 : 3;
    if (left < 4 || !is_tail(at[3]))
        return 0;
    return (first == 0xf0 && at[1] < 0x90) || (first == 0xf4 && at[1] > 0x8f) ? 0 : 4;
}

bool utf8_valid(struct span text, size_t *codepoints)
{
    size_t count = 0;
    for (size_t i = 0; i < text.size; count++) {
        size_t size = utf8_sequence(text.data + i, text.size - i);
        if (size == 0)
            return false;
        i += size;
    }
    if (codepoints)
        *codepoints = count;
    return true;
}

#define EACH_BYTE(byte) (UINT64_C(0x0101010101010101) * (byte))
#define TOP_BITS        EACH_BYTE(0x80)

/* True when all eight bytes are ASCII that JSON strings hold as they are. A byte's top bit is set
 * in one of the terms when it is below 0x20, a quote, a backslash or above 0x7f; borrows between
 * bytes may only refuse too much. */
static bool plain_word(uint64_t word)
{
    uint64_t quote = word ^ EACH_BYTE('"');
    uint64_t backslash = word ^ EACH_BYTE('\\');
    uint64_t found =
        (word - EACH_BYTE(0x20)) | (quote - EACH_BYTE(1)) | (backslash - EACH_BYTE(1)) | word;
    return (found & TOP_BITS) == 0;
}

static bool plain_byte(uint8_t byte)
{
    return byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';
}

/* How many bytes from `at` on can be copied as they are; may stop early at what is not ASCII. */
static size_t plain_run(const uint8_t *at, size_t left)
{
    size_t run = 0;
    uint64_t word;
    for (; left - run >= sizeof word; run += sizeof word) {
        memcpy(&word, at + run, sizeof word);
        if (!plain_word(word))
            break;
    }
    while (run < left && plain_byte(at[run]))
        run++;
    return run;
}

static void put_escape(struct buffer *to, uint8_t byte)
{
    static const char names[] = {['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f',
                                 ['\r'] = 'r', ['"'] = '"',  ['\\'] = '\\'};
    if (names[byte]) {
        buffer_put_byte(to, '\\');
        buffer_put_byte(to, (uint8_t)names[byte]);
    } else {
        buffer_printf(to, "\\u%04x", byte);
    }
}

/* The inside of a string from `done` on. False when it is not valid UTF-8. */
static bool put_escaped(struct buffer *to, struct span text, size_t done)
{
    size_t at = done;
    while (at < text.size) {
        uint8_t byte = text.data[at];
        if (byte >= 0x80) {
            size_t size = utf8_sequence(text.data + at, text.size - at);
            if (size == 0)
                return false;
            at += size;
        } else if (plain_byte(byte)) {
            at += plain_run(text.data + at, text.size - at);
        } else {
            buffer_put(to, text.data + done, at - done);
            put_escape(to, byte);
            done = ++at;
        }
    }
    buffer_put(to, text.data + done, at - done);
    return true;
}

bool json_text_string(struct buffer *to, struct span text)
{
    size_t start = to->size;
    size_t plain = plain_run(text.data, text.size);
    uint8_t *out = buffer_reserve(to, text.size + 2);
    if (!out)
        return utf8_valid(text, NULL);
    *out++ = '"';
    if (plain > 0)
        memcpy(out, text.data, plain);
    if (plain == text.size) {
        out[plain] = '"';
        buffer_advance(to, plain + 2);
        return true;
    }
    buffer_advance(to, plain + 1);
    if (!put_escaped(to, text, plain)) {
        to->size = start;
        return false;
    }
    buffer_put_byte(to, '"');
    return true;
}

void json_text_echo(struct buffer *to, struct span text)
{
    bool cut = text.size > JSON_TEXT_ECHO_BYTES;
    size_t size = cut ? JSON_TEXT_ECHO_BYTES : text.size;
    buffer_put_byte(to, '"');
    for (size_t i = 0; i < size;) {
        size_t next = utf8_sequence(text.data + i, text.size - i);
        if (next == 0)
            buffer_put_text(to, "\xef\xbf\xbd");
        else if (next > 1 || plain_byte(text.data[i]))
            buffer_put(to, text.data + i, next);
        else
            put_escape(to, text.data[i]);
        i += next ? next : 1;
    }
    buffer_put_text(to, cut ? "...\"" : "\"");
}

/* --- values --- */

/* Where we are: a chain of frames on the stack, read only to tell where something is wrong. */
struct place {
    const struct place *parent;
    struct span key; /* inside a map */
    size_t index;    /* inside an array */
    bool in_map;
};

struct writer {
    struct buffer *to;
    struct buffer *why;
    const char *name; /* of the outermost value */
    size_t max_depth;
};

static bool is_word(struct span text)
{
    if (text.size == 0 || text.size > JSON_TEXT_ECHO_BYTES)
        return false;
    for (size_t i = 0; i < text.size; i++) {
        uint8_t byte = text.data[i];
        bool letter = (byte | 0x20) >= 'a' && (byte | 0x20) <= 'z';
        if (!letter && !(byte >= '0' && byte <= '9') && byte != '_' && byte != '-')
            return false;
    }
    return true;
}

static void put_place(const struct writer *self, const struct place *place)
{
    if (!place) {
        buffer_put_text(self->why, self->name);
        return;
    }
    put_place(self, place->parent);
    if (!place->in_map) {
        buffer_printf(self->why, "[%zu]", place->index);
    } else if (is_word(place->key)) {
        buffer_put_byte(self->why, '.');
        buffer_put_span(self->why, place->key);
    } else {
        buffer_put_byte(self->why, '[');
        json_text_echo(self->why, place->key);
        buffer_put_byte(self->why, ']');
    }
}

static bool fail(const struct writer *self, const struct place *place, const char *rule)
{
    put_place(self, place);
    buffer_printf(self->why, ": %s", rule);
    return false;
}

static bool fail_twice(const struct writer *self, const struct place *place, struct span key)
{
    fail(self, place, "the key ");
    json_text_echo(self->why, key);
    buffer_put_text(self->why, " occurs twice");
    return false;
}

static bool put_value(const struct writer *self, const struct wire_value *value,
                      const struct place *place, size_t depth);

static bool put_uint(const struct writer *self, uint64_t number, const struct place *place)
{
    if (number > INT64_MAX)
        return fail(self, place, "integers above 9223372036854775807 are not supported");
    buffer_put_u64_text(self->to, number);
    return true;
}

static bool put_negative(const struct writer *self, int64_t number)
{
    buffer_put_byte(self->to, '-');
    buffer_put_u64_text(self->to, 0 - (uint64_t)number);
    return true;
}

static bool put_double(const struct writer *self, const struct wire_value *value,
                       const struct place *place)
{
    double number = wire_double(value);
    if (!isfinite(number))
        return fail(self, place, "NaN and infinities have no JSON form");
    if (wire_is_float32(value))
        json_number_float(self->to, (float)number);
    else
        json_number_double(self->to, number);
    return true;
}

static bool put_array(const struct writer *self, const struct wire_value *array,
                      const struct place *place, size_t depth)
{
    struct place here = {.parent = place};
    buffer_put_byte(self->to, '[');
    size_t count = wire_count(array);
    for (; here.index < count; here.index++) {
        if (here.index > 0)
            buffer_put_byte(self->to, ',');
        if (!put_value(self, wire_at(array, here.index), &here, depth + 1))
            return false;
    }
    buffer_put_byte(self->to, ']');
    return true;
}

static int compare_spans(const void *a_p, const void *b_p)
{
    const struct span *a = a_p, *b = b_p;
    if (a->size != b->size)
        return a->size < b->size ? -1 : 1;
    return a->size == 0 ? 0 : memcmp(a->data, b->data, a->size);
}

/* Up to so many keys are compared with one another, more are sorted. */
#define FEW_KEYS 16

static const struct span *twin_of_few(const struct span *keys, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        for (size_t j = 0; j < i; j++) {
            if (keys[i].size == keys[j].size && span_equal(keys[i], keys[j]))
                return &keys[i];
        }
    }
    return NULL;
}

static const struct span *twin_of_many(struct span *keys, size_t count)
{
    qsort(keys, count, sizeof *keys, compare_spans);
    for (size_t i = 1; i < count; i++) {
        if (span_equal(keys[i - 1], keys[i]))
            return &keys[i];
    }
    return NULL;
}

/* All keys of the map, checked one by one. */
static bool read_keys(const struct writer *self, const struct wire_value *map,
                      const struct place *place, struct span *keys)
{
    size_t count = wire_count(map);
    for (size_t i = 0; i < count; i++) {
        const struct wire_value *key = wire_key_at(map, i);
        if (wire_type(key) != WIRE_TEXT)
            return fail(self, place, "keys must be strings");
        keys[i] = wire_text(key);
        if (keys[i].size > 0 && memchr(keys[i].data, 0, keys[i].size))
            return fail(self, place, "keys must not contain U+0000");
    }
    return true;
}

static bool check_keys(const struct writer *self, const struct wire_value *map,
                       const struct place *place)
{
    size_t count = wire_count(map);
    struct span few[FEW_KEYS];
    struct span *keys = count <= FEW_KEYS ? few : malloc(count * sizeof *keys);
    if (!keys)
        return fail(self, place, "out of memory");
    bool good = read_keys(self, map, place, keys);
    if (good) {
        const struct span *twin =
            keys == few ? twin_of_few(keys, count) : twin_of_many(keys, count);
        good = !twin || fail_twice(self, place, *twin);
    }
    if (keys != few)
        free(keys);
    return good;
}

static bool put_map(const struct writer *self, const struct wire_value *map,
                    const struct place *place, size_t depth)
{
    if (!check_keys(self, map, place))
        return false;
    struct place here = {.parent = place, .in_map = true};
    buffer_put_byte(self->to, '{');
    size_t count = wire_count(map);
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            buffer_put_byte(self->to, ',');
        here.key = wire_text(wire_key_at(map, i));
        if (!json_text_string(self->to, here.key))
            return fail(self, place, "a key is not valid UTF-8");
        buffer_put_byte(self->to, ':');
        if (!put_value(self, wire_value_at(map, i), &here, depth + 1))
            return false;
    }
    buffer_put_byte(self->to, '}');
    return true;
}

static bool put_container(const struct writer *self, const struct wire_value *value,
                          const struct place *place, size_t depth)
{
    if (depth > self->max_depth) {
        put_place(self, place);
        buffer_printf(self->why, ": nested deeper than %zu levels", self->max_depth);
        return false;
    }
    return wire_type(value) == WIRE_MAP ? put_map(self, value, place, depth)
                                        : put_array(self, value, place, depth);
}

static bool put_value(const struct writer *self, const struct wire_value *value,
                      const struct place *place, size_t depth)
{
    switch (wire_type(value)) {
    case WIRE_NIL:
        buffer_put_text(self->to, "null");
        return true;
    case WIRE_BOOL:
        buffer_put_text(self->to, wire_bool(value) ? "true" : "false");
        return true;
    case WIRE_UINT:
        return put_uint(self, wire_uint(value), place);
    case WIRE_INT:
        return put_negative(self, wire_int(value));
    case WIRE_DOUBLE:
        return put_double(self, value, place);
    case WIRE_TEXT:
        return json_text_string(self->to, wire_text(value)) || fail(self, place, "not valid UTF-8");
    case WIRE_ARRAY:
    case WIRE_MAP:
        return put_container(self, value, place, depth);
    case WIRE_BINARY:
        return fail(self, place, "binary values have no JSON form");
    case WIRE_EXTENSION:
        break;
    }
    return fail(self, place, "extension types have no JSON form");
}

bool json_text_from_wire(struct buffer *to, const struct wire_value *value, const char *place,
                         size_t max_depth, struct buffer *why)
{
    size_t start = to->size;
    struct writer self = {.to = to, .why = why, .name = place, .max_depth = max_depth};
    if (put_value(&self, value, NULL, 1))
        return true;
    to->size = start;
    return false;
}
