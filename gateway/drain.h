#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* drain - how fast a gateway that ends lets its clients go.
 *
 * The first is closed at once, the others at equal distances: the SDK comes back within a second of
 * its close, so the pace must come from here. Pure.
 */
struct drain {
    int64_t began_ms, length_ms;
    size_t sessions; /* that there were when it began */
};

/* How many sessions may still be open at now_ms. */
size_t drain_keep(const struct drain *self, int64_t now_ms);
/* May the gateway end, with so many sessions and so many sockets left? */
bool drain_is_over(const struct drain *self, size_t sessions, size_t sockets, int64_t now_ms);
