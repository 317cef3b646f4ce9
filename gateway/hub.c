#include "gateway/hub.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>

#include "gateway/hub_priv.h"
#include "proto/limits.h"

#define LOST_PER_SECOND 2000 /* the SDK subscribes again at once, without any backoff */
#define LOST_AT_ONCE    128
#define LOST_TICK_MS    16
#define CANARY_READY_MS 6000
/* The broker sends one each second. When what was marked unsynced was asked for and there is still
 * silence, the next time comes after twice as long. */
#define CANARY_SILENT_MS     3000
#define CANARY_SILENT_MAX_MS 48000

/* --- coming and going --- */

static struct span interest_key(const void *item)
{
    return interest_address(item);
}

/* A ping may wait as long as its pong may. */
static payload_t *ping_frame(void)
{
    static const char ping[] = "{}";
    uint8_t *text;
    payload_t *frame = frame_new(sizeof ping - 1, &(struct frame_about){0}, &text);
    if (frame)
        memcpy(text, ping, sizeof ping - 1);
    return frame;
}

hub_t *hub_new(const struct hub_settings *settings, int64_t now_ms)
{
    assert(settings->site && settings->held_messages > 0);
    assert(settings->queue_bytes > 0 && settings->queue_ms > 0);
    hub_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->now_ms = now_ms;
    self->settings = *settings;
    self->held.max_bytes = settings->held_bytes;
    self->site = strdup(settings->site);
    self->settings.site = self->site;
    self->visitor.subscriber =
        (struct subscriber){.view = VIEW_LIVE, .site = span_text(self->site)};
    TAILQ_INIT(&self->sessions);
    TAILQ_INIT(&self->dirty);
    TAILQ_INIT(&self->lagging);
    TAILQ_INIT(&self->lost);
    TAILQ_INIT(&self->unasked);
    TAILQ_INIT(&self->revocations);
    TAILQ_INIT(&self->fencing);
    TAILQ_INIT(&self->lingering);
    TAILQ_INIT(&self->repairs);
    TAILQ_INIT(&self->repairs_asked);
    TAILQ_INIT(&self->releasing);
    TAILQ_INIT(&self->audits);
    TAILQ_INIT(&self->doubts);
    STAILQ_INIT(&self->outgoing);
    self->session_timers = deadlines_new(now_ms);
    self->command_timers = deadlines_new(now_ms);
    self->lag_timers = deadlines_new(now_ms);
    self->guard_timers = deadlines_new(now_ms);
    self->linger_timers = deadlines_new(now_ms);
    self->repair_timers = deadlines_new(now_ms);
    self->audit_timers = deadlines_new(now_ms);
    self->outboxes = outbox_pool_new();
    self->shed = shed_new();
    self->reader = client_reader_new();
    self->questions = questions_new();
    self->interests = map_new(interest_key);
    self->ping = ping_frame();
    bool has_emulations = emulations_begin(self);
    if (!has_emulations || !self->site || !self->session_timers || !self->command_timers ||
        !self->guard_timers || !self->linger_timers || !self->repair_timers ||
        !self->audit_timers || !self->outboxes || !self->lag_timers || !self->shed ||
        !self->reader || !self->questions || !self->interests || !self->ping)
        hub_destroy(&self);
    return self;
}

void hub_configure(hub_t *self, const struct hub_settings *settings, int64_t now_ms)
{
    const struct hub_settings before = self->settings;
    self->now_ms = now_ms;
    self->settings = *settings;
    self->settings.site = before.site;
    self->settings.told_name = before.told_name;
    self->settings.incarnation = before.incarnation;
    self->settings.token_refused = before.token_refused;
    self->settings.token_refused_arg = before.token_refused_arg;
    self->held.max_bytes = settings->held_bytes;
    if (self->settings.audit_ms != before.audit_ms)
        audits_restart(self);
    if (self->settings.queue_ms != before.queue_ms)
        lags_restart(self);
}

static void collect(void *item, void *arg)
{
    interest_t ***next = arg;
    *(*next)++ = item;
}

