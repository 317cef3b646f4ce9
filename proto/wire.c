#include "proto/wire.h"

#include <assert.h>
#include <endian.h>
#include <msgpack.h>
#include <stdlib.h>

/* A reader keeps one chunk of this size for ever; what a big request needs beyond it is given
 * back by the next read. */
#define ZONE_CHUNK 65536

struct wire_reader {
    msgpack_zone zone;
    msgpack_object root;
};

wire_reader_t *wire_reader_new(void)
{
    wire_reader_t *self = calloc(1, sizeof *self);
    if (self && !msgpack_zone_init(&self->zone, ZONE_CHUNK)) {
        free(self);
        return NULL;
    }
    return self;
}

void wire_reader_destroy(wire_reader_t **self_p)
{
    wire_reader_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    msgpack_zone_destroy(&self->zone);
    free(self);
}

/* What the first byte of a value announces. */
struct head {
    uint8_t length;   /* bytes of the length field behind it */
    uint8_t body;     /* bytes that follow in any case */
    uint8_t children; /* per unit of the length; 0: the length counts bytes */
};

#define RESERVED 0xc1

/* The types 0xc0 to 0xdf; the others carry their length in the first byte. */
static const struct head heads[32] = {
    {0, 0, 0},  {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, /* nil, reserved, false, true */
    {1, 0, 0},  {2, 0, 0}, {4, 0, 0},            /* bin */
    {1, 1, 0},  {2, 1, 0}, {4, 1, 0},            /* ext: and a byte for its type */
    {0, 4, 0},  {0, 8, 0},                       /* float */
    {0, 1, 0},  {0, 2, 0}, {0, 4, 0}, {0, 8, 0}, /* uint */
    {0, 1, 0},  {0, 2, 0}, {0, 4, 0}, {0, 8, 0}, /* int */
    {0, 2, 0},  {0, 3, 0}, {0, 5, 0}, {0, 9, 0}, /* fixext: and a byte for its type */
    {0, 17, 0},                                  /* fixext 16 */
    {1, 0, 0},  {2, 0, 0}, {4, 0, 0},            /* str */
    {2, 0, 1},  {4, 0, 1},                       /* array */
    {2, 0, 2},  {4, 0, 2},                       /* map */
};

static uint64_t read_length(const uint8_t *at, size_t size)
{
    uint64_t length = 0;
    for (size_t i = 0; i < size; i++)
        length = length << 8 | at[i];
    return length;
}

/* Takes one value's head and, unless it is a container, its body off the front of *rest.
 * NULL and the number of values inside it, or what is wrong. */
static const char *take_value(struct span *rest, bool *container, uint64_t *children)
{
    uint8_t first = rest->data[0];
    struct head head = {0};
    uint64_t length = 0;
    if (first >= 0x80 && first <= 0x9f) {
        head.children = first < 0x90 ? 2 : 1;
        length = first & 0x0f;
    } else if (first >= 0xa0 && first <= 0xbf) {
        length = first & 0x1f;
    } else if (first >= 0xc0 && first <= 0xdf) {
        head = heads[first - 0xc0];
        if (first == RESERVED)
            return "holds the reserved msgpack type 0xc1";
        if (rest->size - 1 < head.length)
            return "ends in the middle of a value";
        length = read_length(rest->data + 1, head.length);
    }
    rest->data += 1 + head.length;
    rest->size -= (size_t)1 + head.length;

    *container = head.children > 0;
    *children = length * head.children;
    if (*container)
        return *children > rest->size ? "announces more values than there are bytes" : NULL;
    if (length + head.body > rest->size)
        return "ends in the middle of a value";
    rest->data += length + head.body;
    rest->size -= length + head.body;
    return NULL;
}

/* msgpack-c refuses more than this by itself. */
#define DEPTH_MAX 32

/* NULL, or what is wrong. `open` counts the values that each open container still lacks. */
static const char *walk(struct span rest, size_t max_depth, size_t max_nodes)
{
    uint64_t open[DEPTH_MAX];
    size_t depth = 0;
    do {
        if (rest.size == 0)
            return "ends in the middle of a value";
        if (max_nodes-- == 0)
            return "holds too many values";
        bool container;
        uint64_t children;
        const char *wrong = take_value(&rest, &container, &children);
        if (wrong)
            return wrong;
        if (container && depth == max_depth)
            return "is nested too deep";
        if (children > 0) {
            open[depth++] = children;
            continue;
        }
        while (depth > 0 && --open[depth - 1] == 0)
            depth--;
    } while (depth > 0);
    return rest.size == 0 ? NULL : "has bytes behind the value";
}

static const struct wire_value *value_of(const msgpack_object *object)
{
    return (const struct wire_value *)object;
}

static const msgpack_object *object_of(const struct wire_value *value)
{
    return (const msgpack_object *)value;
}

const struct wire_value *wire_read(wire_reader_t *self, struct span bytes, size_t max_depth,
                                   size_t max_nodes, const char **why)
{
    assert(max_depth <= DEPTH_MAX);
    if (bytes.size == 0) {
        *why = "is empty";
        return NULL;
    }
    *why = walk(bytes, max_depth, max_nodes);
    if (*why)
        return NULL;

    msgpack_zone_clear(&self->zone);
    size_t used = 0;
    msgpack_unpack_return result =
        msgpack_unpack((const char *)bytes.data, bytes.size, &used, &self->zone, &self->root);
    if (result == MSGPACK_UNPACK_SUCCESS)
        return value_of(&self->root);
    *why = result == MSGPACK_UNPACK_NOMEM_ERROR ? "needs more memory than there is"
                                                : "is not valid msgpack";
    return NULL;
}

enum wire_type wire_type(const struct wire_value *value)
{
    switch (object_of(value)->type) {
    case MSGPACK_OBJECT_NIL:
        return WIRE_NIL;
    case MSGPACK_OBJECT_BOOLEAN:
        return WIRE_BOOL;
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
        return WIRE_UINT;
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
        return WIRE_INT;
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64:
        return WIRE_DOUBLE;
    case MSGPACK_OBJECT_STR:
        return WIRE_TEXT;
    case MSGPACK_OBJECT_BIN:
        return WIRE_BINARY;
    case MSGPACK_OBJECT_ARRAY:
        return WIRE_ARRAY;
    case MSGPACK_OBJECT_MAP:
        return WIRE_MAP;
    case MSGPACK_OBJECT_EXT:
        break;
    }
    return WIRE_EXTENSION;
}

bool wire_bool(const struct wire_value *value)
{
    assert(wire_type(value) == WIRE_BOOL);
    return object_of(value)->via.boolean;
}

uint64_t wire_uint(const struct wire_value *value)
{
    assert(wire_type(value) == WIRE_UINT);
    return object_of(value)->via.u64;
}

int64_t wire_int(const struct wire_value *value)
{
    assert(wire_type(value) == WIRE_INT);
    return object_of(value)->via.i64;
}

double wire_double(const struct wire_value *value)
{
    assert(wire_type(value) == WIRE_DOUBLE);
    return object_of(value)->via.f64;
}

bool wire_is_float32(const struct wire_value *value)
{
    return object_of(value)->type == MSGPACK_OBJECT_FLOAT32;
}

struct span wire_text(const struct wire_value *value)
{
    const msgpack_object *object = object_of(value);
    if (object->type == MSGPACK_OBJECT_BIN)
        return span_of(object->via.bin.ptr, object->via.bin.size);
    assert(object->type == MSGPACK_OBJECT_STR);
    return span_of(object->via.str.ptr, object->via.str.size);
}

size_t wire_count(const struct wire_value *value)
{
    const msgpack_object *object = object_of(value);
    if (object->type == MSGPACK_OBJECT_MAP)
        return object->via.map.size;
    assert(object->type == MSGPACK_OBJECT_ARRAY);
    return object->via.array.size;
}

const struct wire_value *wire_at(const struct wire_value *array, size_t index)
{
    const msgpack_object *object = object_of(array);
    assert(object->type == MSGPACK_OBJECT_ARRAY && index < object->via.array.size);
    return value_of(&object->via.array.ptr[index]);
}

static const msgpack_object_kv *pair_at(const struct wire_value *map, size_t index)
{
    const msgpack_object *object = object_of(map);
    assert(object->type == MSGPACK_OBJECT_MAP && index < object->via.map.size);
    return &object->via.map.ptr[index];
}

const struct wire_value *wire_key_at(const struct wire_value *map, size_t index)
{
    return value_of(&pair_at(map, index)->key);
}

const struct wire_value *wire_value_at(const struct wire_value *map, size_t index)
{
    return value_of(&pair_at(map, index)->val);
}

/* msgpack-c's write callback. A buffer remembers by itself that memory ran out. */
static int append(void *buffer, const char *data, size_t size)
{
    buffer_put(buffer, data, size);
    return 0;
}

static msgpack_packer packer(struct buffer *to)
{
    return (msgpack_packer){.data = to, .callback = append};
}

void wire_put_nil(struct buffer *to)
{
    msgpack_packer pack = packer(to);
    msgpack_pack_nil(&pack);
}

void wire_put_bool(struct buffer *to, bool value)
{
    msgpack_packer pack = packer(to);
    if (value)
        msgpack_pack_true(&pack);
    else
        msgpack_pack_false(&pack);
}

void wire_put_uint(struct buffer *to, uint64_t value)
{
    msgpack_packer pack = packer(to);
    msgpack_pack_uint64(&pack, value);
}

void wire_put_int(struct buffer *to, int64_t value)
{
    msgpack_packer pack = packer(to);
    msgpack_pack_int64(&pack, value);
}

void wire_put_double(struct buffer *to, double value)
{
    msgpack_packer pack = packer(to);
    msgpack_pack_double(&pack, value);
}

void wire_put_text(struct buffer *to, struct span text)
{
    msgpack_packer pack = packer(to);
    msgpack_pack_str(&pack, text.size);
    if (text.size > 0)
        msgpack_pack_str_body(&pack, text.data, text.size);
}

void wire_put_word(struct buffer *to, const char *text)
{
    wire_put_text(to, span_text(text));
}

void wire_put_array(struct buffer *to, size_t count)
{
    msgpack_packer pack = packer(to);
    msgpack_pack_array(&pack, count);
}

void wire_put_map(struct buffer *to, size_t count)
{
    msgpack_packer pack = packer(to);
    msgpack_pack_map(&pack, count);
}

void wire_put_value(struct buffer *to, const struct wire_value *value)
{
    msgpack_packer pack = packer(to);
    msgpack_pack_object(&pack, *object_of(value));
}
