#pragma once
#include <stdint.h>

/* clock - the only module that asks what time it is. Everything else takes `now` as an argument. */

/* Milliseconds of CLOCK_MONOTONIC: timers, ages, deadlines. */
int64_t clock_monotonic_ms(void);
/* Milliseconds since 1970 of the wall clock: for display and for claims of tokens only. */
int64_t clock_wall_ms(void);