/* The map may not change while it is visited: the interests are listed first. */
static void destroy_interests(hub_t *self)
{
    size_t count = map_count(self->interests);
    interest_t **all = calloc(count ? count : 1, sizeof(interest_t *));
    if (!all)
        return;
    interest_t **next = all;
    map_visit(self->interests, collect, &next);
    for (size_t i = 0; i < count; i++)
        interest_destroy(self, &all[i]);
    free(all);
}

static struct outgoing *next_outgoing(hub_t *self)
{
    struct outgoing *outgoing = STAILQ_FIRST(&self->outgoing);
    if (outgoing)
        STAILQ_REMOVE_HEAD(&self->outgoing, link);
    return outgoing;
}

void hub_destroy(hub_t **self_p)
{
    hub_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    assert(TAILQ_EMPTY(&self->sessions));
    revocations_end(self);
    emulations_end(self);
    if (self->interests)
        destroy_interests(self);
    struct outgoing *outgoing;
    while ((outgoing = next_outgoing(self))) {
        payload_release(&outgoing->bytes);
        free(outgoing);
    }
    payload_release(&self->taken);
    payload_release(&self->ping);
    buffer_free(&self->ask);
    buffer_free(&self->roster);
    buffer_free(&self->text);
    buffer_free(&self->why);
    buffer_free(&self->asker);
    map_destroy(&self->interests);
    questions_destroy(&self->questions);
    client_reader_destroy(&self->reader);
    shed_destroy(&self->shed);
    outbox_pool_destroy(&self->outboxes);
    deadlines_destroy(&self->audit_timers);
    deadlines_destroy(&self->repair_timers);
    deadlines_destroy(&self->linger_timers);
    deadlines_destroy(&self->guard_timers);
    deadlines_destroy(&self->lag_timers);
    deadlines_destroy(&self->command_timers);
    deadlines_destroy(&self->session_timers);
    free(self->site);
    free(self);
}

/* --- to the broker --- */

bool hub_queue(hub_t *self, enum hub_effect_kind kind, struct span bytes)
{
    struct outgoing *outgoing = malloc(sizeof *outgoing);
    payload_t *copy = payload_new(bytes.size);
    if (!outgoing || !copy) {
        free(outgoing);
        payload_release(&copy);
        return false;
    }
    memcpy(copy->data, bytes.data, bytes.size);
    outgoing->kind = kind;
    outgoing->bytes = copy;
    STAILQ_INSERT_TAIL(&self->outgoing, outgoing, link);
    return true;
}

static void flush_questions(hub_t *self)
{
    if (self->ask_count == 0)
        return;
    struct buffer frame = {0};
    bus_put_ask(&frame,
                &(struct bus_ask){.count = self->ask_count, .items = buffer_span(&self->ask)});
    if (!frame.failed && !self->ask.failed)
        hub_queue(self, HUB_SEND, buffer_span(&frame));
    buffer_free(&frame);
    buffer_reset(&self->ask);
    self->ask_count = 0;
}

void hub_ask(hub_t *self, const struct bus_question *question)
{
    bus_put_question(&self->ask, question);
    if (++self->ask_count == LIMIT_ASK_ITEMS)
        flush_questions(self);
}

void hub_ask_as(hub_t *self, const session_t *session, int64_t deadline_ms,
                const struct bus_question *question)
{
    const struct subscriber *subscriber = session_subscriber(session);
    int64_t left_ms = deadline_ms > self->now_ms ? deadline_ms - self->now_ms : 0;
    buffer_reset(&self->asker);
    bus_put_asker(
        &self->asker,
        &(struct bus_asker){.type = (uint8_t)subscriber->type,
                            .id = subscriber->id,
                            .app = subscriber->app,
                            .within_ms = left_ms > UINT32_MAX ? UINT32_MAX : (uint32_t)left_ms});
    if (self->asker.failed) /* without a name it would be anybody's question */
        return;
    struct bus_question named = *question;
    named.asker = buffer_span(&self->asker);
    hub_ask(self, &named);
}

/* --- from the broker --- */

static void expect_canary(hub_t *self)
{
    self->alive_at_ms = self->now_ms;
    self->silence_ms = CANARY_SILENT_MS;
}

uint64_t hub_broker(const hub_t *self)
{
    return self->broker;
}

uint64_t hub_revoked(const hub_t *self)
{
    return self->revoked;
}

