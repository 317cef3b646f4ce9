#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

/* wheel - many timers that are set and cleared all the time, true to WHEEL_TICK_MS. Pure: the
 * caller says what time it is. A timer further away than one turn stays in its slot for another.
 */
#define WHEEL_TICK_MS 4
#define WHEEL_SLOTS   1024

struct timer {
    TAILQ_ENTRY(timer) link;
    uint64_t due_ms; /* 0: not set */
};

TAILQ_HEAD(timer_list, timer);

struct wheel {
    struct timer_list slots[WHEEL_SLOTS];
    uint64_t tick; /* all before it have been looked at */
};

static inline void wheel_begin(struct wheel *self, uint64_t now_ms)
{
    for (unsigned i = 0; i < WHEEL_SLOTS; i++)
        TAILQ_INIT(&self->slots[i]);
    self->tick = now_ms / WHEEL_TICK_MS;
}

static inline void wheel_clear(struct wheel *self, struct timer *timer)
{
    if (timer->due_ms != 0)
        TAILQ_REMOVE(&self->slots[timer->due_ms / WHEEL_TICK_MS % WHEEL_SLOTS], timer, link);
    timer->due_ms = 0;
}

/* What is due already comes up at the next look. */
static inline void wheel_set(struct wheel *self, struct timer *timer, uint64_t due_ms)
{
    wheel_clear(self, timer);
    uint64_t first = self->tick * WHEEL_TICK_MS;
    timer->due_ms = due_ms < first ? first : due_ms;
    TAILQ_INSERT_TAIL(&self->slots[timer->due_ms / WHEEL_TICK_MS % WHEEL_SLOTS], timer, link);
}

/* A timer that is due, not set any more; NULL when there is none left for now. */
static inline struct timer *wheel_next(struct wheel *self, uint64_t now_ms)
{
    for (; self->tick < now_ms / WHEEL_TICK_MS; self->tick++) {
        struct timer *timer;
        TAILQ_FOREACH (timer, &self->slots[self->tick % WHEEL_SLOTS], link) {
            if (timer->due_ms / WHEEL_TICK_MS > self->tick)
                continue;
            wheel_clear(self, timer);
            return timer;
        }
    }
    return NULL;
}
