#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "broker/core_priv.h"
#include "proto/bus_codec.h"
#include "proto/json_text.h"

/* --- appends by ticket --- */

static struct append *slot(const core_t *core, uint64_t ticket)
{
    return &core->appends.items[ticket & (core->appends.room - 1)];
}

static struct append *find(const core_t *core, uint64_t ticket)
{
    const struct appends *appends = &core->appends;
    if (ticket < appends->first || ticket >= appends->next)
        return NULL;
    struct append *append = slot(core, ticket);
    return append->body ? append : NULL;
}

const struct append *core_find_append(const core_t *core, uint64_t ticket)
{
    return find(core, ticket);
}

static bool grow(core_t *core)
{
    struct appends old = core->appends;
    size_t room = old.room ? old.room * 2 : 64;
    struct append *items = calloc(room, sizeof *items);
    if (!items)
        return false;
    for (uint64_t ticket = old.first; ticket < old.next; ticket++)
        items[ticket & (room - 1)] = *slot(core, ticket);
    core->appends.items = items;
    core->appends.room = room;
    free(old.items);
    return true;
}

static bool reserve(core_t *core)
{
    return core->appends.next - core->appends.first < core->appends.room || grow(core);
}

/* Frees the record: the append is decided. */
static void end_append(core_t *core, struct append *append)
{
    payload_release(&append->body);
    *append = (struct append){0};
    struct appends *appends = &core->appends;
    while (appends->first < appends->next && !slot(core, appends->first)->body)
        appends->first++;
}

/* --- decisions --- */

/* Tells all who wait for a duplicate of this append. */
static void decide_waiters(core_t *core, struct append *append, struct result result)
{
    result.duplicate = true;
    while (append->waiters) {
        struct waiter *waiter = append->waiters;
        append->waiters = waiter->next;
        if (result.status)
            request_refuse(core, waiter->request, waiter->index, result.status, (struct span){0});
        else
            request_decide(core, waiter->request, waiter->index, &result);
        free(waiter);
    }
}

static enum status status_of(enum store_outcome outcome, const char **why)
{
    switch (outcome) {
    case STORE_FULL:
        *why = "the store has no space left";
        return STATUS_NO_SPACE;
    case STORE_DOUBTED:
    case STORE_UNKNOWN:
        *why = "the store does not know whether it has kept it";
        return STATUS_IN_DOUBT;
    default:
        *why = "the store could not keep it";
        return STATUS_UNAVAILABLE;
    }
}

static void fail_append(core_t *core, struct append *append, enum store_outcome outcome)
{
    const char *why;
    struct result result = {.status = status_of(outcome, &why)};
    if (append->entry)
        idempotency_forget(core->idempotency, append->entry);
    request_refuse(core, append->request, append->index, result.status, span_text(why));
    decide_waiters(core, append, result);
    end_append(core, append);
}

void core_free_appends(core_t *core)
{
    const struct appends *appends = &core->appends;
    for (uint64_t ticket = appends->first; ticket < appends->next; ticket++) {
        struct append *append = find(core, ticket);
        if (append)
            fail_append(core, append, STORE_FAILED);
    }
    free(appends->items);
}

static void deliver(core_t *core, const stream_header_t *header, uint64_t offset, payload_t *body)
{
    uint8_t head[17 + ADDRESS_KEY_MAX];
    size_t size =
        bus_write_delivery_head(head, stream_header_key(header), header->stream.epoch, offset);
    buffer_put(effects_begin(&core->effects), head, size);
    if (effects_end(&core->effects, CORE_PUBLISH, NULL, body))
        core->metrics->published_total++;
    else
        core->metrics->publish_failures_total++;
}

/* Commit, then deliver, then acknowledge. */
static void commit(core_t *core, struct append *append, int64_t now_ms)
{
    stream_header_t *header = append->header;
    assert(append->offset == header->stream.offset + 1);
    payload_t *body = payload_hold(append->body);
    streams_commit(core->streams, header, &body, now_ms);
    if (header->interested || core->publish_all)
        deliver(core, header, append->offset, append->body);

    struct result result = {.epoch = append->epoch, .offset = append->offset};
    if (append->entry)
        idempotency_confirm(core->idempotency, append->entry, result.epoch, result.offset, now_ms);
    request_decide(core, append->request, append->index, &result);
    decide_waiters(core, append, result);
    end_append(core, append);
}

/* Fails the appends of one stream from this ticket on, `count` of them: later offsets have later
 * tickets. */
static void fail_from(core_t *core, const stream_header_t *header, uint64_t ticket, uint32_t count,
                      enum store_outcome outcome)
{
    for (uint64_t next = core->appends.next; count > 0 && ticket < next; ticket++) {
        struct append *append = find(core, ticket);
        if (!append || append->header != header)
            continue;
        fail_append(core, append, outcome);
        count--;
    }
}

void core_void(core_t *core, stream_header_t *header, int64_t now_ms)
{
    fail_from(core, header, core->appends.first, header->pending, STORE_UNKNOWN);
    streams_restart(core->streams, header, now_ms);
}

