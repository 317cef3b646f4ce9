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
 */
struct reassembly {
    struct buffer text;
    uint32_t fragments; /* frames of this message that ended before the last */
};

enum reassembly_result {
    REASSEMBLY_MORE,    /* the message goes on */
    REASSEMBLY_WHOLE,   /* *whole is it, valid until reassembly_reset */
    REASSEMBLY_TOO_BIG, /* more than LIMIT_CLIENT_FRAME_BYTES or LIMIT_CLIENT_FRAGMENTS */
    REASSEMBLY_NO_MEMORY
};

/* `remaining`: bytes of this frame that are yet to come, as its header announced (up to 2^63);
 * `is_last`: the message ends with this piece. After anything but MORE: reassembly_reset. */
enum reassembly_result reassembly_add(struct reassembly *self, struct span piece, size_t remaining,
                                      bool is_last, struct span *whole);
/* Ready for the next message; frees. */
void reassembly_reset(struct reassembly *self);
