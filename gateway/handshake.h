#pragma once
#include <stdbool.h>

#include "proto/span.h"

/* handshake - may this HTTP request become a WebSocket of ours?
 *
 * Pure. All spans are borrowed.
 */

#define HANDSHAKE_PATH        "/connection/websocket"
#define HANDSHAKE_SUBPROTOCOL "centrifuge-json"

enum handshake_verdict {
    HANDSHAKE_ACCEPTED,
#define REFUSAL(name, NAME, status, text) HANDSHAKE_REFUSED_##NAME,
#include "proto/handshake.def"
#undef REFUSAL
    HANDSHAKE_VERDICTS /* how many there are */
};

/* The request's parts; an absent one is empty. Lines of a repeated header are joined by a comma. */
struct handshake {
    struct span path; /* without the query */
    struct span query;
    struct span upgrade, connection, version, key;
    struct span protocols; /* Sec-WebSocket-Protocol */
    struct span origin, host;
};

/* ACCEPTED, or the first thing that is wrong (never REFUSED_LINE, REFUSED_FULL,
 * REFUSED_MEMORY, REFUSED_DRAINING or REFUSED_BROKER). */
enum handshake_verdict handshake_judge(const struct handshake *request,
                                       struct span allowed_origins);

/* No Origin, the Origin of the host itself (default ports are filled in, case does not matter), or
 * one of `allowed`: Origins separated by spaces, "*" allows any. "null" needs the "*". */
bool handshake_origin_allowed(struct span origin, struct span host, struct span allowed);

/* Whether this Host, with or without a port, is "localhost" or an address of this machine alone. */
bool handshake_host_is_local(struct span host);

/* "404 Not Found"; NULL for ACCEPTED. */
const char *handshake_status(enum handshake_verdict verdict);
/* One line for people; NULL for ACCEPTED. */
const char *handshake_text(enum handshake_verdict verdict);
