#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "proto/buffer.h"
#include "proto/bus_frames.def"
#include "proto/span.h"

/* bus_codec - the frames between gateways and the broker, as bytes.
 *
 * Pure. Decoded spans borrow from the input. Decoders accept nothing but exactly one well-formed
 * frame: a wrong type, a length beyond the end or bytes left over are refused.
 *
 * Publications travel on XPUB/SUB, outside these frames, in one ZeroMQ part:
 *
 *   topic   kind (1 byte, enum bus_topic_kind), then for publications the canonical address,
 *           for a fence the gateway's incarnation (8) and a number (8)
 *   rest    publication: epoch (8), offset (8), body to the end
 *           fence: nothing
 *           canary: broker nonce (8), number (8)
 *           digest: marks (BUS_PART mark) to the end
 *
 * A topic is never a prefix of another one (ZeroMQ subscriptions match by prefix): addresses are
 * self-delimiting and the first byte tells the kinds apart.
 *
 * The body of a publication is the inside of the JSON object that clients get, without braces
 * and without the offset: `"data":{...}` or `"data":{...},"info":{"client":"","user":"..."}`.
 * It is built once, at the broker, and has no raw newline.
 */

#define BUS_VERSION 4

enum bus_frame_type {
#define BUS_FRAME(name, NAME, type) BUS_##NAME = type,
#include "proto/bus_frames.def"
#undef BUS_FRAME
};

enum bus_topic_kind {
    BUS_TOPIC_PUBLICATION = 'P',
    BUS_TOPIC_CANARY = 'C',
    BUS_TOPIC_DIGEST = 'D',
    /* Behind all others: after a reconnect libzmq sends its topics in the order of their bytes, and
     * a fence must not overtake what it guards. */
    BUS_TOPIC_FENCE = 'Z'
};

enum bus_question_kind {
    BUS_SUBSCRIBE = 1, /* position; with BUS_QUESTION_RECOVER all missed publications or none */
    BUS_POSITION = 2,  /* position only */
    BUS_RANGE = 3,     /* repair: the publications after (epoch, offset), as many as fit; the
                          flag BUS_REPLY_RECOVERED says that they join on without a hole */
    BUS_HISTORY = 4,   /* up to `limit` publications, from the oldest kept or after `since` */
    BUS_PRESENCE = 5,  /* the clients that are subscribed, on all gateways */
    BUS_PRESENCE_STATS = 6, /* how many clients and users they are */
    BUS_PERMIT = 7          /* may the asker go on reading? The position comes along */
};

#define BUS_QUESTION_RECOVER   0x01 /* SUBSCRIBE */
#define BUS_QUESTION_ANY_EPOCH 0x02 /* SUBSCRIBE, HISTORY: the client named no epoch */
#define BUS_QUESTION_SINCE     0x04 /* HISTORY: (epoch, offset) is given */
#define BUS_QUESTION_REVERSE   0x08 /* HISTORY: newest first */
#define BUS_QUESTION_RESUMES   0x10 /* the asker could read before, on this connection or another */
#define BUS_QUESTION_OF_BEFORE 0x20 /* RANGE: another broker has told (epoch, offset) */

#define BUS_REPLY_RECOVERED 0x01
#define BUS_REPLY_SAME      0x02 /* count and publications are those of the reply in front of it */
#define BUS_REPLY_TEMPORARY 0x04 /* a refusal that asking again later may change */
/* SUBSCRIBE: what the channel wants for clients that read too slowly; neither: disconnect */
#define BUS_REPLY_LATEST      0x08
#define BUS_REPLY_DROP_OLDEST 0x10

/* reply.grant_ms */
#define BUS_GRANT_ONCE    0          /* this once: each publication is to be asked for */
#define BUS_GRANT_FOREVER UINT32_MAX /* as long as the subscription lives */

enum bus_revoke_mode {
    BUS_REVOKE_RECHECK = 1,   /* subscriptions: ask again before anything more is delivered */
    BUS_REVOKE_DENY = 2,      /* subscriptions: end them */
    BUS_REVOKE_DISCONNECT = 3 /* connections: close them for good */
};

