#pragma once
#include <stdbool.h>

#include "gateway/http_request.h"
#include "proto/buffer.h"
#include "proto/span.h"

/* fallback_request - what does a request of the fallback over plain HTTP ask for, and what is it
 * answered?
 *
 * The emulation transports of the Centrifuge protocol (docs/protocol.md): a stream to the client,
 * POST /connection/http_stream or GET or POST /connection/sse, and its commands, POST /emulation,
 * each as a request of its own. Every connection has one request. Pure. All spans are borrowed.
 */

enum fallback_verdict {
    FALLBACK_STREAM,    /* a stream of lines: what the client sends first is the body */
    FALLBACK_EVENTS,    /* the same as server-sent events */
    FALLBACK_COMMANDS,  /* the body is a struct client_emulation */
    FALLBACK_PREFLIGHT, /* a browser asks whether its page may */
#define REFUSAL(name, NAME, status, text) FALLBACK_REFUSED_##NAME,
#include "proto/fallback.def"
#undef REFUSAL
    FALLBACK_VERDICTS /* how many there are */
};

struct fallback_request {
    enum http_method method;
    struct span path; /* without the query */
    struct span origin, host;
    struct span length;     /* Content-Length */
    bool has_encoding;      /* Transfer-Encoding */
    struct span cf_connect; /* of the query */
    struct span fetch_mode; /* Sec-Fetch-Mode, which new browsers send */
};

/* Is this one of the paths above? */
bool fallback_is_path(struct span path);
/* What is asked for, or the first thing that is wrong with it; *body then says how many bytes of
 * body follow, 0: none, the client's first frame is cf_connect. Never the refusals that depend on
 * more than the request: SESSION, SLOW, BYTES, GATEWAY, FULL, DRAINING and
 * BROKER. */
enum fallback_verdict fallback_judge(const struct fallback_request *request,
                                     struct span allowed_origins, size_t *body);

/* The whole answer to what is no stream: a refusal, PREFLIGHT, or COMMANDS that were taken.
 * `origin` is the request's; it may not read the refusal ORIGIN. `why` says more to people, or is
 * empty. */
void fallback_write_answer(struct buffer *to, enum fallback_verdict verdict, struct span origin,
                           struct span why);
/* What goes in front of a STREAM or of EVENTS. */
void fallback_write_head(struct buffer *to, enum fallback_verdict kind, struct span origin);