bool hub_broker_up(hub_t *self, uint64_t broker, uint64_t revoked, int64_t now_ms)
{
    self->now_ms = now_ms;
    if (self->broker == 0) /* the first one: there is nothing that could have been revoked */
        self->revoked = revoked;
    if (!hub_check_revoked(self, revoked, now_ms))
        return false;
    if (self->broker_is_up && self->broker == broker)
        return true;
    self->broker_is_up = true;
    self->broker = broker;
    self->metrics.broker_up = 1;
    expect_canary(self);
    interests_unsync(self);
    guards_ask(self);
    relays_send(self);
    return true;
}

void hub_broker_down(hub_t *self, int64_t now_ms)
{
    self->now_ms = now_ms;
    if (!self->broker_is_up)
        return;
    self->broker_is_up = false;
    self->metrics.broker_up = 0;
    self->metrics.broker_down_total++;

    /* What was asked will not be answered. Ranges are asked again by the fence that follows, and
     * permissions as soon as they can be, within their time. */
    size_t at = 0;
    enum question_kind kind;
    void *asker;
    while ((asker = question_next(self->questions, &at, &kind))) {
        if (kind == QUESTION_RANGE)
            interest_repair_again(self, asker);
        else if (kind == QUESTION_POSITION)
            audit_drop(self, asker);
        else if (kind == QUESTION_PERMIT)
            guard_link_lost(self, asker);
        else if (kind == QUESTION_RELAY)
            relay_give_up(self, asker);
        else
            subscription_give_up(self, asker);
    }
}

void hub_publications_lost(hub_t *self, int64_t now_ms)
{
    self->now_ms = now_ms;
    self->metrics.publications_link_lost_total++;
    interests_unsync(self);
}

static void canary(hub_t *self, uint64_t broker, uint64_t number)
{
    bool is_first = self->canary_at_ms == 0;
    bool follows = broker == self->canary_broker && number == self->canary + 1;
    self->canary_broker = broker;
    self->canary = number;
    self->canary_at_ms = self->now_ms;
    self->canaries++;
    expect_canary(self);
    if (is_first || follows) {
        audits_canary(self);
        return;
    }
    self->metrics.canaries_missed_total++;
    interests_unsync(self);
}

/* Nothing says that publications come through: they may be missing on any address. */
static int64_t silence_left_ms(const hub_t *self, int64_t now_ms)
{
    int64_t left = self->alive_at_ms + self->silence_ms - now_ms;
    return left > 0 ? left : 0;
}

static void notice_silence(hub_t *self)
{
    if (!self->broker_is_up || silence_left_ms(self, self->now_ms) > 0)
        return;
    self->alive_at_ms = self->now_ms;
    if (self->silence_ms < CANARY_SILENT_MAX_MS)
        self->silence_ms *= 2;
    self->metrics.canaries_silent_total++;
    interests_unsync(self);
}

static void digest(hub_t *self, struct span marks)
{
    struct bus_mark mark;
    while (marks.size > 0) {
        if (!bus_next_mark(&marks, &mark)) {
            self->metrics.publications_malformed_total++;
            return;
        }
        interest_t *interest = map_get(self->interests, mark.address);
        if (interest)
            interest_mark(self, interest, mark.epoch, mark.offset);
    }
}

static void publication(hub_t *self, struct span message)
{
    struct bus_delivery delivery;
    if (!bus_get_delivery(message, address_size, &delivery)) {
        self->metrics.publications_malformed_total++;
        return;
    }
    self->metrics.publications_total++;
    interest_t *interest = map_get(self->interests, delivery.address);
    if (interest)
        interest_publication(self, interest, &delivery);
}

void hub_publication(hub_t *self, struct span message, int64_t now_ms)
{
    self->now_ms = now_ms;
    notice_silence(self); /* a gateway that hung reads what has waited before it looks at timers */
    uint64_t first, second;
    switch (message.size > 0 ? message.data[0] : 0) {
    case BUS_TOPIC_PUBLICATION:
        publication(self, message);
        return;
    case BUS_TOPIC_DIGEST:
        digest(self, span_of(message.data + 1, message.size - 1));
        return;
    case BUS_TOPIC_CANARY:
        if (bus_get_canary(message, &first, &second)) {
            canary(self, first, second);
            return;
        }
        break;
    case BUS_TOPIC_FENCE:
        if (bus_get_fence(message, &first, &second)) {
            if (first == self->settings.incarnation)
                interests_fence_passed(self, second);
            return;
        }
        break;
    }
    self->metrics.publications_malformed_total++;
}

