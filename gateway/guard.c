#include <assert.h>
#include <stdlib.h>

#include "gateway/hub_priv.h"
#include "proto/status.h"

#define KEPT_ROOM 4 /* messages; a guard keeps it for the next ones */

/* guard - a subscription whose permission is over, or is asked for again.
 *
 * Most subscriptions never have one: their permission holds as long as they live, or until their
 * next message comes they are not looked at. What is held are references to frames that others
 * have too, in the order of their offsets and without a hole: the first one follows what the client
 * was told last. It ends with the subscription, whatever ends that: nothing that is held outlives a
 * refusal, an unsubscribe or a lost stream.
 *
 * Bounded by held_messages for each subscription, and for all of a connection by the half of its
 * outgoing queue, so that what is let go fits into it. */

struct guard {
    subscription_t *subscription;
    payload_t **held;
    uint32_t count, room;
    uint32_t covered; /* of those held: the first ones, which the question is about */
    bool is_wanted;   /* a permission: until the timer is due */
    struct deadline timer;
    question_token question;    /* 0: the broker cannot be asked now */
    TAILQ_ENTRY(guard) unasked; /* in hub->unasked while it is wanted and not asked for */
    struct watches watches;     /* revocations that wait for the answer */
};

/* NULL when memory is exhausted. */
static guard_t *guard_of(subscription_t *subscription)
{
    if (subscription->guard)
        return subscription->guard;
    guard_t *guard = calloc(1, sizeof *guard);
    if (!guard)
        return NULL;
    guard->subscription = subscription;
    LIST_INIT(&guard->watches);
    return subscription->guard = guard;
}

/* --- asking --- */

static void ask(hub_t *self, guard_t *guard)
{
    subscription_t *subscription = guard->subscription;
    guard->covered = guard->count;
    if (self->broker_is_up)
        guard->question = question_open(self->questions, QUESTION_PERMIT, subscription);
    if (!guard->question) {
        TAILQ_INSERT_TAIL(&self->unasked, guard, unasked);
        return;
    }
    self->metrics.permits_asked_total++;
    hub_ask_as(
        self, subscription->session, guard->timer.at_ms,
        &(struct bus_question){.kind = BUS_PERMIT,
                               .flags = BUS_QUESTION_RESUMES,
                               .token = guard->question,
                               .address = interest_address(subscription_interest(subscription))});
}

static void unask(hub_t *self, guard_t *guard)
{
    if (guard->question)
        question_close(self->questions, &guard->question);
    else if (guard->is_wanted)
        TAILQ_REMOVE(&self->unasked, guard, unasked);
}

static void want(hub_t *self, guard_t *guard)
{
    if (guard->is_wanted)
        return;
    guard->is_wanted = true;
    deadline_set(self->guard_timers, &guard->timer, self->now_ms + self->settings.reply_ms);
    ask(self, guard);
}

static void stop_wanting(hub_t *self, guard_t *guard)
{
    unask(self, guard);
    guard->is_wanted = false;
    deadline_clear(&guard->timer);
}

void guard_link_lost(hub_t *self, subscription_t *subscription)
{
    guard_t *guard = subscription->guard;
    question_close(self->questions, &guard->question);
    TAILQ_INSERT_TAIL(&self->unasked, guard, unasked);
}

void guards_ask(hub_t *self)
{
    TAILQ_HEAD(, guard) waiting = TAILQ_HEAD_INITIALIZER(waiting);
    guard_t *guard;
    TAILQ_CONCAT(&waiting, &self->unasked, unasked);
    while ((guard = TAILQ_FIRST(&waiting))) {
        TAILQ_REMOVE(&waiting, guard, unasked);
        ask(self, guard);
    }
}

/* --- holding --- */

static bool make_room(guard_t *guard, uint32_t max)
{
    if (guard->count < guard->room)
        return true;
    uint32_t room = guard->room ? guard->room * 2 : KEPT_ROOM;
    if (room > max)
        room = max;
    payload_t **held = realloc(guard->held, room * sizeof(*held));
    if (!held)
        return false;
    guard->held = held;
    guard->room = room;
    return true;
}

static bool keep(hub_t *self, guard_t *guard, payload_t *frame)
{
    session_t *session = guard->subscription->session;
    if (guard->count >= self->settings.held_messages ||
        session->held_bytes + frame->size > self->settings.queue_bytes / 2) {
        self->metrics.permit_overflow_total++;
        return false;
    }
    if (!make_room(guard, self->settings.held_messages))
        return false;
    guard->held[guard->count++] = payload_hold(frame);
    session->held_bytes += frame->size;
    self->metrics.held_for_permit++;
    return true;
}

bool guard_hold(hub_t *self, subscription_t *subscription, payload_t *frame)
{
    session_t *session = subscription->session;
    if (session->state == SESSION_CLOSING)
        return true;
    if (!frame) { /* it must not miss one silently: it comes back and recovers */
        session_close(self, session, CLIENT_CLOSE_SERVER_ERROR, true);
        return true;
    }
    guard_t *guard = guard_of(subscription);
    if (!guard || !keep(self, guard, frame)) {
        subscription_lose(self, subscription);
        return false;
    }
    want(self, guard);
    return true;
}

