#include "gateway/hub_priv.h"
#include "proto/limits.h"

/* lag - sessions whose client reads too slowly: something waits in the outbox although the socket
 * was offered it.
 *
 * A session lags from then on until its outbox is empty. What waits is bounded twice: in bytes when
 * something is put (lag_put), in time by a timer that only those that lag have. Beyond either bound
 * what may be left out is, and if that is not enough the connection is closed.
 *
 * Going through an outbox costs as much as it holds. So what is let go makes room for a quarter of
 * it, or the connection is closed: each byte that is put pays for few that are looked at. */

#define OLDEST_AGAIN_MS 250 /* gauges need no better */

/* --- coming and going --- */

/* Since when its client has kept waiting what came at since_ms: until the session lagged it waited
 * for something else, a permission for instance. */
static int64_t waits_since_ms(const session_t *session, int64_t since_ms)
{
    return since_ms > session->lags_since_ms ? since_ms : session->lags_since_ms;
}

static int64_t front_since_ms(const hub_t *self, const session_t *session)
{
    payload_t *front;
    outbox_peek(&session->outbox, &front, 1, SIZE_MAX);
    int64_t since_ms = frame_about(front)->since_ms;
    return since_ms != 0 ? waits_since_ms(session, since_ms) : self->now_ms;
}

/* Not before what waits in front has waited too long. */
static void set_timer(hub_t *self, session_t *session)
{
    deadline_set(self->lag_timers, &session->lag_timer,
                 front_since_ms(self, session) + self->settings.queue_ms);
}

void hub_session_full(hub_t *self, session_t *session, int64_t now_ms)
{
    self->now_ms = now_ms;
    if (session->is_lagging || session->state == SESSION_CLOSING ||
        outbox_is_empty(&session->outbox))
        return;
    session->is_lagging = true;
    session->lags_since_ms = now_ms;
    TAILQ_INSERT_TAIL(&self->lagging, session, lag_link);
    self->metrics.lagging++;
    set_timer(self, session);
}

void lag_end(hub_t *self, session_t *session)
{
    if (!session->is_lagging)
        return;
    session->is_lagging = false;
    TAILQ_REMOVE(&self->lagging, session, lag_link);
    self->metrics.lagging--;
    deadline_clear(&session->lag_timer);
}

/* --- letting go --- */

/* What came until then has waited too long; 0: nothing has. */
static int64_t too_long_ms(const hub_t *self, const session_t *session)
{
    int64_t before_ms = self->now_ms - self->settings.queue_ms;
    return session->lags_since_ms <= before_ms ? before_ms : 0;
}

/* False: it is closed. */
static bool shed(hub_t *self, session_t *session, size_t bytes, struct shed_outcome *out)
{
    struct shed_bounds bounds = {bytes, too_long_ms(self, session)};
    if (!shed_outbox(self->shed, &session->outbox, self->outboxes, &bounds, out)) {
        session_close(self, session, CLIENT_CLOSE_SERVER_ERROR, true);
        return false;
    }
    self->metrics.dropped_latest_total += out->latest;
    self->metrics.dropped_oldest_total += out->oldest;
    return true;
}

/* What is put between two writes says nothing about the client yet, but has its bound, too. A
 * recovery was asked for when there was room: it comes on top. */
static size_t max_bytes(const hub_t *self, const session_t *session)
{
    size_t waiting = self->settings.queue_bytes * (session->is_lagging ? 1 : 2);
    return waiting + (session->has_recovery ? LIMIT_RECOVERY_BYTES : 0);
}

bool lag_put(hub_t *self, session_t *session, payload_t *frame)
{
    const size_t max = max_bytes(self, session);
    if (outbox_put(&session->outbox, self->outboxes, frame, max))
        return true;
    size_t room = frame->size > max / 4 ? frame->size : max / 4;
    size_t bound = room < max ? max - room : 0;
    struct shed_outcome outcome;
    if (!shed(self, session, bound, &outcome))
        return false;
    if (session->outbox.bytes <= bound && outbox_put(&session->outbox, self->outboxes, frame, max))
        return true;
    session_close(self, session, CLIENT_CLOSE_SLOW, true);
    return false;
}

/* --- time --- */

static void look(hub_t *self, session_t *session)
{
    const int64_t limit_ms = self->settings.queue_ms;
    struct shed_outcome outcome;
    if (!shed(self, session, SIZE_MAX, &outcome))
        return;
    int64_t due_ms = waits_since_ms(session, outcome.kept_since_ms) + limit_ms;
    if (outcome.kept_since_ms != 0 && due_ms <= self->now_ms) {
        self->metrics.closed_slow_late_total++;
        session_close(self, session, CLIENT_CLOSE_SLOW, true);
        return;
    }
    int64_t again_ms = self->now_ms + limit_ms / 4;
    if (outcome.kept_since_ms != 0 && due_ms < again_ms)
        again_ms = due_ms;
    deadline_set(self->lag_timers, &session->lag_timer, again_ms);
}

void lags_tick(hub_t *self)
{
    struct deadline *due;
    while ((due = deadlines_next(self->lag_timers, self->now_ms)))
        look(self, OWNER(session_t, lag_timer, due));
}

void lags_restart(hub_t *self)
{
    session_t *session;
    TAILQ_FOREACH (session, &self->lagging, lag_link)
        set_timer(self, session);
}

uint64_t lags_oldest_ms(hub_t *self, int64_t now_ms)
{
    if (TAILQ_EMPTY(&self->lagging)) {
        self->oldest_seen_ms = 0;
        return 0;
    }
    if (self->oldest_seen_ms != 0 && now_ms - self->oldest_seen_ms < OLDEST_AGAIN_MS)
        return self->oldest_ms;
    int64_t oldest_ms = now_ms;
    const session_t *session;
    TAILQ_FOREACH (session, &self->lagging, lag_link) {
        int64_t since_ms = front_since_ms(self, session);
        if (since_ms < oldest_ms)
            oldest_ms = since_ms;
    }
    self->oldest_seen_ms = now_ms;
    return self->oldest_ms = (uint64_t)(now_ms - oldest_ms);
}
