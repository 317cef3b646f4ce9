#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "broker/core_asks_priv.h"

/* --- life --- */

static struct span check_key(const void *item)
{
    const struct check *check = item;
    return span_of(check->key, check->key_size);
}

asks_t *asks_new(const struct asks_settings *settings, int64_t now_ms)
{
    asks_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->settings = *settings;
    TAILQ_INIT(&self->kept);
    TAILQ_INIT(&self->ready);
    self->checks = map_new(check_key);
    self->batches = map_new(core_batch_key);
    self->check_timers = deadlines_new(now_ms);
    self->batch_timers = deadlines_new(now_ms);
    if (!self->checks || !self->batches || !self->check_timers || !self->batch_timers)
        asks_destroy(&self);
    return self;
}

#define HEAD_BYTES (sizeof(uint64_t) + 1 + 3 * sizeof(uint16_t))

struct reader core_check_reader(const struct check *check)
{
    const uint8_t *at = check->key + HEAD_BYTES;
    return (struct reader){.type = (enum subscriber_type)check->type,
                           .address = span_of(at, check->address_size),
                           .app = span_of(at + check->address_size, check->app_size),
                           .id =
                               span_of(at + check->address_size + check->app_size, check->id_size)};
}

/* --- checks --- */

static void be_ready(asks_t *self, handler_t *handler)
{
    if (handler->is_ready)
        return;
    handler->is_ready = true;
    TAILQ_INSERT_TAIL(&self->ready, handler, ready);
}

void core_asks_rest(asks_t *self, handler_t *handler)
{
    if (!handler->is_ready)
        return;
    handler->is_ready = false;
    TAILQ_REMOVE(&self->ready, handler, ready);
}

void core_check_wait(asks_t *self, struct check *check)
{
    check->state = CHECK_WAITING;
    check->request = ++self->request;
    check->flights = 0;
    TAILQ_INSERT_TAIL(&check->handler->waiting, check, link);
    check->handler->waiting_count++;
    be_ready(self, check->handler);
}

void core_check_leave(struct check *check)
{
    TAILQ_REMOVE(&check->handler->waiting, check, link);
    check->handler->waiting_count--;
}

void core_check_unref(struct check *check)
{
    if (check->refs == 0 && check->state == CHECK_DONE)
        free(check);
}

/* Who asks from now on asks anew; those who wait for it go on waiting. */
static void hide(asks_t *self, struct check *check)
{
    if (!check->is_hidden)
        map_remove(self->checks, check_key(check));
    check->is_hidden = true;
}

/* Nobody finds it any more. It is in no list of its state. */
static void end_check(asks_t *self, struct check *check)
{
    deadline_clear(&check->timer);
    hide(self, check);
    LIST_REMOVE(check, of_handler);
    check->state = CHECK_DONE;
    core_check_unref(check);
}

static void drop_kept(asks_t *self, struct check *check)
{
    TAILQ_REMOVE(&self->kept, check, link);
    self->kept_count--;
    end_check(self, check);
}

void asks_configure(asks_t *self, const struct asks_settings *settings)
{
    self->settings = *settings;
    while (self->kept_count > settings->grants)
        drop_kept(self, TAILQ_FIRST(&self->kept));
}

static void keep(core_t *core, struct check *check, const struct decision *decision, int64_t now_ms)
{
    asks_t *self = core->asks;
    check->state = CHECK_KEPT;
    check->kept = decision->status;
    deadline_set(self->check_timers, &check->timer, now_ms + decision->ttl_ms);
    TAILQ_INSERT_TAIL(&self->kept, check, link);
    if (++self->kept_count <= self->settings.grants)
        return;
    core->metrics->grants_cut_total++;
    drop_kept(self, TAILQ_FIRST(&self->kept));
}

static void close_check(core_t *core, struct check *check)
{
    asks_t *self = core->asks;
    if (check->state == CHECK_WAITING)
        core_check_leave(check);
    check->handler->site->checks--;
    self->open--;
    deadline_clear(&check->timer);
}

static void tell(core_t *core, struct check *check, const struct decision *decision)
{
    struct inquiry *inquiry;
    while ((inquiry = TAILQ_FIRST(&check->inquiries))) {
        TAILQ_REMOVE(&check->inquiries, inquiry, link);
        inquiry->check = NULL;
        inquiry->decided(core, inquiry, decision);
    }
}