void guard_deliver(hub_t *self, subscription_t *subscription, payload_t *frame)
{
    if (self->now_ms >= subscription->until_ms) {
        guard_hold(self, subscription, frame);
        return;
    }
    session_send(self, subscription->session, frame);
    self->metrics.deliveries_total++;
}

/* With `check = message` a guard stays: one slow answer must not make it large for good. */
static void forget_room(guard_t *guard)
{
    if (guard->count > 0 || guard->room <= KEPT_ROOM)
        return;
    free(guard->held);
    guard->held = NULL;
    guard->room = 0;
}

/* The first of those held go on to the client, or nowhere. */
static void let_go(hub_t *self, guard_t *guard, uint32_t count, bool to_client)
{
    session_t *session = guard->subscription->session;
    for (uint32_t i = 0; i < count; i++) {
        payload_t *frame = guard->held[i];
        session->held_bytes -= frame->size;
        if (to_client) {
            session_send(self, session, frame);
            self->metrics.deliveries_total++;
        }
        payload_release(&frame);
    }
    self->metrics.held_for_permit -= count;
    guard->count -= count;
    if (count > 0 && guard->count > 0)
        memmove(guard->held, guard->held + count, guard->count * sizeof(*guard->held));
    forget_room(guard);
}

static void destroy(hub_t *self, subscription_t *subscription)
{
    guard_t *guard = subscription->guard;
    subscription->guard = NULL;
    stop_wanting(self, guard);
    let_go(self, guard, guard->count, false);
    free(guard->held);
    free(guard);
}

void guard_end(hub_t *self, subscription_t *subscription)
{
    subscription->until_ms = 0;
    if (!subscription->guard)
        return;
    revocations_decided(self, &subscription->guard->watches, true);
    destroy(self, subscription);
}

/* --- what the broker says --- */

static int64_t until(const hub_t *self, uint32_t grant_ms)
{
    if (grant_ms == BUS_GRANT_FOREVER)
        return INT64_MAX;
    return grant_ms == BUS_GRANT_ONCE ? 0 : self->now_ms + grant_ms;
}

/* What came after the question needs another one, unless the permission lasts. */
static void permit(hub_t *self, subscription_t *subscription, uint32_t grant_ms, uint32_t covered)
{
    guard_t *guard = subscription->guard;
    subscription->until_ms = until(self, grant_ms);
    if (!guard)
        return;
    bool lasts = self->now_ms < subscription->until_ms;
    stop_wanting(self, guard);
    revocations_decided(self, &guard->watches, false);
    let_go(self, guard, lasts ? guard->count : covered, true);
    if (lasts)
        destroy(self, subscription);
    else if (guard->count > 0)
        want(self, guard);
}

void guard_grant(hub_t *self, subscription_t *subscription, uint32_t grant_ms)
{
    permit(self, subscription, grant_ms, 0);
}

void guard_renew(hub_t *self, subscription_t *subscription, uint32_t grant_ms)
{
    if (grant_ms != BUS_GRANT_ONCE) /* that one is used up by what it came with */
        permit(self, subscription, grant_ms, 0);
}

bool guard_ask(hub_t *self, subscription_t *subscription)
{
    guard_t *guard = guard_of(subscription);
    if (guard)
        want(self, guard);
    return guard != NULL;
}

/* The broker or the handler cannot say: nothing may be delivered, and what is missed then is told.
 */
static void lose(hub_t *self, subscription_t *subscription)
{
    self->metrics.permits_unavailable_total++;
    subscription_lose(self, subscription);
}

void guard_answered(hub_t *self, subscription_t *subscription, const struct bus_reply *reply)
{
    assert(subscription->guard);
    switch (status_from_code(reply->status)) {
    case STATUS_OK:
        permit(self, subscription, reply->grant_ms, subscription->guard->covered);
        break;
    case STATUS_BAD_INPUT:
    case STATUS_FORBIDDEN:
    case STATUS_NOT_FOUND:
        self->metrics.permits_refused_total++;
        subscription_expel(self, subscription, CLIENT_UNSUBSCRIBE_REFUSED);
        break;
    case STATUS_UNAVAILABLE:
        if (!(reply->flags & BUS_REPLY_TEMPORARY)) {
            self->metrics.permits_unavailable_total++;
            subscription_expel(self, subscription, CLIENT_UNSUBSCRIBE_UNAVAILABLE);
            break;
        }
        lose(self, subscription);
        break;
    default:
        lose(self, subscription);
    }
}

void guard_recheck(hub_t *self, subscription_t *subscription, revocation_t *revocation)
{
    guard_t *guard = guard_of(subscription);
    subscription->until_ms = 0;
    if (!guard) {
        lose(self, subscription);
        return;
    }
    stop_wanting(self, guard); /* what was asked before does not count any more */
    if (revocation)
        revocation_watch(self, revocation, &guard->watches);
    want(self, guard);
}

/* --- time --- */

void guards_tick(hub_t *self)
{
    struct deadline *due;
    while ((due = deadlines_next(self->guard_timers, self->now_ms)))
        lose(self, OWNER(guard_t, timer, due)->subscription);
}
