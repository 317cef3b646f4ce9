#include "proto/bus_codec.h"

#include <assert.h>
#include <endian.h>
#include <string.h>

/* Readers: take a value off the front of *rest. False when it is too short. */

static bool take_bytes(struct span *rest, size_t size, struct span *out)
{
    if (rest->size < size)
        return false;
    *out = span_of(rest->data, size);
    rest->data += size;
    rest->size -= size;
    return true;
}

static bool take_u8(struct span *rest, uint8_t *out)
{
    struct span bytes;
    if (!take_bytes(rest, 1, &bytes))
        return false;
    *out = bytes.data[0];
    return true;
}

static bool take_u16(struct span *rest, uint16_t *out)
{
    struct span bytes;
    if (!take_bytes(rest, sizeof *out, &bytes))
        return false;
    memcpy(out, bytes.data, sizeof *out);
    *out = be16toh(*out);
    return true;
}

static bool take_u32(struct span *rest, uint32_t *out)
{
    struct span bytes;
    if (!take_bytes(rest, sizeof *out, &bytes))
        return false;
    memcpy(out, bytes.data, sizeof *out);
    *out = be32toh(*out);
    return true;
}

static bool take_u64(struct span *rest, uint64_t *out)
{
    struct span bytes;
    if (!take_bytes(rest, sizeof *out, &bytes))
        return false;
    memcpy(out, bytes.data, sizeof *out);
    *out = be64toh(*out);
    return true;
}

static bool take_bytes16(struct span *rest, struct span *out)
{
    uint16_t size;
    return take_u16(rest, &size) && take_bytes(rest, size, out);
}

static bool take_bytes32(struct span *rest, struct span *out)
{
    uint32_t size;
    return take_u32(rest, &size) && take_bytes(rest, size, out);
}

static void put_bytes16(struct buffer *to, struct span bytes)
{
    assert(bytes.size <= UINT16_MAX);
    buffer_put_u16(to, (uint16_t)bytes.size);
    buffer_put_span(to, bytes);
}

static void put_bytes32(struct buffer *to, struct span bytes)
{
    assert(bytes.size <= UINT32_MAX);
    buffer_put_u32(to, (uint32_t)bytes.size);
    buffer_put_span(to, bytes);
}

uint8_t bus_frame_type(struct span frame)
{
    if (frame.size == 0)
        return 0;
    switch (frame.data[0]) {
#define BUS_FRAME(name, NAME, type) case type:
#include "proto/bus_frames.def"
#undef BUS_FRAME
        return frame.data[0];
    default:
        return 0;
    }
}

uint16_t bus_hello_version(struct span frame)
{
    uint8_t type;
    uint16_t version;
    bool is_hello = take_u8(&frame, &type) && type == BUS_HELLO && take_u16(&frame, &version);
    return is_hello ? version : 0;
}

#define TAKE_U8(name)      ok = ok && take_u8(rest, &out->name);
#define TAKE_U16(name)     ok = ok && take_u16(rest, &out->name);
#define TAKE_U32(name)     ok = ok && take_u32(rest, &out->name);
#define TAKE_U64(name)     ok = ok && take_u64(rest, &out->name);
#define TAKE_BYTES16(name) ok = ok && take_bytes16(rest, &out->name);
#define TAKE_BYTES32(name) ok = ok && take_bytes32(rest, &out->name);
#define PUT_U8(name)       buffer_put_byte(to, in->name);
#define PUT_U16(name)      buffer_put_u16(to, in->name);
#define PUT_U32(name)      buffer_put_u32(to, in->name);
#define PUT_U64(name)      buffer_put_u64(to, in->name);
#define PUT_BYTES16(name)  put_bytes16(to, in->name);
#define PUT_BYTES32(name)  put_bytes32(to, in->name);