void core_check_decide(core_t *core, struct check *check, const struct decision *decision,
                       int64_t now_ms)
{
    close_check(core, check);
    tell(core, check, decision);
    if (check->is_hidden) { /* another one has its place */
        end_check(core->asks, check);
        return;
    }
    bool is_answer = decision->status == STATUS_OK || decision->status == STATUS_FORBIDDEN;
    if (is_answer && decision->has_ttl && decision->ttl_ms > 0)
        keep(core, check, decision, now_ms);
    else
        end_check(core->asks, check);
}

static struct decision no_answer(const char *why)
{
    return (struct decision){.status = STATUS_UNAVAILABLE, .message = span_text(why)};
}

void core_check_fail(core_t *core, struct check *check, const char *why, int64_t now_ms)
{
    struct decision decision = no_answer(why);
    check->handler->failures++;
    core_check_decide(core, check, &decision, now_ms);
}

static void put_size(struct buffer *to, struct span part)
{
    buffer_put_u16(to, (uint16_t)part.size);
}

static struct span write_key(asks_t *self, const handler_t *handler, const struct reader *reader)
{
    buffer_reset(&self->key);
    buffer_put_u64(&self->key, handler->number);
    buffer_put_byte(&self->key, (uint8_t)reader->type);
    put_size(&self->key, reader->address);
    put_size(&self->key, reader->app);
    put_size(&self->key, reader->id);
    buffer_put_span(&self->key, reader->address);
    buffer_put_span(&self->key, reader->app);
    buffer_put_span(&self->key, reader->id);
    return buffer_span(&self->key);
}

static struct check *open_check(core_t *core, handler_t *handler, const struct reader *reader,
                                int64_t within_ms, int64_t now_ms)
{
    asks_t *self = core->asks;
    struct span key = buffer_span(&self->key);
    struct check *check = calloc(1, sizeof *check + key.size);
    if (!check)
        return NULL;
    TAILQ_INIT(&check->inquiries);
    check->handler = handler;
    check->opened_ms = now_ms;
    check->type = (uint8_t)reader->type;
    check->address_size = (uint16_t)reader->address.size;
    check->app_size = (uint16_t)reader->app.size;
    check->id_size = (uint16_t)reader->id.size;
    check->key_size = key.size;
    memcpy(check->key, key.data, key.size);
    if (!map_put(self->checks, check)) {
        free(check);
        return NULL;
    }
    LIST_INSERT_HEAD(&handler->checks, check, of_handler);
    handler->site->checks++;
    self->open++;
    int64_t left_ms = within_ms < self->settings.check_ms ? within_ms : self->settings.check_ms;
    deadline_set(self->check_timers, &check->timer, now_ms + left_ms);
    core_check_wait(self, check);
    return check;
}

/* NULL: it may be asked. */
static const char *refusal(core_t *core, handler_t *handler, int64_t now_ms)
{
    if (handler->worker_count == 0) {
        core->metrics->checks_unreachable_total++;
        return "the permission handler is not connected";
    }
    if (!handler_is_awake(handler)) {
        core->metrics->checks_unreachable_total++;
        return ASKS_HANGS;
    }
    if (handler->site->checks >= core->asks->settings.checks) {
        core->metrics->checks_busy_total++;
        return "too many questions wait for the permission handlers of this site";
    }
    if (!breaker_admits(&handler->breaker, now_ms)) {
        core->metrics->checks_broken_total++;
        return "the permission handler has not answered lately";
    }
    return NULL;
}

static struct decision kept_decision(const struct check *check, int64_t now_ms)
{
    int64_t left_ms = check->timer.at_ms - now_ms;
    return (struct decision){.status = check->kept,
                             .has_ttl = true,
                             .ttl_ms = left_ms > 0 ? (uint32_t)left_ms : 0,
                             .is_kept = true};
}

bool core_asks_ask(core_t *core, handler_t *handler, const struct reader *reader, int64_t within_ms,
                   struct inquiry *inquiry, struct decision *decision, int64_t now_ms)
{
    asks_t *self = core->asks;
    inquiry->check = NULL;
    handler->questions++;
    struct span key = write_key(self, handler, reader);
    struct check *check = self->key.failed ? NULL : map_get(self->checks, key);
    if (check && check->state == CHECK_KEPT &&
        (reader->is_strict || check->timer.at_ms <= now_ms)) { /* the wheel is a moment late */
        drop_kept(self, check);
        check = NULL;
    }
    if (check && check->state == CHECK_KEPT) {
        TAILQ_REMOVE(&self->kept, check, link); /* the least recently used goes first */
        TAILQ_INSERT_TAIL(&self->kept, check, link);
        core->metrics->checks_kept_total++;
        *decision = kept_decision(check, now_ms);
        return true;
    }
    if (check && reader->is_fresh && check->state == CHECK_ASKED) {
        hide(self, check);
        check = NULL;
    }
    core->metrics->checks_shared_total += check != NULL;
    const char *why = check ? NULL : refusal(core, handler, now_ms);
    if (!check && !why) {
        check = self->key.failed ? NULL : open_check(core, handler, reader, within_ms, now_ms);
        why = check ? NULL : "out of memory";
    }
    if (why) {
        handler->failures++;
        *decision = no_answer(why);
        decision->is_unasked = true;
        return true;
    }
    inquiry->check = check;
    TAILQ_INSERT_TAIL(&check->inquiries, inquiry, link);
    return false;
}

