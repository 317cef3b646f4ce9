#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* give_back - when to give memory back to the system.
 *
 * What streams free lies scattered in the heap; without a word the process would keep it for ever.
 * It is given back when so much less is in use than before, and every few minutes in any case, for
 * moments in which much waits leave holes, too. Looking for holes takes 60 ms when half of 300 MB
 * are some, and nothing when there are none. Pure. A zeroed struct has given nothing back.
 */
#define GIVE_BACK_BYTES     ((size_t)32 << 20)
#define GIVE_BACK_LOOK_MS   5000
#define GIVE_BACK_ANYWAY_MS 300000

struct give_back {
    size_t most_bytes; /* in use since memory was given back */
    int64_t look_ms;   /* not before */
    int64_t last_ms;   /* memory was given back */
};

/* True: it is given back now. `bytes` are in use. */
bool give_back_is_due(struct give_back *self, size_t bytes, int64_t now_ms);
