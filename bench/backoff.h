#pragma once
#include <stdint.h>

/* backoff - how long the centrifuge SDK waits when it is not told otherwise (5.8:
 * minReconnectDelay, maxReconnectDelay, and the same for subscriptions): full jitter on top of the
 * least delay, and the sum is cut too. Pure.
 */
#define BACKOFF_MIN_MS    500
#define BACKOFF_MAX_MS    20000
#define BACKOFF_STEPS_MAX 31

/* Before attempt number `step`, counted from 0 at each success. `random` is any number. */
static inline uint64_t backoff_ms(unsigned step, uint64_t random)
{
    uint64_t most = step < BACKOFF_STEPS_MAX ? (uint64_t)BACKOFF_MIN_MS << step : BACKOFF_MAX_MS;
    if (most > BACKOFF_MAX_MS)
        most = BACKOFF_MAX_MS;
    uint64_t delay = BACKOFF_MIN_MS + random % (most + 1);
    return delay < BACKOFF_MAX_MS ? delay : BACKOFF_MAX_MS;
}
