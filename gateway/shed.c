#include "gateway/shed.h"

#include <stdlib.h>
#include <string.h>

#include "gateway/frame.h"

#define FIRST_ROOM 64 /* a power of two */

enum fate { STAYS, MAY_GO, GOES };

/* The publications of one subscription. */
struct lane {
    uint64_t stream; /* 0: this place is free */
    uint32_t missed; /* not told yet */
    bool has_newer;  /* than what is looked at */
};

struct shed {
    payload_t **items;
    uint8_t *fates;
    size_t room, count;
    struct lane *lanes; /* a hash table, at most half full */
    size_t lane_room, lane_count;
};

void shed_destroy(shed_t **self_p)
{
    shed_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    free(self->items);
    free(self->fates);
    free(self->lanes);
    free(self);
}

static bool make_room(shed_t *self, size_t room)
{
    payload_t **items = realloc(self->items, room * sizeof(*items));
    if (items)
        self->items = items;
    uint8_t *fates = realloc(self->fates, room);
    if (fates)
        self->fates = fates;
    if (!items || !fates)
        return false;
    self->room = room;
    return true;
}

shed_t *shed_new(void)
{
    shed_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->lane_room = FIRST_ROOM;
    self->lanes = calloc(FIRST_ROOM, sizeof *self->lanes);
    if (!self->lanes || !make_room(self, FIRST_ROOM))
        shed_destroy(&self);
    return self;
}

/* --- lanes --- */

/* The lane of a stream, or the free place for it. */
static struct lane *find_lane(const shed_t *self, uint64_t stream)
{
    size_t at = (size_t)(stream * 0x9e3779b97f4a7c15u >> 32);
    for (;; at++) {
        struct lane *lane = &self->lanes[at & (self->lane_room - 1)];
        if (lane->stream == stream || lane->stream == 0)
            return lane;
    }
}

static bool grow_lanes(shed_t *self)
{
    struct lane *before = self->lanes;
    size_t room = self->lane_room;
    struct lane *lanes = calloc(room * 2, sizeof *lanes);
    if (!lanes)
        return false;
    self->lanes = lanes;
    self->lane_room = room * 2;
    for (size_t i = 0; i < room; i++)
        if (before[i].stream != 0)
            *find_lane(self, before[i].stream) = before[i];
    free(before);
    return true;
}

/* NULL when memory is exhausted. */
static struct lane *lane_of(shed_t *self, uint64_t stream)
{
    struct lane *lane = find_lane(self, stream);
    if (lane->stream != 0)
        return lane;
    if ((self->lane_count + 1) * 2 > self->lane_room) {
        if (!grow_lanes(self))
            return NULL;
        lane = find_lane(self, stream);
    }
    self->lane_count++;
    lane->stream = stream;
    return lane;
}

/* --- what goes --- */

static bool list(shed_t *self, const outbox_t *outbox)
{
    while ((self->count = outbox_peek(outbox, self->items, self->room, SIZE_MAX)) == self->room)
        if (!make_room(self, self->room * 2))
            return false;
    return true;
}

static bool is_exceeded(const shed_t *self, const outbox_t *outbox,
                        const struct shed_bounds *bounds)
{
    if (outbox->bytes > bounds->bytes)
        return true;
    for (size_t i = 0; i < self->count; i++) {
        int64_t since_ms = frame_about(self->items[i])->since_ms;
        if (since_ms != 0)
            return since_ms <= bounds->before_ms;
    }
    return false;
}

/* Not the reply that its subscription begins with. */
static bool is_publication(const struct frame_about *about)
{
    return about->stream != 0 && about->at != 0;
}

/* From the newest to the oldest. The reply that a subscription begins with parts its publications
 * from those of the one before it: what that one missed is none of its business. */
