#include "broker/core_asks.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "broker/core_priv.h"
#include "common/map.h"

enum check_state {
    CHECK_WAITING, /* in handler->waiting: nobody was asked yet, or what was said is void */
    CHECK_ASKED,
    CHECK_KEPT, /* answered, and the answer holds: in asks->kept */
    CHECK_DONE  /* nobody can find it any more; batches may still refer to it */
};

/* One question: the same handler, address, subscriber and asking app. */
struct check {
    TAILQ_ENTRY(check) link; /* in handler->waiting or asks->kept, by state */
    LIST_ENTRY(check) of_handler;
    handler_t *handler;
    TAILQ_HEAD(, inquiry) inquiries;
    struct deadline timer; /* the end of waiting, or of keeping */
    uint64_t request;      /* names it in messages; another one makes earlier answers void */
    int64_t opened_ms;
    uint32_t flights; /* batches that ask this request */
    uint32_t refs;    /* batches that refer to it, whatever they ask */
    uint8_t state;
    uint8_t type;
    uint16_t address_size, app_size, id_size;
    enum status kept;
    size_t key_size;
    uint8_t key[]; /* handler's number, type, sizes, address, app, id */
};

/* One message to a worker. */
struct batch {
    LIST_ENTRY(batch) of_party, of_handler;
    struct deadline timer; /* another worker is asked, or it is not waited for any longer */
    uint64_t number;
    handler_t *handler;
    party_t *party;
    int64_t sent_ms, end_ms;
    bool is_second;
    size_t count;
    struct asked {
        struct check *check;
        uint64_t request;
    } items[];
};

TAILQ_HEAD(handler_list, handler);

struct asks {
    struct asks_settings settings;
    map_t *checks;  /* by key, those that are not DONE */
    map_t *batches; /* by number */
    deadlines_t *check_timers, *batch_timers;
    TAILQ_HEAD(, check) kept; /* the oldest first */
    size_t kept_count, open, batch_count, breakers_open;
    struct handler_list ready; /* have waiting checks */
    uint64_t request, number;
    struct buffer key;
};

#define OWNER(type, member, pointer) ((type *)((char *)(pointer)-offsetof(type, member)))

/* --- life --- */

static struct span check_key(const void *item)
{
    const struct check *check = item;
    return span_of(check->key, check->key_size);
}

static struct span batch_key(const void *item)
{
    const struct batch *batch = item;
    return span_of(&batch->number, sizeof batch->number);
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
    self->batches = map_new(batch_key);
    self->check_timers = deadlines_new(now_ms);
    self->batch_timers = deadlines_new(now_ms);
    if (!self->checks || !self->batches || !self->check_timers || !self->batch_timers)
        asks_destroy(&self);
    return self;
}

#define HEAD_BYTES (sizeof(uint64_t) + 1 + 3 * sizeof(uint16_t))

static struct reader reader_of(const struct check *check)
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

static void rest(asks_t *self, handler_t *handler)
{
    if (!handler->is_ready)
        return;
    handler->is_ready = false;
    TAILQ_REMOVE(&self->ready, handler, ready);
}

static void wait_to_be_asked(asks_t *self, struct check *check)
{
    check->state = CHECK_WAITING;
    check->request = ++self->request;
    check->flights = 0;
    TAILQ_INSERT_TAIL(&check->handler->waiting, check, link);
    check->handler->waiting_count++;
    be_ready(self, check->handler);
}

static void stop_waiting(struct check *check)
{
    TAILQ_REMOVE(&check->handler->waiting, check, link);
    check->handler->waiting_count--;
}

static void unref(struct check *check)
{
    if (check->refs == 0 && check->state == CHECK_DONE)
        free(check);
}

/* Nobody finds it any more. It is in no list of its state. */
static void end_check(asks_t *self, struct check *check)
{
    deadline_clear(&check->timer);
    map_remove(self->checks, check_key(check));
    LIST_REMOVE(check, of_handler);
    check->state = CHECK_DONE;
    unref(check);
}

