#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* herd_line - one line of what a gateway says (Centrifuge client protocol v2, JSON), read without
 * the gateway's code. Pure.
 *
 * Publications may say about themselves what their publisher knew, {"n": 17, "a": "room:1", ...}: n
 * counts the publications to one address, a is that address. The reader hands both out, so that
 * a client can tell that it got the right message and not only the right offset.
 */
enum herd_line_kind {
    HERD_LINE_MALFORMED, /* no JSON object, or one that a client could not use */
    HERD_LINE_OTHER,     /* fine, and of no interest */
    HERD_LINE_PING,
    HERD_LINE_PUBLICATION,
    HERD_LINE_UNSUBSCRIBED, /* channel, code */
    HERD_LINE_CONNECTED,    /* id, ping_seconds */
    HERD_LINE_SUBSCRIBED,   /* id, and what follows it below */
    HERD_LINE_ERROR         /* id, code, is_temporary */
};

struct herd_text {
    const char *bytes;
    size_t size;
};

struct herd_publication {
    uint64_t offset;
    uint64_t number;        /* 0: it does not say */
    struct herd_text about; /* size 0: it does not say */
};

struct herd_line {
    enum herd_line_kind kind;
    uint32_t id;
    uint32_t code;
    uint32_t ping_seconds;
    bool is_temporary;
    bool was_recovering, recovered;
    struct herd_text channel;
    struct herd_text epoch;
    uint64_t offset;
    struct herd_publication publication;
    void *document; /* what the texts are borrowed from, and the publications of a reply */
    size_t next;
};

/* Texts are borrowed from `text` and from the line, until herd_line_free(). */
void herd_line_read(struct herd_line *self, const char *text, size_t size);
void herd_line_free(struct herd_line *self);

/* The next recovered publication of a subscribe reply; false behind the last one. */
bool herd_line_publication(struct herd_line *self, struct herd_publication *publication);
