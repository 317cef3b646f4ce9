#include <assert.h>
#include <stdlib.h>

#include "broker/core_asks_priv.h"

struct span core_batch_key(const void *item)
{
    const struct batch *batch = item;
    return span_of(&batch->number, sizeof batch->number);
}

static bool is_current(const struct asked *item)
{
    return item->check->state == CHECK_ASKED && item->check->request == item->request;
}

/* Takes it from everything; what its checks wait for is the caller's business. */
void core_batch_end(asks_t *self, struct batch *batch)
{
    deadline_clear(&batch->timer);
    map_remove(self->batches, core_batch_key(batch));
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
        core_check_unref(check);
    }
    free(batch);
}

static void write_batch(core_t *core, const struct batch *batch)
{
    struct buffer *to = effects_begin(&core->effects);
    backend_begin_check(to, batch->number, batch->count);
    for (size_t i = 0; i < batch->count; i++) {
        const struct check *check = batch->items[i].check;
        struct reader reader = core_check_reader(check);
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

/* A worker is told that it is registered before it is asked. */
static bool may_send(const asks_t *self, const handler_t *handler, int64_t now_ms)
{
    if (!handler->is_stored)
        return false;
    if (handler->site->batches >= self->settings.batches)
        return false;
    return handler->batches < ASKS_AT_ONCE || handler->waiting_count >= ASKS_GATHER ||
           now_ms - TAILQ_FIRST(&handler->waiting)->opened_ms >= ASKS_GATHER_MS;
}

static void refuse_waiting(core_t *core, handler_t *handler, const char *why, int64_t now_ms)
{
    while (!TAILQ_EMPTY(&handler->waiting))
        core_check_fail(core, TAILQ_FIRST(&handler->waiting), why, now_ms);
}

/* False: no more can be sent now. */
static bool send_next(core_t *core, handler_t *handler, int64_t now_ms)
{
    if (handler->worker_count == 0) {
        core->metrics->checks_unreachable_total += handler->waiting_count;
        refuse_waiting(core, handler, "the permission handler is not connected", now_ms);
        return false;
    }
    if (!handler_is_awake(handler)) {
        core->metrics->checks_unreachable_total += handler->waiting_count;
        refuse_waiting(core, handler, ASKS_HANGS, now_ms);
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
        core_check_leave(check);
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
            core_asks_rest(self, handler);
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
        core_batch_end(self, batch);
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
    /* One that came at the last moment, or in place of another, says nothing about the handler. */
    bool had_time = batch->end_ms - batch->sent_ms >= core->asks->settings.check_ms / 2;
    if (had_time && !batch->is_second)
        count_failure(core, batch, now_ms);
    core_batch_end(core->asks, batch);
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
    core_check_decide(core, check, &decision, now_ms);
}

/* What nobody else is being asked is refused, or asked again. */
static void give_up(core_t *core, struct batch *batch, bool again, int64_t now_ms)
{
    for (size_t i = 0; i < batch->count; i++) {
        struct check *check = batch->items[i].check;
        if (!is_current(&batch->items[i]) || check->flights > 1)
            continue;
        if (again)
            core_check_wait(core->asks, check);
        else
            core_check_fail(core, check, "the permission handler's answer is malformed", now_ms);
    }
    core_batch_end(core->asks, batch);
}

void core_asks_answer(core_t *core, party_t *from, const struct backend_request *request,
                      enum status status, int64_t now_ms)
{
    if (!request->id || wire_type(request->id) != WIRE_UINT) {
        core->metrics->answers_strange_total++;
        return;
    }
    uint64_t number = wire_uint(request->id);
    if (number == 0) { /* a heartbeat */
        from->beats = true;
        return;
    }
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
    core_batch_end(core->asks, batch);
}

static void probe(core_t *core, party_t *worker)
{
    backend_begin_check(effects_begin(&core->effects), 0, 0);
    core_end_check(core, worker);
}

/* --- hearts: what a worker's main loop says, for its connection proves only that a thread lives
 * --- */

static void tell_log(core_t *core, enum core_effect_kind kind, const party_t *worker)
{
    const struct handler_site *site = LIST_FIRST(&worker->workers)->handler->site;
    buffer_put_span(effects_begin(&core->effects), span_of(site->key, site->key_size));
    (void)effects_end(&core->effects, kind, NULL, NULL);
}

static void fall_silent(core_t *core, party_t *worker)
{
    worker->is_silent = true;
    core->metrics->workers_silent_total++;
    tell_log(core, CORE_WORKER_SILENT, worker);
    core_asks_gone(core, worker);
}

void core_asks_beat(core_t *core, party_t *worker)
{
    bool is_silent = worker->beats && worker->misses >= ASKS_MISSES;
    if (is_silent && !worker->is_silent)
        fall_silent(core, worker);
    if (worker->unanswered > 0 && worker->is_silent)
        return; /* enough waits for it to find out when it is gone */
    if (worker->misses < ASKS_MISSES)
        worker->misses++;
    probe(core, worker);
}

void core_asks_heard(core_t *core, party_t *worker)
{
    worker->misses = 0;
    if (!worker->is_silent)
        return;
    worker->is_silent = false;
    struct worker *of;
    LIST_FOREACH (of, &worker->workers, of_party)
        breaker_hurry(&of->handler->breaker);
    if (!LIST_EMPTY(&worker->workers))
        tell_log(core, CORE_WORKER_HEARD, worker);
}

/* One loss is one failure of each handler, however much was under way: workers are started anew all
 * the time, but one that vanishes whenever it is asked is no better than silence. */
void core_asks_gone(core_t *core, party_t *worker)
{
    const handler_t *counted = NULL;
    struct batch *batch;
    while ((batch = LIST_FIRST(&worker->asked))) {
        if (batch->handler != counted)
            count_failure(core, batch, core->now_ms);
        counted = batch->handler;
        give_up(core, batch, true, core->now_ms);
    }
}

void core_batches_tick(core_t *core, int64_t now_ms)
{
    struct deadline *due;
    while ((due = deadlines_next(core->asks->batch_timers, now_ms)))
        batch_due(core, OWNER(struct batch, timer, due), now_ms);
}
