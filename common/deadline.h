#pragma once
#include <stdbool.h>
#include <stdint.h>

/* deadline - many timers with one clock that the caller owns (a hashed timing wheel).
 *
 * Setting and clearing cost O(1) and no memory: the timer is a member of the thing that it belongs
 * to. All times are milliseconds of one monotonic clock. A deadline is reported at most one slot
 * (DEADLINE_SLOT_MS) late, never early. A zeroed struct deadline is a timer that is not set.
 */
#define DEADLINE_SLOT_MS 64

struct deadline {
    struct deadline *next, *previous; /* the wheel's */
    int64_t at_ms;
};

typedef struct deadlines deadlines_t;

/* NULL only when memory is exhausted. */
deadlines_t *deadlines_new(int64_t now_ms);
/* The timers still set are forgotten, not freed. Sets *self_p to NULL; safe on NULL. */
void deadlines_destroy(deadlines_t **self_p);

/* (Re)sets the timer. A time in the past is reported by the next deadlines_next. */
void deadline_set(deadlines_t *self, struct deadline *timer, int64_t at_ms);
/* Safe on a timer that is not set. */
void deadline_clear(struct deadline *timer);
bool deadline_is_set(const struct deadline *timer);

/* One timer that is due, cleared, or NULL when none is left. Call until NULL. */
struct deadline *deadlines_next(deadlines_t *self, int64_t now_ms);
/* Milliseconds until the wheel wants to be asked again, -1 when no timer is set. */
int64_t deadlines_wait(const deadlines_t *self, int64_t now_ms);