void hub_answer(hub_t *self, struct span frame, int64_t now_ms)
{
    self->now_ms = now_ms;
    struct bus_answer answer;
    if (!bus_get_answer(frame, &answer)) {
        self->metrics.publications_malformed_total++;
        return;
    }
    struct bus_reply reply = {0};
    while (answer.items.size > 0) {
        struct bus_reply before = reply;
        if (!bus_next_reply(&answer.items, &reply)) {
            self->metrics.publications_malformed_total++;
            break;
        }
        if (reply.flags & BUS_REPLY_SAME) {
            reply.count = before.count;
            reply.publications = before.publications;
        }
        enum question_kind kind;
        void *asker = question_find(self->questions, reply.token, &kind);
        if (asker && kind == QUESTION_RANGE)
            interest_answered(self, asker, &reply);
        else if (asker && kind == QUESTION_POSITION)
            audit_answered(self, asker, &reply);
        else if (asker && kind != QUESTION_RELAY)
            subscription_answered(self, asker, &reply, kind);
    }
    presence_forget_roster(self);
}

/* --- time --- */

static void tell_lost(hub_t *self)
{
    int64_t allowed = (self->now_ms - self->lost_at_ms) * LOST_PER_SECOND / 1000;
    if (allowed > LOST_AT_ONCE)
        allowed = LOST_AT_ONCE;
    subscription_t *subscription;
    while (allowed > 0 && (subscription = TAILQ_FIRST(&self->lost))) {
        subscription_tell_lost(self, subscription);
        self->lost_at_ms = self->now_ms;
        allowed--;
    }
}

static bool fence_is_due(const hub_t *self)
{
    return self->broker_is_up && self->fence > self->fence_passed &&
           self->now_ms - self->fence_at_ms >= self->settings.fence_ms;
}

void hub_set_wall(hub_t *self, int64_t ahead_ms)
{
    self->wall_ahead_ms = ahead_ms;
}

void hub_tick(hub_t *self, int64_t now_ms)
{
    self->now_ms = now_ms;
    struct deadline *due;
    while ((due = deadlines_next(self->session_timers, now_ms)))
        session_timeout(self, OWNER(session_t, timer, due));
    while ((due = deadlines_next(self->command_timers, now_ms)))
        subscription_give_up(self, OWNER(subscription_t, timer, due));
    lags_tick(self);
    guards_tick(self);
    revocations_tick(self);
    relays_tick(self);
    while ((due = deadlines_next(self->repair_timers, now_ms)))
        interest_repair_again(self, OWNER(interest_t, repair_timer, due));
    while ((due = deadlines_next(self->linger_timers, now_ms))) {
        interest_t *interest = OWNER(interest_t, linger, due);
        interest_destroy(self, &interest);
    }
    while ((due = deadlines_next(self->audit_timers, now_ms)))
        audit_due(self, OWNER(interest_t, audit.timer, due));
    notice_silence(self);
    if (fence_is_due(self))
        interests_fence_late(self);
    tell_lost(self);
    interests_release(self);
    interests_ask_repairs(self);
    audits_ask(self);
}

static int64_t sooner(int64_t a, int64_t b)
{
    return a < 0 || (b >= 0 && b < a) ? b : a;
}

int64_t hub_wait(const hub_t *self, int64_t now_ms)
{
    int64_t wait = deadlines_wait(self->session_timers, now_ms);
    wait = sooner(wait, deadlines_wait(self->command_timers, now_ms));
    wait = sooner(wait, deadlines_wait(self->lag_timers, now_ms));
    wait = sooner(wait, deadlines_wait(self->guard_timers, now_ms));
    wait = sooner(wait, revocations_wait(self, now_ms));
    wait = sooner(wait, relays_wait(self, now_ms));
    wait = sooner(wait, deadlines_wait(self->linger_timers, now_ms));
    wait = sooner(wait, deadlines_wait(self->repair_timers, now_ms));
    wait = sooner(wait, deadlines_wait(self->audit_timers, now_ms));
    if (self->broker_is_up)
        wait = sooner(wait, silence_left_ms(self, now_ms));
    if (self->broker_is_up && self->fence > self->fence_passed) {
        int64_t left = self->fence_at_ms + self->settings.fence_ms - now_ms;
        wait = sooner(wait, left > 0 ? left : 0);
    }
    if (!TAILQ_EMPTY(&self->lost))
        wait = sooner(wait, LOST_TICK_MS);
    return TAILQ_EMPTY(&self->releasing) ? wait : 0;
}

