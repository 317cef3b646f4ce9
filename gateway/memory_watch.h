#pragma once
#include <stdbool.h>
#include <stdint.h>

/* memory_watch - whether there is memory for more clients.
 *
 * Those who are there may need more at any time, and a process that the kernel kills for want of
 * memory loses them all: so newcomers are turned away before. Pure.
 */
struct memory_watch {
    uint64_t limit_bytes; /* 0: none */
    uint64_t used_bytes;  /* what counts against it */
    bool is_short;        /* newcomers are turned away */
};

/* Of what the kernel allows, so much may be used: the rest is for what those who are there need. */
uint64_t memory_watch_share(uint64_t allowed_bytes);

/* True: is_short has changed. It ends a little below the limit, not at it. */
bool memory_watch_look(struct memory_watch *self, uint64_t limit_bytes, uint64_t used_bytes);
