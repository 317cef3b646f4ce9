#pragma once
#include <stddef.h>

/* descriptors - how many files the process may have open.
 *
 * libwebsockets looks through all descriptors that the process may have whenever it closes one: as
 * many as are needed, not as many as are allowed.
 */

/* Sets the limit; returns how many there are. */
size_t descriptors_limit(size_t needed);
