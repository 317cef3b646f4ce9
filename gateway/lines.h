#pragma once
#include <stddef.h>
#include <sys/uio.h>

#include "common/outbox.h"

/* lines - the front of an outbox as the text of a stream over HTTP, for one write.
 *
 * Outboxes hold WebSocket frames, which all clients share. Here each is taken out of its frame and
 * put between what the stream's form wants, without a copy. Pure.
 */
#define LINES_FRAMES 64
#define LINES_BYTES  65536

enum lines_form {
    LINES_PLAIN, /* one JSON text a line */
    LINES_EVENTS /* server-sent events */
};

struct lines {
    struct iovec parts[3 * LINES_FRAMES];
    size_t part_count;
    size_t sizes[LINES_FRAMES]; /* what is to be sent of each frame */
    size_t frame_count;
};

/* As many frames as there is room for, LINES_BYTES of them, but at least one. `sent` bytes of the
 * first one's text are on their way already. Valid as long as the outbox keeps the frames. */
void lines_gather(struct lines *self, const outbox_t *outbox, enum lines_form form, size_t sent);
/* How many frames are done when the socket has taken `taken` bytes of the parts. *sent, as it was
 * given to lines_gather, becomes that of the frame behind them. */
size_t lines_taken(const struct lines *self, size_t taken, size_t *sent);
