#pragma once
#include <stdint.h>

/* stop_guard - the end comes, whatever hangs.
 *
 * A thread of its own, from the first signal on: it ends the process with status 1 after limit_ms,
 * and with 128 and its number at once when SIGTERM or SIGINT comes again. Both signals must be
 * blocked in all threads, and nobody else may take them any more. Says so in the log.
 */
void stop_guard_start(int64_t limit_ms);