void core_stored(core_t *self, uint64_t ticket, enum store_outcome outcome, int64_t now_ms)
{
    struct append *append = find(self, ticket);
    if (!append)
        return; /* it failed with an earlier one of its stream */
    stream_header_t *header = append->header;
    uint32_t count;
    switch (outcome) {
    case STORE_COMMITTED:
        commit(self, append, now_ms);
        break;
    case STORE_FAILED:
    case STORE_FULL:
    case STORE_DOUBTED:
        count = (uint32_t)(header->stream.offset + header->pending - append->offset + 1);
        fail_from(self, header, ticket, count, outcome);
        streams_fail(self->streams, header, count, now_ms);
        break;
    case STORE_UNKNOWN:
        core_void(self, header, now_ms);
        break;
    }
}

/* --- a new publication --- */

/* The publication's body, once for all readers: "data":{...} and, when the publisher is known,
 * ,"info":{"client":"","user":"..."}. */
static enum status write_body(core_t *core, const struct backend_publish *publish)
{
    struct buffer *body = &core->body, *why = &core->why;
    buffer_reset(body);
    buffer_put_text(body, "\"data\":");
    size_t start = body->size;
    if (!json_text_from_wire(body, publish->payload, "payload", LIMIT_PAYLOAD_DEPTH, why))
        return STATUS_BAD_INPUT;
    size_t size = body->size - start;
    if (size > core->settings.payload_bytes) {
        buffer_printf(why, "payload: %zu bytes as JSON text, the limit is %zu", size,
                      core->settings.payload_bytes);
        return STATUS_TOO_LARGE;
    }
    if (publish->publisher.size) {
        buffer_put_text(body, ",\"info\":{\"client\":\"\",\"user\":");
        if (!json_text_string(body, publish->publisher)) {
            buffer_put_text(why, "publisher: not valid UTF-8");
            return STATUS_BAD_INPUT;
        }
        buffer_put_byte(body, '}');
    }
    return body->failed ? STATUS_UNAVAILABLE : STATUS_OK;
}

static bool wait_for(core_t *core, uint64_t ticket, struct request *request, size_t index)
{
    struct append *append = find(core, ticket);
    assert(append); /* a pending key has a pending append */
    struct waiter *waiter = malloc(sizeof *waiter);
    if (!waiter)
        return false;
    *waiter = (struct waiter){append->waiters, request, index};
    append->waiters = waiter;
    return true;
}

/* Gives the publication an offset and hands it to the store. */
static enum status append(core_t *core, struct request *request, size_t index, struct span key,
                          const struct address *address, struct idempotency_entry *entry,
                          int64_t now_ms)
{
    stream_header_t *header = streams_use(core->streams, key, address, now_ms);
    if (!header) {
        buffer_put_text(&core->why, "too many addresses in use");
        return STATUS_UNAVAILABLE;
    }
    payload_t *body = payload_new(core->body.size);
    if (!body || !reserve(core) || !effects_append(&core->effects, core->appends.next)) {
        payload_release(&body);
        return STATUS_UNAVAILABLE;
    }
    memcpy(body->data, core->body.data, core->body.size);
    *slot(core, core->appends.next++) = (struct append){.header = header,
                                                        .epoch = header->stream.epoch,
                                                        .offset = streams_assign(header),
                                                        .body = body,
                                                        .request = request,
                                                        .index = index,
                                                        .entry = entry};
    return STATUS_OK;
}

/* With a key: only the first publication is appended. */
static enum status append_once(core_t *core, struct request *request, size_t index,
                               struct span address_key, const struct address *address,
                               struct span key, int64_t now_ms)
{
    struct idempotency_entry *entry = NULL;
    switch (idempotency_claim(core->idempotency, address_key, key, buffer_span(&core->body),
                              core->appends.next, now_ms, &entry)) {
    case IDEMPOTENCY_NEW: {
        enum status status = append(core, request, index, address_key, address, entry, now_ms);
        if (status)
            idempotency_forget(core->idempotency, entry);
        return status;
    }
    case IDEMPOTENCY_PENDING:
        return wait_for(core, entry->ticket, request, index) ? STATUS_OK : STATUS_UNAVAILABLE;
    case IDEMPOTENCY_DONE:
        request_decide(
            core, request, index,
            &(struct result){.duplicate = true, .epoch = entry->epoch, .offset = entry->offset});
        return STATUS_OK;
    case IDEMPOTENCY_OTHER:
        buffer_put_text(&core->why, "key: it was used for another publication");
        return STATUS_CONFLICT;
    case IDEMPOTENCY_FULL:
        buffer_put_text(&core->why, "key: too many keys are remembered");
        break;
    }
    return STATUS_UNAVAILABLE;
}

static enum status start(core_t *core, struct request *request, size_t index,
                         const struct backend_publish *publish, int64_t now_ms)
{
    struct address address;
    enum status status = sites_resolve(core->settings.sites, request->to.party->endpoint,
                                       SITE_PUBLISH, &publish->target, &address, &core->why);
    if (!status)
        status = write_body(core, publish);
    if (status)
        return status;
    uint8_t bytes[ADDRESS_KEY_MAX];
    struct span key = span_of(bytes, address_encode(&address, bytes));
    if (publish->key.size)
        return append_once(core, request, index, key, &address, publish->key, now_ms);
    return append(core, request, index, key, &address, NULL, now_ms);
}

void core_publish_item(core_t *core, struct request *request, size_t index,
                       const struct backend_publish *publish, int64_t now_ms)
{
    core->metrics->publishes_total++;
    buffer_reset(&core->why);
    enum status status = start(core, request, index, publish, now_ms);
    if (status)
        request_refuse(core, request, index, status, buffer_span(&core->why));
}
