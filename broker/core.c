#include <stdlib.h>
#include <string.h>

#include "broker/core_priv.h"
#include "proto/bus_codec.h"

#define TICK_MS   100
#define SECOND_MS 1000
#define PROBE_MS  2000
/* How long a backend is remembered that says nothing and waits for nothing. */
#define SILENT_MS 10000
/* A digest repeats the positions of addresses published to in so long. */
#define DIGEST_MS    5000
#define DIGEST_BYTES 61440 /* of marks in one frame */
/* A tick is due every 100 ms: after so long without one the process hung. Then what comes for a
 * while may have waited for it. */
#define HUNG_MS 1000
#define LATE_MS 2000
/* Old things freed by one tick. */
#define TICK_BUDGET  10000
#define NOTES_BUDGET 2000 /* each may be a note, and the store must keep up with them */

core_t *core_new(const struct core_settings *settings, int64_t now_ms)
{
    core_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->settings = *settings;
    self->metrics = settings->metrics;
    self->nonce = self->instance = settings->random(settings->random_arg);
    self->tick_ms = self->second_ms = self->probe_ms = now_ms;
    self->started_ms = self->rates.at_ms = self->ticked_ms = now_ms;
    self->node = strdup(settings->node);
    if (settings->is_durable) {
        self->settings.streams.changed = core_note;
        self->settings.streams.changed_arg = self;
    }
    self->streams = streams_new(&self->settings.streams, now_ms);
    self->idempotency = idempotency_new(settings->idempotency_ms, settings->idempotency_keys);
    self->parties = parties_new();
    self->presence = presence_new(&settings->presence, now_ms);
    self->handlers = handlers_new();
    self->asks = asks_new(&settings->asks, now_ms);
    self->registrations = registrations_new();
    self->revocations = revocations_new(&settings->revocations);
    self->reader = wire_reader_new();
    self->id_reader = wire_reader_new();
    if (!self->node || !self->streams || !self->idempotency || !self->parties || !self->presence ||
        !self->handlers || !self->asks || !self->registrations || !self->revocations ||
        !self->reader || !self->id_reader)
        core_destroy(&self);
    return self;
}

static void end_asks(handler_t *handler, void *arg)
{
    core_asks_end(arg, handler);
}

static void drop_permits(party_t *party, void *arg)
{
    (void)arg;
    core_permits_drop(party);
}

void core_destroy(core_t **self_p)
{
    core_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    if (self->handlers && self->asks)
        handlers_visit(self->handlers, end_asks, self);
    if (self->parties)
        parties_visit(self->parties, drop_permits, NULL);
    core_free_appends(self);
    effects_free(&self->effects);
    effects_free(&self->notes);
    buffer_free(&self->body);
    buffer_free(&self->why);
    buffer_free(&self->answers);
    buffer_free(&self->publications);
    wire_reader_destroy(&self->id_reader);
    wire_reader_destroy(&self->reader);
    presence_destroy(&self->presence);
    revocations_destroy(&self->revocations);
    registrations_destroy(&self->registrations);
    asks_destroy(&self->asks);
    handlers_destroy(&self->handlers);
    parties_destroy(&self->parties);
    idempotency_destroy(&self->idempotency);
    streams_destroy(&self->streams);
    free(self->node);
    free(self);
}

uint64_t core_nonce(const core_t *self)
{
    return self->nonce;
}

/* --- effects --- */

/* `once.until_ms` is how long from now on. */
static void fill_append(const core_t *self, const struct append *append, struct store_append *out)
{
    out->stream = stream_header_key(append->header);
    out->epoch = append->epoch;
    out->offset = append->offset;
    out->body = payload_span(append->body);
    out->first = stream_keeps(&append->header->stream, out->body.size)
                     ? stream_first(&append->header->stream)
                     : append->offset + 1;
    if (!append->entry)
        return;
    out->once.key = idempotency_key(append->entry);
    memcpy(out->once.hash, append->entry->hash, sizeof out->once.hash);
    out->once.until_ms = self->settings.idempotency_ms;
}

void core_take_effect(core_t *self, struct core_effect *out)
{
    if (core_take_note(self, out))
        return;
    for (;;) {
        effects_take(&self->effects, out);
        if (out->kind == CORE_REGISTER &&
            !core_find_registration(self, out->registration.ticket, &out->registration))
            continue;
        if (out->kind != CORE_APPEND)
            return;
        const struct append *append = core_find_append(self, out->append.ticket);
        if (!append)
            continue; /* an earlier append of its stream failed meanwhile */
        fill_append(self, append, &out->append);
        return;
    }
}

size_t core_effect_bytes(const core_t *self)
{
    return effects_size(&self->effects);
}

bool core_is_settled(const core_t *self)
{
    return self->appends.first == self->appends.next && core_no_registering(self) &&
           effects_is_empty(&self->effects) && effects_is_empty(&self->notes);
}

bool core_is_done(const core_t *self)
{
    return core_is_settled(self) && core_no_revoking(self);
}

void core_stop(core_t *self)
{
    self->stopping = true;
}