/* What a revocation is about; without any it is everything on every site. Preview is never the
 * concern of RECHECK and DENY. */
#define BUS_SCOPE_SITE       0x01
#define BUS_SCOPE_APP        0x02
#define BUS_SCOPE_CHANNEL    0x04 /* and all its resources, unless */
#define BUS_SCOPE_RESOURCE   0x08 /* exactly this one */
#define BUS_SCOPE_TYPE       0x10
#define BUS_SCOPE_SUBSCRIBER 0x20 /* whose id is this one, which may be empty */
/* Those up to its number are not known any more: it stands for them all, and is not confirmed. */
#define BUS_SCOPE_FORGOTTEN 0x40

/* struct bus_hello, bus_welcome, ..., bus_question, bus_reply, ... from the table. */
#define BUS_U8(name)      uint8_t name;
#define BUS_U16(name)     uint16_t name;
#define BUS_U32(name)     uint32_t name;
#define BUS_U64(name)     uint64_t name;
#define BUS_BYTES16(name) struct span name;
#define BUS_BYTES32(name) struct span name;
#define BUS_STRUCT(name)                                                                           \
    struct bus_##name {                                                                            \
        BUS_FIELDS_##name(BUS_U8, BUS_U16, BUS_U32, BUS_U64, BUS_BYTES16, BUS_BYTES32)             \
    };
#define BUS_FRAME(name, NAME, type) BUS_STRUCT(name)
#define BUS_PART(name)              BUS_STRUCT(name)
#include "proto/bus_frames.def"
#undef BUS_FRAME
#undef BUS_PART
#undef BUS_STRUCT

/* The type of a frame, 0 when it is empty or unknown. */
uint8_t bus_frame_type(struct span frame);

/* The version in a hello of any version; 0: it is none. */
uint16_t bus_hello_version(struct span frame);

/* bool bus_get_hello(struct span frame, struct bus_hello *out)       whole frames
 * void bus_put_hello(struct buffer *to, const struct bus_hello *in)
 * bool bus_next_question(struct span *rest, struct bus_question *out) parts: moves *rest on;
 *                                           after a failure *rest is of no use
 * void bus_put_question(struct buffer *to, const struct bus_question *in) */
#define BUS_FRAME(name, NAME, type)                                                                \
    bool bus_get_##name(struct span frame, struct bus_##name *out);                                \
    void bus_put_##name(struct buffer *to, const struct bus_##name *in);
#define BUS_PART(name)                                                                             \
    bool bus_next_##name(struct span *rest, struct bus_##name *out);                               \
    void bus_put_##name(struct buffer *to, const struct bus_##name *in);
#include "proto/bus_frames.def"
#undef BUS_FRAME
#undef BUS_PART

/* A publication as it travels on XPUB. `address` is the canonical address. */
struct bus_delivery {
    struct span address;
    uint64_t epoch;
    uint64_t offset;
    struct span body;
};

/* address_size tells how many bytes a canonical address takes at the start of the input, 0 when it
 * is malformed: the codec knows bytes, not addresses. Pass address_size of common/address.h. */
typedef size_t bus_address_size_fn(struct span bytes);
bool bus_get_delivery(struct span message, bus_address_size_fn *address_size,
                      struct bus_delivery *out);

/* Bytes in front of the body: kind, address, epoch, offset. `to` has room for
 * 17 + address.size bytes. Returns how many were written. */
size_t bus_write_delivery_head(uint8_t *to, struct span address, uint64_t epoch, uint64_t offset);

#define BUS_FENCE_BYTES 17 /* topic and whole message: kind, incarnation, number */
void bus_write_fence(uint8_t to[BUS_FENCE_BYTES], uint64_t incarnation, uint64_t number);
bool bus_get_fence(struct span message, uint64_t *incarnation, uint64_t *number);

#define BUS_CANARY_BYTES 17
void bus_write_canary(uint8_t to[BUS_CANARY_BYTES], uint64_t broker, uint64_t number);
bool bus_get_canary(struct span message, uint64_t *broker, uint64_t *number);
