#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "proto/buffer.h"
#include "proto/epoch.h"
#include "proto/span.h"
#include "proto/status.h"
#include "proto/wire.h"

/* backend_codec - what backends send to the broker and get back: one msgpack map each.
 *
 * Pure. A decoded request borrows from the wire_reader and its input. Decoding checks shapes,
 * types, sizes and duplicate keys; what an address or a payload means is the core's business.
 *
 *   publish       {op, id?, channel, resource?, payload: map, publisher?, key?, site?, app?, view?}
 *   publish_many  {op, id?, items: [publish without op and id ...]}
 *   history       {op, id?, channel, resource?, limit?, since?: {epoch, offset},
 *                  site?, app?, view?}
 *   ping          {op, id?}
 *   reply         {id, ok: true, ...} or {id, ok: false, error: {status, code, message}}
 *
 * id: a string of at most 64 bytes or an unsigned integer; a request without one gets no reply.
 * A request that is no map, so that nobody can tell whether it had one, is answered with id nil.
 * epoch: a string, as clients see it (16 hexadecimal digits). view: "live" or "preview".
 */

enum backend_op {
    BACKEND_NONE,
#define BACKEND_OP(NAME, word) BACKEND_##NAME,
#include "proto/backend_frames.def"
#undef BACKEND_OP
};

/* Where a request wants to act. Spans are empty when the key is absent. Channel and resource are
 * of any size and bytes; site and app are at most as long as LIMIT_SITE_BYTES, LIMIT_APP_BYTES. */
struct backend_target {
    struct span channel;
    struct span resource;
    struct span site;
    struct span app;
    bool has_site, has_app;
    bool preview;
};

struct backend_publish {
    struct backend_target target;
    const struct wire_value *payload; /* a map */
    struct span publisher;            /* valid UTF-8; empty: not known */
    struct span key;                  /* any bytes; empty: none */
};

struct backend_history {
    struct backend_target target;
    uint32_t limit; /* 0 when absent: position only */
    bool has_since;
    uint64_t since_epoch; /* 0 for a string that is no epoch of ours: never equal to one */
    uint64_t since_offset;
};

struct backend_request {
    enum backend_op op;
    const struct wire_value *id; /* NULL: no reply wanted, unless it is unreadable */
    bool unreadable;             /* not one msgpack map: answer with id nil */
    struct backend_publish publish;
    struct backend_history history;
    const struct wire_value *items; /* publish_many: an array, at most LIMIT_PUBLISH_MANY_ITEMS */
};

/* Decodes one request. On failure *why gets a sentence (valid UTF-8) that names the place and the
 * rule; `id` is filled in whenever it could be read, so that the error can be answered.
 * BAD_INPUT, or TOO_LARGE beyond a limit of a whole request. */
enum status backend_decode(wire_reader_t *reader, struct span bytes, struct backend_request *out,
                           struct buffer *why);
/* Item `index` of publish_many; each item stands for itself. *why as above, with "items[3].". */
enum status backend_decode_item(const struct backend_request *request, size_t index,
                                struct backend_publish *out, struct buffer *why);

/* Replies. Each writes one whole map. `id` NULL writes nil. */
/* ping: `instance` is the broker's run; another one remembers none of its idempotency keys. */
void backend_write_pong(struct buffer *to, const struct wire_value *id, uint64_t instance);
void backend_write_error(struct buffer *to, const struct wire_value *id, enum status status,
                         struct span message);
void backend_write_published(struct buffer *to, const struct wire_value *id, uint64_t epoch,
                             uint64_t offset, bool duplicate);

/* publish_many: begin, then one result for each item in order. */
void backend_begin_results(struct buffer *to, const struct wire_value *id, size_t count);
void backend_put_result(struct buffer *to, uint64_t epoch, uint64_t offset, bool duplicate);
void backend_put_failure(struct buffer *to, enum status status, struct span message);

/* history: begin, then each publication (`body` as on the bus: `"data":{...},"info":{...}`), which
 * becomes {offset, payload: map, publisher?: {id}}. */
void backend_begin_history(struct buffer *to, const struct wire_value *id, uint64_t epoch,
                           uint64_t offset, size_t count);
/* False, and nothing is written, when the body is not what the broker makes. */
bool backend_put_publication(struct buffer *to, uint64_t offset, struct span body);