void core_sent(core_t *self, party_t *to, enum core_sent sent)
{
    to->unanswered--;
    if (to->endpoint != PARTY_GATEWAY) {
        self->metrics->replies_dropped_total += sent == CORE_DROPPED;
        if (sent == CORE_GONE)
            core_backend_gone(self, to);
        return;
    }
    self->metrics->answers_dropped_total += sent == CORE_DROPPED;
    self->metrics->gateways_gone_total += sent == CORE_GONE && to->welcome;
    if (sent == CORE_GONE) {
        core_gateway_left(self, to);
        return;
    }
    core_make_ready(self, to);
    core_gateway_took(self, to, sent == CORE_DROPPED);
}

/* --- time --- */

static void end_publish(core_t *self)
{
    if (effects_end(&self->effects, CORE_PUBLISH, NULL, NULL))
        return;
    self->metrics->publish_failures_total++;
}

struct digest {
    core_t *core;
    struct buffer *to; /* NULL: no frame is begun */
};

static void end_digest(struct digest *digest)
{
    if (digest->to)
        end_publish(digest->core);
    digest->to = NULL;
}

static void put_mark(const stream_header_t *header, void *arg)
{
    struct digest *digest = arg;
    core_t *self = digest->core;
    if (!header->interested && !self->publish_all)
        return;
    if (!digest->to) {
        digest->to = effects_begin(&self->effects);
        buffer_put_byte(digest->to, BUS_TOPIC_DIGEST);
    }
    bus_put_mark(digest->to, &(struct bus_mark){.address = stream_header_key(header),
                                                .epoch = header->stream.epoch,
                                                .offset = header->stream.offset});
    self->metrics->digest_marks_total++;
    if (effects_written(&self->effects) >= DIGEST_BYTES)
        end_digest(digest);
}

/* A lost last message of an address shows in its digest, a lost digest in the canary behind it. */
static void run_second(core_t *self, int64_t now_ms)
{
    struct digest digest = {.core = self};
    streams_visit_recent(self->streams, now_ms - DIGEST_MS, put_mark, &digest);
    end_digest(&digest);

    uint8_t canary[BUS_CANARY_BYTES];
    bus_write_canary(canary, self->nonce, ++self->canary);
    buffer_put(effects_begin(&self->effects), canary, sizeof canary);
    end_publish(self);
    self->metrics->canary_number = self->canary;
}

static void probe(party_t *party, void *arg)
{
    if (party->endpoint == PARTY_GATEWAY && party->welcome && party->unanswered == 0)
        core_probe_gateway(arg, party);
}

static void beat(party_t *party, void *arg)
{
    if (!LIST_EMPTY(&party->workers))
        core_asks_beat(arg, party);
}

/* Is it time? Then the next time is one period on, or from now if that is over as well. */
static bool is_due(int64_t *at_ms, int64_t period_ms, int64_t now_ms)
{
    if (now_ms < *at_ms)
        return false;
    *at_ms += period_ms;
    if (*at_ms <= now_ms)
        *at_ms = now_ms + period_ms;
    return true;
}

bool core_is_late(const core_t *core, int64_t now_ms)
{
    return now_ms < core->late_until_ms || now_ms - core->ticked_ms >= HUNG_MS;
}

void core_tick(core_t *self, int64_t now_ms)
{
    self->now_ms = now_ms;
    if (now_ms - self->ticked_ms >= HUNG_MS)
        self->late_until_ms = now_ms + LATE_MS;
    self->ticked_ms = now_ms;
    core_asks_tick(self, now_ms);
    if (is_due(&self->tick_ms, TICK_MS, now_ms)) {
        streams_tick(self->streams, now_ms, self->settings.is_durable ? NOTES_BUDGET : TICK_BUDGET);
        idempotency_expire(self->idempotency, now_ms, TICK_BUDGET);
        core_presence_tick(self, now_ms);
        core_revocations_tick(self, now_ms);
    }
    if (is_due(&self->second_ms, SECOND_MS, now_ms)) {
        run_second(self, now_ms);
        parties_visit(self->parties, beat, self);
        core_status_second(self, now_ms);
    }
    if (is_due(&self->probe_ms, PROBE_MS, now_ms)) {
        parties_sweep(self->parties, now_ms - SILENT_MS);
        parties_visit(self->parties, probe, self);
    }
}

int64_t core_wait(const core_t *self, int64_t now_ms)
{
    int64_t next_ms = self->tick_ms < self->second_ms ? self->tick_ms : self->second_ms;
    int64_t wait = next_ms > now_ms ? next_ms - now_ms : 0;
    int64_t asks = core_asks_wait(self, now_ms);
    return asks >= 0 && asks < wait ? asks : wait;
}

size_t core_memory(const core_t *self)
{
    return streams_bytes(self->streams) + streams_count(self->streams) * sizeof(stream_header_t);
}

void core_measure(const core_t *self)
{
    struct broker_metrics *metrics = self->metrics;
    metrics->backends = parties_backends(self->parties);
    metrics->gateways = self->gateways;
    metrics->appends_pending = self->appends.next - self->appends.first;
    metrics->streams = streams_count(self->streams);
    metrics->streams_interested = streams_interested(self->streams);
    metrics->retained_bytes = streams_bytes(self->streams);
    metrics->evicted_total = streams_evicted(self->streams);
    metrics->headers_cut_total = streams_headers_cut(self->streams);
    metrics->idempotency_keys = idempotency_count(self->idempotency);
    metrics->questions_waiting = self->frames;
    core_presence_measure(self);
    core_asks_measure(self);
    core_revocations_measure(self);
}
