#pragma once
#include <stdbool.h>
#include <stdint.h>

/* link_watch - has ZeroMQ given up a connection for good?
 *
 * ZeroMQ connects again by itself when a connection breaks, and says so at once. But when what it
 * read made no sense (a greeting or a frame with a byte that the network has changed) it forgets
 * the endpoint and says only that the connection is gone. So a loss that no attempt follows means
 * that somebody has to connect anew. Pure. Times are of one monotonic clock.
 */
#define LINK_WATCH_MS 1000

enum link_event {
    LINK_LOST, /* the connection is gone */
    LINK_TRIED /* ZeroMQ is about to connect, or has connected */
};

struct link_watch {
    bool is_lost;
    int64_t lost_ms;
};

void link_watch_take(struct link_watch *self, enum link_event event, int64_t now_ms);
/* In how many ms to connect anew; 0: now; -1: nothing is to be done. Connecting is LINK_TRIED. */
int64_t link_watch_due(const struct link_watch *self, int64_t now_ms);
