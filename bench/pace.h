#pragma once
#include <stdint.h>
#include <sys/prctl.h>
#include <time.h>

/* pace - when the messages of an open loop are due.
 *
 * Message n is due at start + n / rate, whatever happened to those before it: a sender that falls
 * behind catches up, and the time that it was late counts as latency (pace_stamp).
 * All times are nanoseconds of CLOCK_MONOTONIC, comparable between processes.
 */
struct pace {
    uint64_t start;
    double interval; /* ns */
};

static inline uint64_t now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static inline struct pace pace_begin(uint64_t rate)
{
    /* Else the kernel may wake us 50 us late to save power. */
    prctl(PR_SET_TIMERSLACK, 1000);
    return (struct pace){.start = now_ns(), .interval = 1e9 / (double)rate};
}

static inline uint64_t pace_due(const struct pace *self, uint64_t n)
{
    return self->start + (uint64_t)((double)n * self->interval);
}

/* The time that message n carries: now, but the time when it was due if the sender is more than
 * 1 ms late. Else a server that holds its publisher back would hide the delay that it causes. */
static inline uint64_t pace_stamp(const struct pace *self, uint64_t n, uint64_t now)
{
    uint64_t due = pace_due(self, n);
    return now > due + 1000000 ? due : now;
}

static inline void sleep_until_ns(uint64_t at)
{
    struct timespec time = {(time_t)(at / 1000000000u), (long)(at % 1000000000u)};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL);
}

static inline void sleep_us(uint64_t us)
{
    struct timespec time = {(time_t)(us / 1000000u), (long)(us % 1000000u * 1000)};
    clock_nanosleep(CLOCK_MONOTONIC, 0, &time, NULL);
}