void core_asks_forget(struct inquiry *inquiry)
{
    if (!inquiry->check)
        return;
    TAILQ_REMOVE(&inquiry->check->inquiries, inquiry, link);
    inquiry->check = NULL; /* its answer may still be of use to others */
}

static void check_due(core_t *core, struct check *check, int64_t now_ms)
{
    if (check->state == CHECK_KEPT) {
        drop_kept(core->asks, check);
        return;
    }
    core->metrics->checks_late_total++;
    core_check_fail(core, check, "the permission handler did not answer in time", now_ms);
}

void core_asks_tick(core_t *core, int64_t now_ms)
{
    asks_t *self = core->asks;
    struct deadline *due;
    core_batches_tick(core, now_ms);
    while ((due = deadlines_next(self->check_timers, now_ms)))
        check_due(core, OWNER(struct check, timer, due), now_ms);
}

int64_t core_asks_wait(const core_t *core, int64_t now_ms)
{
    const asks_t *self = core->asks;
    int64_t wait = deadlines_wait(self->batch_timers, now_ms);
    int64_t checks = deadlines_wait(self->check_timers, now_ms);
    if (wait < 0 || (checks >= 0 && checks < wait))
        wait = checks;
    if (!TAILQ_EMPTY(&self->ready) && (wait < 0 || wait > ASKS_GATHER_MS))
        wait = ASKS_GATHER_MS;
    return wait;
}

/* --- what does not count any more --- */

struct voiding {
    core_t *core;
    struct span site;
    asks_match_fn *match;
    void *arg;
};

static void void_checks(handler_t *handler, void *arg)
{
    const struct voiding *voiding = arg;
    asks_t *self = voiding->core->asks;
    if (!span_equal(span_of(handler->site->key, handler->site->key_size), voiding->site))
        return;
    for (struct check *check = LIST_FIRST(&handler->checks), *next; check; check = next) {
        next = LIST_NEXT(check, of_handler);
        struct reader reader = core_check_reader(check);
        if (!voiding->match(&reader, voiding->arg))
            continue;
        if (check->state == CHECK_KEPT)
            drop_kept(self, check);
        else if (check->state == CHECK_ASKED)
            core_check_wait(self, check);
    }
}

void core_asks_void(core_t *core, struct span site, asks_match_fn *match, void *arg)
{
    struct voiding voiding = {core, site, match, arg};
    handlers_visit(core->handlers, void_checks, &voiding);
}

void core_asks_end(core_t *core, handler_t *handler)
{
    struct check *check;
    while ((check = LIST_FIRST(&handler->checks))) {
        if (check->state == CHECK_KEPT)
            drop_kept(core->asks, check);
        else
            core_check_fail(core, check, "the permission handler was removed", 0);
    }
    struct batch *batch;
    while ((batch = LIST_FIRST(&handler->asked)))
        core_batch_end(core->asks, batch);
    core_asks_rest(core->asks, handler);
}

void asks_destroy(asks_t **self_p)
{
    asks_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    map_destroy(&self->checks);
    map_destroy(&self->batches);
    deadlines_destroy(&self->check_timers);
    deadlines_destroy(&self->batch_timers);
    buffer_free(&self->key);
    free(self);
}

static void count_open(handler_t *handler, void *arg)
{
    *(uint64_t *)arg += handler->breaker.is_open;
}

void core_asks_measure(const core_t *core)
{
    struct broker_metrics *metrics = core->metrics;
    metrics->checks_open = core->asks->open;
    metrics->batches_open = core->asks->batch_count;
    metrics->grants = core->asks->kept_count;
    metrics->breakers_open = 0;
    handlers_visit(core->handlers, count_open, &metrics->breakers_open);
    metrics->handlers = handlers_count(core->handlers);
    metrics->workers = handlers_workers(core->handlers);
}