static bool look(shed_t *self)
{
    memset(self->lanes, 0, self->lane_room * sizeof *self->lanes);
    memset(self->fates, STAYS, self->count);
    self->lane_count = 0;
    for (size_t i = self->count; i-- > 1;) {
        const struct frame_about *about = frame_about(self->items[i]);
        if (about->stream == 0)
            continue;
        struct lane *lane = lane_of(self, about->stream);
        if (!lane)
            return false;
        if (lane->has_newer && about->policy != SLOW_READER_DISCONNECT)
            self->fates[i] = about->policy == SLOW_READER_LATEST ? GOES : MAY_GO;
        lane->has_newer = is_publication(about);
    }
    return true;
}

/* How many go. */
static size_t choose(shed_t *self, size_t bytes, const struct shed_bounds *bounds,
                     struct shed_outcome *out)
{
    for (size_t i = 1; i < self->count; i++) {
        if (self->fates[i] != GOES)
            continue;
        bytes -= self->items[i]->size;
        out->latest++;
    }
    for (size_t i = 1; i < self->count; i++) {
        const payload_t *frame = self->items[i];
        if (self->fates[i] != MAY_GO)
            continue;
        if (bytes <= bounds->bytes && frame_about(frame)->since_ms > bounds->before_ms)
            continue;
        self->fates[i] = GOES;
        bytes -= frame->size;
        out->oldest++;
    }
    return (size_t)(out->latest + out->oldest);
}

/* --- letting go --- */

/* What is kept of a frame: itself, or a copy that tells what is missing in front of it. */
static payload_t *keep(shed_t *self, payload_t *frame)
{
    const struct frame_about *about = frame_about(frame);
    if (!is_publication(about))
        return payload_hold(frame);
    struct lane *lane = find_lane(self, about->stream);
    uint32_t missed = lane->missed;
    lane->missed = 0;
    return missed == 0 ? payload_hold(frame) : frame_telling(frame, about->missed + missed);
}

/* self->items becomes what is kept, with a hold on each. */
static bool keep_all(shed_t *self)
{
    size_t kept = 0;
    bool is_done = true;
    for (size_t i = 0; is_done && i < self->count; i++) {
        payload_t *frame = self->items[i];
        if (i > 0 && self->fates[i] == GOES) {
            const struct frame_about *about = frame_about(frame);
            find_lane(self, about->stream)->missed += 1 + about->missed;
            continue;
        }
        payload_t *held = keep(self, frame);
        is_done = held != NULL;
        if (held)
            self->items[kept++] = held;
    }
    self->count = kept;
    return is_done;
}

static bool replace(shed_t *self, outbox_t *outbox, outbox_pool_t *pool)
{
    bool is_done = keep_all(self);
    if (is_done)
        outbox_clear(outbox, pool);
    for (size_t i = 0; i < self->count; i++) {
        is_done = is_done && outbox_put(outbox, pool, self->items[i], SIZE_MAX);
        payload_release(&self->items[i]);
    }
    return is_done;
}

/* Of what nobody may let go. */
static int64_t kept_since_ms(const shed_t *self)
{
    int64_t oldest_ms = 0;
    for (size_t i = 0; i < self->count; i++) {
        const struct frame_about *about = frame_about(self->items[i]);
        if (about->since_ms != 0 && about->policy == SLOW_READER_DISCONNECT &&
            (oldest_ms == 0 || about->since_ms < oldest_ms))
            oldest_ms = about->since_ms;
    }
    return oldest_ms;
}

bool shed_outbox(shed_t *self, outbox_t *outbox, outbox_pool_t *pool,
                 const struct shed_bounds *bounds, struct shed_outcome *out)
{
    *out = (struct shed_outcome){0};
    if (!list(self, outbox))
        return false;
    out->kept_since_ms = kept_since_ms(self);
    if (!is_exceeded(self, outbox, bounds))
        return true;
    if (!look(self))
        return false;
    return choose(self, outbox->bytes, bounds, out) == 0 || replace(self, outbox, pool);
}