/* --- out --- */

static void take_outgoing(hub_t *self, struct hub_effect *out)
{
    struct outgoing *outgoing = next_outgoing(self);
    self->taken = outgoing->bytes;
    *out = (struct hub_effect){.kind = outgoing->kind, .bytes = payload_span(self->taken)};
    free(outgoing);
}

static void take_dirty(hub_t *self, session_t *session, struct hub_effect *out)
{
    session_t *next = TAILQ_NEXT(session, dirty_link);
    if (next) /* the one behind it will be needed only after a system call or two */
        __builtin_prefetch(TAILQ_NEXT(next, dirty_link), 1);
    TAILQ_REMOVE(&self->dirty, session, dirty_link);
    session->is_dirty = false;
    *out = (struct hub_effect){.kind = HUB_WRITE, .session = session};
    if (session->state != SESSION_CLOSING)
        return;
    subscription_t *subscription;
    while ((subscription = LIST_FIRST(&session->subscriptions)))
        subscription_destroy(self, &subscription);
    out->kind = HUB_CLOSE;
    out->code = session->close_code;
    out->reason =
        session->close_reason ? session->close_reason : client_close_text(session->close_code);
    if (session->drop_queue)
        outbox_clear(&session->outbox, self->outboxes);
}

/* All sockets are offered what was put for them. */
static void end_turn(hub_t *self, struct hub_effect *out)
{
    self->released = 0;
    *out = (struct hub_effect){.kind = HUB_NOTHING};
}

void hub_take_effect(hub_t *self, struct hub_effect *out)
{
    payload_release(&self->taken);
    if (STAILQ_EMPTY(
            &self->outgoing)) { /* the turn is complete: what belongs together goes together */
        interests_send_fence(self);
        flush_questions(self);
    }
    session_t *session = TAILQ_FIRST(&self->dirty);
    if (!STAILQ_EMPTY(&self->outgoing))
        take_outgoing(self, out);
    else if (session)
        take_dirty(self, session, out);
    else if (!relay_take(self, out))
        end_turn(self, out);
}

bool hub_is_ready(const hub_t *self, int64_t now_ms)
{
    return self->broker_is_up && self->canary_at_ms != 0 && self->canary_broker == self->broker &&
           now_ms - self->canary_at_ms < CANARY_READY_MS;
}

size_t hub_session_count(const hub_t *self)
{
    return self->session_count;
}

size_t hub_session_open_count(const hub_t *self)
{
    return self->session_count - self->closing_count;
}

const struct hub_metrics *hub_metrics(hub_t *self, int64_t now_ms)
{
    struct hub_metrics *metrics = &self->metrics;
    metrics->connections = self->session_count;
    metrics->addresses = map_count(self->interests);
    metrics->canary_age_ms = self->canary_at_ms ? (uint64_t)(now_ms - self->canary_at_ms) : 0;
    metrics->presence_waiting = questions_open_of(self->questions, QUESTION_PRESENCE);
    metrics->held_bytes = self->held.bytes;
    metrics->bytes_queued = self->outboxes->bytes;
    metrics->queue_oldest_ms = lags_oldest_ms(self, now_ms);
    metrics->fallback_connections = map_count(self->emulations);
    metrics->relay_bytes = self->relay_bytes;
    return metrics;
}

void hub_close_sessions(hub_t *self, enum client_close code, size_t keep, int64_t now_ms)
{
    self->now_ms = now_ms;
    session_t *session;
    TAILQ_FOREACH (session, &self->sessions, all) {
        if (hub_session_open_count(self) <= keep)
            return;
        session_close(self, session, code, false);
    }
}