#define TAKE_FIELDS(name)                                                                          \
    bool ok = true;                                                                                \
    BUS_FIELDS_##name(TAKE_U8, TAKE_U16, TAKE_U32, TAKE_U64, TAKE_BYTES16, TAKE_BYTES32)
#define PUT_FIELDS(name)                                                                           \
    BUS_FIELDS_##name(PUT_U8, PUT_U16, PUT_U32, PUT_U64, PUT_BYTES16, PUT_BYTES32)

#define BUS_FRAME(name, NAME, type)                                                                \
    bool bus_get_##name(struct span frame, struct bus_##name *out)                                 \
    {                                                                                              \
        struct span *rest = &frame;                                                                \
        uint8_t kind;                                                                              \
        if (!take_u8(rest, &kind) || kind != BUS_##NAME)                                           \
            return false;                                                                          \
        TAKE_FIELDS(name)                                                                          \
        return ok && frame.size == 0;                                                              \
    }                                                                                              \
    void bus_put_##name(struct buffer *to, const struct bus_##name *in)                            \
    {                                                                                              \
        buffer_put_byte(to, BUS_##NAME);                                                           \
        PUT_FIELDS(name)                                                                           \
    }
#define BUS_PART(name)                                                                             \
    bool bus_next_##name(struct span *rest, struct bus_##name *out)                                \
    {                                                                                              \
        TAKE_FIELDS(name)                                                                          \
        return ok;                                                                                 \
    }                                                                                              \
    void bus_put_##name(struct buffer *to, const struct bus_##name *in)                            \
    {                                                                                              \
        PUT_FIELDS(name)                                                                           \
    }
#include "proto/bus_frames.def"
#undef BUS_FRAME
#undef BUS_PART

bool bus_get_delivery(struct span message, bus_address_size_fn *address_size,
                      struct bus_delivery *out)
{
    uint8_t kind;
    if (!take_u8(&message, &kind) || kind != BUS_TOPIC_PUBLICATION)
        return false;
    size_t size = address_size(message);
    if (size == 0 || !take_bytes(&message, size, &out->address))
        return false;
    if (!take_u64(&message, &out->epoch) || !take_u64(&message, &out->offset))
        return false;
    out->body = message;
    return true;
}

static void write_u64(uint8_t *to, uint64_t value)
{
    value = htobe64(value);
    memcpy(to, &value, sizeof value);
}

size_t bus_write_delivery_head(uint8_t *to, struct span address, uint64_t epoch, uint64_t offset)
{
    to[0] = BUS_TOPIC_PUBLICATION;
    memcpy(to + 1, address.data, address.size);
    write_u64(to + 1 + address.size, epoch);
    write_u64(to + 9 + address.size, offset);
    return 17 + address.size;
}

/* Fence and canary: kind, then two numbers. */

static void write_pair(uint8_t *to, uint8_t kind, uint64_t first, uint64_t second)
{
    to[0] = kind;
    write_u64(to + 1, first);
    write_u64(to + 9, second);
}

static bool get_pair(struct span message, uint8_t expected, uint64_t *first, uint64_t *second)
{
    uint8_t kind;
    return take_u8(&message, &kind) && kind == expected && take_u64(&message, first) &&
           take_u64(&message, second) && message.size == 0;
}

void bus_write_fence(uint8_t to[BUS_FENCE_BYTES], uint64_t incarnation, uint64_t number)
{
    write_pair(to, BUS_TOPIC_FENCE, incarnation, number);
}

bool bus_get_fence(struct span message, uint64_t *incarnation, uint64_t *number)
{
    return get_pair(message, BUS_TOPIC_FENCE, incarnation, number);
}

void bus_write_canary(uint8_t to[BUS_CANARY_BYTES], uint64_t broker, uint64_t number)
{
    write_pair(to, BUS_TOPIC_CANARY, broker, number);
}

bool bus_get_canary(struct span message, uint64_t *broker, uint64_t *number)
{
    return get_pair(message, BUS_TOPIC_CANARY, broker, number);
}
