#pragma once
#include <stdint.h>

/* duty - when publications may gather for a moment before they are taken.
 *
 * A client that is sent ten publications in one system call costs little more than one that is sent
 * a single one, and so does a wake-up. So as soon as publications take more than a share of
 * 1/DUTY_SHARE of the time, they are taken once in a window of some milliseconds; below that each
 * at once. Work that fills the window is never interrupted: there is no rest under full load. Pure.
 * Times are of one monotonic clock.
 */
#define DUTY_SHARE 32

struct duty {
    uint64_t length_ns; /* of a window; 0: there is never a rest */
    uint64_t window_ns; /* when the window began */
    uint64_t worked_ns; /* in it */
};

/* Work was done between the two. For how long to rest now, 0: not at all. */
uint64_t duty_rest(struct duty *self, uint64_t began_ns, uint64_t ended_ns);
