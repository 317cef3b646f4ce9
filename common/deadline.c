#include "common/deadline.h"

#include <stdlib.h>
#include <string.h>

/* Slot n holds the timers of the ticks n, n + SLOTS, n + 2 * SLOTS ...; a timer beyond the horizon
 * is met and left alone once a round. Clearing a timer works through its links alone, so a bit
 * of `used` may say too much, never too little. */
#define SLOTS     512
#define WORD_BITS 64

struct deadlines {
    int64_t tick;        /* the first one that is not yet over */
    struct deadline due; /* head of the list of timers that are over and not yet reported */
    struct deadline slots[SLOTS];
    uint64_t used[SLOTS / WORD_BITS];
};

static void list_init(struct deadline *head)
{
    head->next = head->previous = head;
}

static bool list_is_empty(const struct deadline *head)
{
    return head->next == head;
}

static void list_append(struct deadline *head, struct deadline *timer)
{
    timer->next = head;
    timer->previous = head->previous;
    head->previous->next = timer;
    head->previous = timer;
}

deadlines_t *deadlines_new(int64_t now_ms)
{
    deadlines_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->tick = now_ms / DEADLINE_SLOT_MS + 1;
    list_init(&self->due);
    for (size_t i = 0; i < SLOTS; i++)
        list_init(&self->slots[i]);
    return self;
}

static void list_forget(struct deadline *head)
{
    while (!list_is_empty(head))
        deadline_clear(head->next);
}

void deadlines_destroy(deadlines_t **self_p)
{
    deadlines_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    list_forget(&self->due);
    for (size_t i = 0; i < SLOTS; i++)
        list_forget(&self->slots[i]);
    free(self);
}

/* The tick that begins at this time or is the first one after it: never early. */
static int64_t tick_of(int64_t at_ms)
{
    if (at_ms < 0)
        return 0;
    return at_ms / DEADLINE_SLOT_MS + (at_ms % DEADLINE_SLOT_MS != 0);
}

void deadline_set(deadlines_t *self, struct deadline *timer, int64_t at_ms)
{
    deadline_clear(timer);
    timer->at_ms = at_ms;
    int64_t tick = tick_of(at_ms);
    if (tick < self->tick) {
        list_append(&self->due, timer);
        return;
    }
    size_t slot = (size_t)tick % SLOTS;
    list_append(&self->slots[slot], timer);
    self->used[slot / WORD_BITS] |= UINT64_C(1) << slot % WORD_BITS;
}

void deadline_clear(struct deadline *timer)
{
    if (!timer->next)
        return;
    timer->previous->next = timer->next;
    timer->next->previous = timer->previous;
    timer->next = timer->previous = NULL;
}

bool deadline_is_set(const struct deadline *timer)
{
    return timer->next != NULL;
}

static void expire_slot(deadlines_t *self, size_t slot, int64_t last_tick)
{
    struct deadline *head = &self->slots[slot];
    for (struct deadline *timer = head->next, *next; timer != head; timer = next) {
        next = timer->next;
        if (tick_of(timer->at_ms) > last_tick)
            continue;
        deadline_clear(timer);
        list_append(&self->due, timer);
    }
    if (list_is_empty(head))
        self->used[slot / WORD_BITS] &= ~(UINT64_C(1) << slot % WORD_BITS);
}

/* The first slot in use among those of the ticks [from, to), as a tick; `to` when there is none. */
static int64_t next_used(const deadlines_t *self, int64_t from, int64_t to)
{
    while (from < to) {
        size_t slot = (size_t)from % SLOTS;
        uint64_t word = self->used[slot / WORD_BITS] >> slot % WORD_BITS;
        if (word) {
            from += __builtin_ctzll(word);
            break;
        }
        from += (int64_t)(WORD_BITS - slot % WORD_BITS);
    }
    return from < to ? from : to;
}

static void expire(deadlines_t *self, int64_t last_tick)
{
    int64_t end = last_tick + 1;
    int64_t from = end - self->tick > SLOTS ? end - SLOTS : self->tick; /* one round is enough */
    for (int64_t tick = next_used(self, from, end); tick < end;
         tick = next_used(self, tick + 1, end))
        expire_slot(self, (size_t)tick % SLOTS, last_tick);
    if (end > self->tick)
        self->tick = end;
}

struct deadline *deadlines_next(deadlines_t *self, int64_t now_ms)
{
    if (list_is_empty(&self->due))
        expire(self, now_ms / DEADLINE_SLOT_MS);
    if (list_is_empty(&self->due))
        return NULL;
    struct deadline *timer = self->due.next;
    deadline_clear(timer);
    return timer;
}

int64_t deadlines_wait(const deadlines_t *self, int64_t now_ms)
{
    if (!list_is_empty(&self->due))
        return 0;
    int64_t end = self->tick + SLOTS;
    int64_t tick = next_used(self, self->tick, end);
    while (tick < end && list_is_empty(&self->slots[(size_t)tick % SLOTS]))
        tick = next_used(self, tick + 1, end);
    if (tick == end)
        return -1;
    int64_t at_ms = tick * DEADLINE_SLOT_MS;
    return at_ms > now_ms ? at_ms - now_ms : 0;
}
