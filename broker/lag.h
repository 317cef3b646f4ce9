#pragma once
#include <stdbool.h>
#include <stdint.h>

/* lag - how long a message was under way, by two clocks that are not set alike.
 *
 * Its sender says when it was sent by a clock of its own. What lies between the two clocks is known
 * from the message that took least of late; what a message took longer than that one is its lag.
 * Windows of a minute follow clocks that do not go alike. Pure. A zeroed struct knows nothing.
 */
struct lag {
    bool is_known;
    int64_t since_ms;      /* when this window began */
    int64_t least, before; /* between the clocks: in this window, in the one before */
};

/* Milliseconds, not negative; 0 when nothing is known yet. `at_ms` is the sender's. */
int64_t lag_of(struct lag *self, uint64_t at_ms, int64_t now_ms);