static void drop_kept(asks_t *self, struct check *check)
{
    TAILQ_REMOVE(&self->kept, check, link);
    self->kept_count--;
    end_check(self, check);
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
        stop_waiting(check);
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

static void decide(core_t *core, struct check *check, const struct decision *decision,
                   int64_t now_ms)
{
    close_check(core, check);
    tell(core, check, decision);
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

static void fail(core_t *core, struct check *check, const char *why, int64_t now_ms)
{
    struct decision decision = no_answer(why);
    check->handler->failures++;
    decide(core, check, &decision, now_ms);
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
    wait_to_be_asked(self, check);
    return check;
}

/* NULL: it may be asked. */
static const char *refusal(core_t *core, handler_t *handler, int64_t now_ms)
{
    if (handler->worker_count == 0) {
        core->metrics->checks_unreachable_total++;
        return "the permission handler is not connected";
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
        core->metrics->checks_kept_total++;
        *decision = kept_decision(check, now_ms);
        return true;
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

/* --- batches --- */

static bool is_current(const struct asked *item)
{
    return item->check->state == CHECK_ASKED && item->check->request == item->request;
}

/* Takes it from everything; what its checks wait for is the caller's business. */
static void end_batch(asks_t *self, struct batch *batch)
{
    deadline_clear(&batch->timer);
    map_remove(self->batches, batch_key(batch));
    LIST_REMOVE(batch, of_party);
    LIST_REMOVE(batch, of_handler);
    batch->party->batches--;
    batch->handler->batches--;
    batch->handler->site->batches--;
    self->batch_count--;
    for (size_t i = 0; i < batch->count; i++) {
        struct check *check = batch->items[i].check;
        check->flights -= is_current(&batch->items[i]);
        check->refs--;
        unref(check);
    }
    free(batch);
}

static void write_batch(core_t *core, const struct batch *batch)
{
    struct buffer *to = effects_begin(&core->effects);
    backend_begin_check(to, batch->number, batch->count);
    for (size_t i = 0; i < batch->count; i++) {
        const struct check *check = batch->items[i].check;
        struct reader reader = reader_of(check);
        struct address address = {0};
        (void)address_decode(reader.address, &address);
        backend_put_check(to, &(struct backend_check){.site = address.site,
                                                      .app = address.app,
                                                      .channel = address.channel,
                                                      .resource = address.resource,
                                                      .type = subscriber_type_text(reader.type),
                                                      .subscriber = reader.id,
                                                      .requesting_app = reader.app,
                                                      .request = core->nonce + check->request});
    }
    core_end_check(core, batch->party);
}

static struct batch *new_batch(asks_t *self, handler_t *handler, party_t *party, size_t room,
                               int64_t now_ms)
{
    struct batch *batch = calloc(1, sizeof *batch + room * sizeof *batch->items);
    if (!batch)
        return NULL;
    batch->number = ++self->number;
    batch->handler = handler;
    batch->party = party;
    batch->sent_ms = batch->end_ms = now_ms;
    if (!map_put(self->batches, batch)) {
        free(batch);
        return NULL;
    }
    LIST_INSERT_HEAD(&party->asked, batch, of_party);
    LIST_INSERT_HEAD(&handler->asked, batch, of_handler);
    party->batches++;
    handler->batches++;
    handler->site->batches++;
    self->batch_count++;
    return batch;
}

static void put_check(struct batch *batch, struct check *check)
{
    batch->items[batch->count++] = (struct asked){check, check->request};
    check->state = CHECK_ASKED;
    check->flights++;
    check->refs++;
    if (check->timer.at_ms > batch->end_ms)
        batch->end_ms = check->timer.at_ms;
}

static void send_batch(core_t *core, struct batch *batch, int64_t now_ms)
{
    asks_t *self = core->asks;
    int64_t again_ms = now_ms + self->settings.again_ms;
    bool may_ask_again = !batch->is_second && again_ms < batch->end_ms;
    deadline_set(self->batch_timers, &batch->timer, may_ask_again ? again_ms : batch->end_ms);
    core->metrics->checks_sent_total += batch->count;
    core->metrics->batches_sent_total++;
    write_batch(core, batch);
}

static bool may_send(const asks_t *self, const handler_t *handler, int64_t now_ms)
{
    if (handler->site->batches >= self->settings.batches)
        return false;
    return handler->batches < ASKS_AT_ONCE || handler->waiting_count >= ASKS_GATHER ||
           now_ms - TAILQ_FIRST(&handler->waiting)->opened_ms >= ASKS_GATHER_MS;
}

static void refuse_waiting(core_t *core, handler_t *handler, const char *why, int64_t now_ms)
{
    while (!TAILQ_EMPTY(&handler->waiting))
        fail(core, TAILQ_FIRST(&handler->waiting), why, now_ms);
}

/* False: no more can be sent now. */
static bool send_next(core_t *core, handler_t *handler, int64_t now_ms)
{
    if (handler->worker_count == 0) {
        core->metrics->checks_unreachable_total += handler->waiting_count;
        refuse_waiting(core, handler, "the permission handler is not connected", now_ms);
        return false;
    }
    if (!may_send(core->asks, handler, now_ms))
        return false;
    size_t room = handler->waiting_count < LIMIT_CHECKS ? handler->waiting_count : LIMIT_CHECKS;
    struct batch *batch =
        new_batch(core->asks, handler, handler_choose(handler, NULL), room, now_ms);
    if (!batch)
        return false; /* no memory: the next turn tries again */
    while (batch->count < room) {
        struct check *check = TAILQ_FIRST(&handler->waiting);
        stop_waiting(check);
        put_check(batch, check);
    }
    send_batch(core, batch, now_ms);
    return true;
}

void core_asks_send(core_t *core, int64_t now_ms)
{
    asks_t *self = core->asks;
    for (handler_t *handler = TAILQ_FIRST(&self->ready), *next; handler; handler = next) {
        next = TAILQ_NEXT(handler, ready);
        while (!TAILQ_EMPTY(&handler->waiting) && send_next(core, handler, now_ms))
            continue;
        if (TAILQ_EMPTY(&handler->waiting))
            rest(self, handler);
    }
}

/* The first worker takes its time. */
static void ask_second(core_t *core, struct batch *first, int64_t now_ms)
{
    asks_t *self = core->asks;
    deadline_set(self->batch_timers, &first->timer, first->end_ms);
    party_t *party = handler_choose(first->handler, first->party);
    if (!party || first->handler->site->batches >= self->settings.batches)
        return;
    struct batch *batch = new_batch(self, first->handler, party, first->count, now_ms);
    if (!batch)
        return;
    batch->is_second = true;
    for (size_t i = 0; i < first->count; i++)
        if (is_current(&first->items[i]) && first->items[i].check->flights == 1)
            put_check(batch, first->items[i].check);
    if (batch->count == 0) {
        end_batch(self, batch);
        return;
    }
    core->metrics->checks_again_total += batch->count;
    send_batch(core, batch, now_ms);
}

static void count_failure(core_t *core, const struct batch *batch, int64_t now_ms)
{
    struct breaker *breaker = &batch->handler->breaker;
    bool was_open = breaker->is_open;
    breaker_failed(breaker, batch->sent_ms, now_ms);
    if (!was_open && breaker->is_open)
        core->metrics->breakers_opened_total++;
}

static void batch_due(core_t *core, struct batch *batch, int64_t now_ms)
{
    if (now_ms < batch->end_ms) {
        ask_second(core, batch, now_ms);
        return;
    }
    core->metrics->batches_late_total++;
    count_failure(core, batch, now_ms);
    end_batch(core->asks, batch);
}

static void check_due(core_t *core, struct check *check, int64_t now_ms)
{
    if (check->state == CHECK_KEPT) {
        drop_kept(core->asks, check);
        return;
    }
    core->metrics->checks_late_total++;
    fail(core, check, "the permission handler did not answer in time", now_ms);
}

void core_asks_tick(core_t *core, int64_t now_ms)
{
    asks_t *self = core->asks;
    struct deadline *due;
    while ((due = deadlines_next(self->batch_timers, now_ms)))
        batch_due(core, OWNER(struct batch, timer, due), now_ms);
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

/* --- answers --- */

static void count_latency(struct broker_metrics *metrics, int64_t ms)
{
    metrics->checks_answered_total++;
    metrics->check_ms_total += (uint64_t)ms;
    metrics->checks_within_10_ms_total += ms <= 10;
    metrics->checks_within_100_ms_total += ms <= 100;
    metrics->checks_within_1000_ms_total += ms <= 1000;
}

static void take_answer(core_t *core, struct check *check, const struct backend_request *request,
                        size_t index, int64_t now_ms)
{
    struct backend_decision answer;
    const char *wrong = backend_decode_decision(request, index, &answer);
    struct decision decision = {.status = answer.status,
                                .has_ttl = answer.has_ttl,
                                .ttl_ms = answer.ttl_ms,
                                .message = answer.message};
    if (wrong)
        decision.message = span_text("the permission handler's answer is malformed");
    else if (decision.status == STATUS_UNAVAILABLE)
        decision.message = span_text("the permission handler failed");
    core->metrics->checks_malformed_total += wrong != NULL;
    if (decision.status != STATUS_OK && decision.status != STATUS_FORBIDDEN) {
        core->metrics->checks_failed_total++;
        check->handler->failures++;
    }
    count_latency(core->metrics, now_ms - check->opened_ms);
    decide(core, check, &decision, now_ms);
}

/* What nobody else is being asked is refused, or asked again. */
static void give_up(core_t *core, struct batch *batch, bool again, int64_t now_ms)
{
    for (size_t i = 0; i < batch->count; i++) {
        struct check *check = batch->items[i].check;
        if (!is_current(&batch->items[i]) || check->flights > 1)
            continue;
        if (again)
            wait_to_be_asked(core->asks, check);
        else
            fail(core, check, "the permission handler's answer is malformed", now_ms);
    }
    end_batch(core->asks, batch);
}

void core_asks_answer(core_t *core, party_t *from, const struct backend_request *request,
                      enum status status, int64_t now_ms)
{
    if (!request->id || wire_type(request->id) != WIRE_UINT) {
        core->metrics->answers_strange_total++;
        return;
    }
    uint64_t number = wire_uint(request->id);
    if (number == 0)
        return; /* a heartbeat */
    struct batch *batch = map_get(core->asks->batches, span_of(&number, sizeof number));
    if (!batch || batch->party != from) {
        core->metrics->answers_strange_total++;
        return;
    }
    if (status || wire_count(request->items) != batch->count) {
        core->metrics->answers_malformed_total++;
        count_failure(core, batch, now_ms);
        give_up(core, batch, false, now_ms);
        return;
    }
    breaker_succeeded(&batch->handler->breaker, now_ms);
    for (size_t i = 0; i < batch->count; i++)
        if (is_current(&batch->items[i]))
            take_answer(core, batch->items[i].check, request, i, now_ms);
    end_batch(core->asks, batch);
}

void core_asks_probe(core_t *core, party_t *worker)
{
    backend_begin_check(effects_begin(&core->effects), 0, 0);
    core_end_check(core, worker);
}

void core_asks_gone(core_t *core, party_t *worker)
{
    struct batch *batch;
    while ((batch = LIST_FIRST(&worker->asked)))
        give_up(core, batch, true, 0);
}

/* --- what does not count any more --- */

struct voiding {
    core_t *core;
    asks_match_fn *match;
    void *arg;
};

static void void_checks(handler_t *handler, void *arg)
{
    const struct voiding *voiding = arg;
    asks_t *self = voiding->core->asks;
    for (struct check *check = LIST_FIRST(&handler->checks), *next; check; check = next) {
        next = LIST_NEXT(check, of_handler);
        struct reader reader = reader_of(check);
        if (!voiding->match(&reader, voiding->arg))
            continue;
        if (check->state == CHECK_KEPT)
            drop_kept(self, check);
        else if (check->state == CHECK_ASKED)
            wait_to_be_asked(self, check);
    }
}

void core_asks_void(core_t *core, asks_match_fn *match, void *arg)
{
    struct voiding voiding = {core, match, arg};
    handlers_visit(core->handlers, void_checks, &voiding);
}

void core_asks_end(core_t *core, handler_t *handler)
{
    struct check *check;
    while ((check = LIST_FIRST(&handler->checks))) {
        if (check->state == CHECK_KEPT)
            drop_kept(core->asks, check);
        else
            fail(core, check, "the permission handler was removed", 0);
    }
    struct batch *batch;
    while ((batch = LIST_FIRST(&handler->asked)))
        end_batch(core->asks, batch);
    rest(core->asks, handler);
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
