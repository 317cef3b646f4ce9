#include "broker/stop_guard.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"

/* The signal; 0 when the time is over. */
static int wait_for_signal(int64_t limit_ms)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    int64_t left_ms = limit_ms, end_ms = clock_monotonic_ms() + limit_ms;
    for (; left_ms > 0; left_ms = end_ms - clock_monotonic_ms()) {
        struct timespec left = {left_ms / 1000, (left_ms % 1000) * 1000000};
        int number = sigtimedwait(&set, NULL, &left);
        if (number > 0)
            return number;
    }
    return 0;
}

static void *guard(void *arg)
{
    int64_t limit_ms = (int64_t)(intptr_t)arg;
    int number = wait_for_signal(limit_ms);
    if (number > 0)
        log_last(LOG_LEVEL_WARN, "stopping_at_once",
                 LOG_FIELDS(LOG_TEXT("signal", number == SIGTERM ? "SIGTERM" : "SIGINT")));
    else
        log_last(LOG_LEVEL_ERROR, "stopping_late", LOG_FIELDS(LOG_INT("ms", limit_ms)));
    _exit(number > 0 ? 128 + number : EXIT_FAILURE);
}

void stop_guard_start(int64_t limit_ms)
{
    pthread_t thread;
    int error = pthread_create(&thread, NULL, guard, (void *)(intptr_t)limit_ms);
    if (error == 0)
        pthread_detach(thread);
    else
        log_error("stop_unguarded", LOG_TEXT("error", strerror(error)));
}
