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
 *   handle        {op, id?, handlers: [{channel?, resource?} ...], site?, app?}
 *   unhandle      {op, id?, handlers: [...], everywhere?: bool, site?, app?}
 *   answer        {op, id, answers: [{read: bool, ttl?} or {error: {status, message?}} ...]}
 *   revoke        {op, id?, channel?, resource?, subscriber?: {type?, id}, mode, site?, app?}
 *   disconnect    {op, id?, subscriber: {type?, id}, reason?, site?}
 *   handlers      {op, id?, site?, app?}
 *   explain       {op, id?, channel, resource?, subscriber: {type, id}, site?, app?, view?}
 *   all of them   at?, within?: milliseconds of the backend's clock
 *   reply         {id, ok: true, ...} or {id, ok: false, error: {status, code, message}}
 *
 * id: a string of at most 64 bytes or an unsigned integer; a request without one gets no reply.
 * A request that is no map, so that nobody can tell whether it had one, is answered with id nil.
 * And what the broker asks of those who handle: {op: "check", id, checks: [...]}, whose id is the
 * broker's; an answer has the same id, and gets no reply.
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
    bool has_site, has_app, has_channel, has_resource;
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

struct backend_subscriber {
    bool is_given, has_type;
    struct span type; /* any word */
    struct span id;   /* at most LIMIT_SUBSCRIBER_BYTES of valid UTF-8 */
};

/* One answer to one check. */
struct backend_decision {
    enum status status; /* OK, FORBIDDEN; or what kept the handler from saying: BAD_INPUT,
                           UNAVAILABLE */
    bool has_ttl;
    uint32_t ttl_ms;
    struct span message; /* of an error; valid UTF-8 of any size */
};

struct backend_request {
    enum backend_op op;
    const struct wire_value *id; /* NULL: no reply wanted, unless it is unreadable */
    bool unreadable;             /* not one msgpack map: answer with id nil */
    struct backend_publish publish;
    struct backend_history history;
    /* An array. publish_many: at most LIMIT_PUBLISH_MANY_ITEMS; handle, unhandle: at most
     * LIMIT_HANDLERS; answer: of any size. */
    const struct wire_value *items;
    struct backend_target target; /* of the others; the channel may be absent */
    bool everywhere;              /* unhandle: for all who registered it */
    struct backend_subscriber subscriber;
    bool has_deadline;  /* at_ms and within_ms were given */
    bool has_time;      /* at_ms was given */
    uint64_t at_ms;     /* when it was asked, by a clock of the backend's own */
    uint64_t within_ms; /* an answer that takes longer is of no use */
    bool deny;          /* revoke: end, instead of asking again */
    struct span reason; /* disconnect: at most LIMIT_REASON_BYTES of valid UTF-8 */
};

/* Decodes one request. On failure *why gets a sentence (valid UTF-8) that names the place and the
 * rule; `id` is filled in whenever it could be read, so that the error can be answered.
 * BAD_INPUT, or TOO_LARGE beyond a limit of a whole request. */
enum status backend_decode(wire_reader_t *reader, struct span bytes, struct backend_request *out,
                           struct buffer *why);
/* Item `index` of publish_many; each item stands for itself. *why as above, with "items[3].". */
enum status backend_decode_item(const struct backend_request *request, size_t index,
                                struct backend_publish *out, struct buffer *why);

/* Entry `index` of handle and unhandle: the request's target with its own channel and resource. */
enum status backend_decode_handler(const struct backend_request *request, size_t index,
                                   struct backend_target *out, struct buffer *why);
/* Answer `index`. NULL, or the rule that it breaks: it is UNAVAILABLE then. */
const char *backend_decode_decision(const struct backend_request *request, size_t index,
                                    struct backend_decision *out);

/* Replies. Each writes one whole map. `id` NULL writes nil. */
/* ping: another `instance` may have forgotten the idempotency keys of this one. */
void backend_write_pong(struct buffer *to, const struct wire_value *id, uint64_t instance);
void backend_write_error(struct buffer *to, const struct wire_value *id, enum status status,
                         struct span message);
/* The refusal of a broker that stops: nothing of the request was done, the next broker may be asked
 * the same. */
void backend_write_stopping(struct buffer *to, const struct wire_value *id);
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

/* --- who may read --- */

struct backend_check {
    struct span site, app, channel, resource;
    const char *type;
    struct span subscriber;
    struct span requesting_app;
    uint64_t request; /* names this question in logs of the handler */
};
/* The question to a handler: begin, then each check. */
void backend_begin_check(struct buffer *to, uint64_t id, size_t count);
void backend_put_check(struct buffer *to, const struct backend_check *check);

void backend_write_done(struct buffer *to, const struct wire_value *id);
void backend_write_removed(struct buffer *to, const struct wire_value *id, size_t removed);

struct backend_revoked {
    uint64_t affected, ended;
    size_t unconfirmed;
};
/* `disconnected`: without `ended`. */
void backend_write_revoked(struct buffer *to, const struct wire_value *id,
                           const struct backend_revoked *revoked, bool disconnected);

struct backend_handler {
    struct span site, app, channel, resource; /* channel empty: the default handler */
    size_t workers;
    bool is_open; /* its circuit breaker */
    uint64_t questions, failures;
};
/* handlers: begin, then each. */
void backend_begin_handlers(struct buffer *to, const struct wire_value *id, size_t total,
                            size_t count);
void backend_put_handler(struct buffer *to, const struct backend_handler *handler);

struct backend_explanation {
    enum status status;
    struct span message, rule; /* empty: none */
    const char *level, *by, *source;
    bool has_ttl;
    uint32_t ttl_ms;
    uint64_t took_ms;
};
void backend_write_explanation(struct buffer *to, const struct wire_value *id,
                               const struct backend_explanation *from);
