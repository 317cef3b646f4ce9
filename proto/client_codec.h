#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "proto/buffer.h"
#include "proto/json_doc.h"
#include "proto/span.h"

/* client_codec - the Centrifuge client protocol v2 in JSON: commands in, replies and pushes out.
 *
 * Pure. Source of the protocol facts: github.com/centrifugal/protocol (client.proto) and the
 * behaviour of the centrifuge-js SDK 5.7 and 5.8; what we serve of it: docs/protocol.md.
 * Every reply or push is written as one JSON object without a newline; the caller frames it.
 */

enum client_error {
#define CLIENT_ERROR(NAME, code, temporary, text) CLIENT_ERROR_##NAME = code,
#include "proto/client_codes.def"
#undef CLIENT_ERROR
};
enum client_close {
#define CLIENT_CLOSE(NAME, code, text) CLIENT_CLOSE_##NAME = code,
#include "proto/client_codes.def"
#undef CLIENT_CLOSE
};
enum client_unsubscribe {
#define CLIENT_UNSUBSCRIBE(NAME, code, text) CLIENT_UNSUBSCRIBE_##NAME = code,
#include "proto/client_codes.def"
#undef CLIENT_UNSUBSCRIBE
};
const char *client_close_text(enum client_close code);
bool client_error_temporary(enum client_error code);
const char *client_error_text(enum client_error code);

enum client_method {
    CLIENT_PONG, /* {} */
#define CLIENT_METHOD(NAME, word, channel, token) CLIENT_##NAME,
#include "proto/client_methods.def"
#undef CLIENT_METHOD
};
/* The method's key in commands and replies; "" for a pong. */
const char *client_method_word(enum client_method method);

/* One command. Spans borrow from the reader until its next call. Absent fields are zero; as in
 * every JSON form of Protobuf messages, null means absent. */
struct client_command {
    enum client_method method;
    uint32_t id; /* 0 only for pong and send */
    struct span channel;
    struct span token;

    /* subscribe: `recover` from (epoch, offset); has_epoch is false for an absent or empty one */
    bool recover;
    bool positioned, recoverable;
    bool reject_unrecovered; /* flag bit 2: answer error 112 instead of recovered:false */
    bool has_epoch;
    bool epoch_known; /* false: a string that no epoch of ours looks like, e.g. "_" */
    uint64_t epoch;
    uint64_t offset;
    bool unsupported_type;  /* type other than 0 (map, shared poll): answer 108 */
    bool unsupported_delta; /* delta other than absent, "" or "fossil": close 3501 */
    bool has_filter;        /* tf: answer 107 */

    /* history; `since` uses has_since, epoch_known, epoch, offset */
    int32_t limit;
    bool reverse;
    bool has_since;
};

enum client_read {
    CLIENT_COMMAND,  /* *out is one command */
    CLIENT_END,      /* the frame is used up */
    CLIENT_MALFORMED /* *why says what and where; close the connection with BAD_REQUEST */
};

typedef struct client_reader client_reader_t;
/* NULL only when memory is exhausted. */
client_reader_t *client_reader_new(void);
/* Sets *self_p to NULL; safe on NULL. */
void client_reader_destroy(client_reader_t **self_p);

/* Starts on a frame: commands separated by exactly one newline, one at the end is allowed. The
 * frame is borrowed until the last call of client_reader_next. */
void client_reader_begin(client_reader_t *self, struct span frame);
/* Unknown fields are ignored. Malformed: no JSON object, duplicate keys, no or several or unknown
 * methods, an id missing or out of range, a field of the wrong type, nesting deeper than
 * LIMIT_CLIENT_JSON_DEPTH, more than LIMIT_CLIENT_COMMANDS commands, an empty frame. Do not go on
 * behind it. */
enum client_read client_reader_next(client_reader_t *self, struct client_command *out,
                                    struct buffer *why);

/* The body of POST /emulation: {"session":S,"node":N,"data":"<a frame>"}. */
struct client_emulation {
    struct span session, node; /* not empty */
    struct span frame;
};
/* A document that holds what the spans of *out point into: json_doc_destroy it. NULL when the body
 * is none, or a frame is longer than LIMIT_CLIENT_FRAME_BYTES; *why then gets a sentence. */
json_doc_t *client_read_emulation(struct span body, struct client_emulation *out,
                                  struct buffer *why);

struct client_connected {
    struct span client;        /* connection id */
    struct span version;       /* of the server */
    uint32_t ping_seconds;     /* the client then answers each {} with {} */
    struct span gateway;       /* "data":{"gateway":"<name>"}; empty: no data */
    uint32_t ttl_seconds;      /* until the client has to refresh its token; 0: never */
    struct span session, node; /* where its further commands go; empty: the same connection */
};

struct client_subscribed {
    bool recoverable, positioned;
    bool was_recovering, recovered;
    uint64_t epoch, offset;
    struct span publications; /* inside of the JSON array: objects joined by ',' */
};

void client_write_connected(struct buffer *to, uint32_t id,
                            const struct client_connected *connected);
/* The reply to refresh: `client`, `version` and `ttl_seconds`. */
void client_write_refreshed(struct buffer *to, uint32_t id,
                            const struct client_connected *connected);
void client_write_subscribed(struct buffer *to, uint32_t id,
                             const struct client_subscribed *result);
/* {"id":N,"<method>":{}} */
void client_write_empty(struct buffer *to, uint32_t id, enum client_method method);
void client_write_history(struct buffer *to, uint32_t id, struct span publications, uint64_t epoch,
                          uint64_t offset);
/* One member of `presence`: "ID":{"client":"ID","user":"USER"} */
void client_write_presence_client(struct buffer *to, struct span client, struct span user);
/* `clients`: such members joined by ','. */
void client_write_presence(struct buffer *to, uint32_t id, struct span clients);
void client_write_presence_stats(struct buffer *to, uint32_t id, uint32_t clients, uint32_t users);
/* `text` NULL: the code's own. */
void client_write_error(struct buffer *to, uint32_t id, enum client_error code, const char *text);
/* The same, and the SDK tries again by itself, whatever the code says about that. */
void client_write_temporary_error(struct buffer *to, uint32_t id, enum client_error code,
                                  const char *text);
void client_write_unsubscribe(struct buffer *to, struct span channel, enum client_unsubscribe code);
/* What a close frame says, where there is none. */
void client_write_disconnect(struct buffer *to, uint32_t code, struct span reason);
/* {"data":...,"offset":N}: an element of `publications`; `body` as on the bus. */
void client_write_publication(struct buffer *to, struct span body, uint64_t offset);

/* The push of one publication is `head` body `,"offset":` N `}}}`, where head, which only depends
 * on the client's channel string, is written once per string:
 *   {"push":{"channel":"chat","pub":{  */
void client_write_push_head(struct buffer *to, struct span channel);
/* Behind such a head: how many publications are left out in front of this one,
 *   "tags":{"missed":"3"},
 * or nothing at all for 0. */
size_t client_missed_size(uint32_t missed);
uint8_t *client_write_missed(uint8_t *to, uint32_t missed);
/* Exact size of the whole push, and the push itself; returns the end of what was written. */
size_t client_push_size(struct span head, struct span body, uint64_t offset);
uint8_t *client_write_push(uint8_t *to, struct span head, struct span body, uint64_t offset);
