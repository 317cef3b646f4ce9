#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "proto/buffer.h"
#include "proto/limits.h"
#include "proto/span.h"

/* reassembly - whole messages from the pieces in which a client's frames arrive.
 *
 * Pure. A message that arrives in one piece is not copied; memory is held only while one is
 * incomplete. A zeroed struct is ready.
 *
 * A client may leave a message unfinished as long as it likes, so what all of them hold is bounded,
 * too. The few bytes of a short command or a pong are always taken: large messages of others must
 * not keep them out. What ends a message is taken as well, since nothing of it stays.
 */
#define REASSEMBLY_SMALL_BYTES 4096

struct reassembly_total {
    size_t bytes, max_bytes; /* of unfinished messages of all connections; what the buffers have in
                                reserve does not count, at worst as much again */
};

struct reassembly {
    struct buffer text;
    uint32_t fragments; /* frames of this message that ended before the last */
};

enum reassembly_result {
    REASSEMBLY_MORE,    /* the message goes on */
    REASSEMBLY_WHOLE,   /* *whole is it, valid until reassembly_reset */
    REASSEMBLY_TOO_BIG, /* more than LIMIT_CLIENT_FRAME_BYTES or LIMIT_CLIENT_FRAGMENTS */
    REASSEMBLY_NO_ROOM, /* all connections together hold as much as they may */
    REASSEMBLY_NO_MEMORY
};

/* `remaining`: bytes of this frame that are yet to come, as its header announced (up to 2^63);
 * `is_last`: the message ends with this piece. After anything but MORE: reassembly_reset. */
enum reassembly_result reassembly_add(struct reassembly *self, struct reassembly_total *total,
                                      struct span piece, size_t remaining, bool is_last,
                                      struct span *whole);
/* Ready for the next message; frees. */
void reassembly_reset(struct reassembly *self, struct reassembly_total *total);
