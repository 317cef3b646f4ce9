#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "broker/core_priv.h"

static void count_refusal(struct broker_metrics *metrics, enum status status)
{
    switch (status) {
    case STATUS_OK:
        break;
    case STATUS_BAD_INPUT:
        metrics->refused_bad_input_total++;
        break;
    case STATUS_FORBIDDEN:
        metrics->refused_forbidden_total++;
        break;
    case STATUS_NOT_FOUND:
        metrics->refused_not_found_total++;
        break;
    case STATUS_CONFLICT:
        metrics->refused_conflict_total++;
        break;
    case STATUS_TOO_LARGE:
        metrics->refused_too_large_total++;
        break;
    case STATUS_TOO_MANY:
        metrics->refused_too_many_total++;
        break;
    case STATUS_IN_DOUBT:
        metrics->refused_in_doubt_total++;
        break;
    case STATUS_EXPIRED:
        metrics->refused_expired_total++;
        break;
    case STATUS_NO_SPACE:
        metrics->refused_no_space_total++;
        break;
    case STATUS_INTERNAL:
    case STATUS_UNAVAILABLE:
        metrics->refused_unavailable_total++;
        break;
    }
}

/* --- replies --- */

void core_end_reply(core_t *core, party_t *to)
{
    if (effects_end(&core->effects, CORE_REPLY, to, NULL))
        return;
    to->unanswered--;
    core->metrics->replies_dropped_total++;
}

void core_end_check(core_t *core, party_t *worker)
{
    worker->unanswered++;
    core_end_reply(core, worker);
}

bool core_keep_reply(core_t *core, struct reply_to *to, party_t *from, const struct wire_value *id)
{
    *to = (struct reply_to){.party = from, .is_wanted = id};
    if (!id)
        return true;
    struct buffer *bytes = &core->body;
    buffer_reset(bytes);
    wire_put_value(bytes, id);
    if (bytes->failed || bytes->size > sizeof to->id)
        return false;
    memcpy(to->id, bytes->data, bytes->size);
    to->id_size = (uint8_t)bytes->size;
    return true;
}

struct buffer *core_begin_reply(core_t *core, const struct reply_to *to,
                                const struct wire_value **id)
{
    if (!to->is_wanted) {
        to->party->unanswered--;
        return NULL;
    }
    const char *why;
    *id = wire_read(core->id_reader, span_of(to->id, to->id_size), 0, 1, &why);
    return effects_begin(&core->effects);
}

/* --- requests for publications --- */

struct request *request_new(core_t *core, party_t *from, const struct wire_value *id, size_t count,
                            bool many)
{
    struct request *request = calloc(1, sizeof *request + count * sizeof *request->results);
    if (!request)
        return NULL;
    request->count = count;
    request->open = count + 1;
    request->many = many;
    if (!core_keep_reply(core, &request->to, from, id)) {
        free(request);
        return NULL;
    }
    return request;
}

static struct span text_of(const struct request *request, const struct result *result)
{
    if (result->text_size == 0)
        return span_text(status_text(result->status));
    return span_of(request->texts.data + result->text_at, result->text_size);
}

static void write_results(struct buffer *to, const struct request *request,
                          const struct wire_value *id)
{
    backend_begin_results(to, id, request->count);
    for (size_t i = 0; i < request->count; i++) {
        const struct result *result = &request->results[i];
        if (result->status)
            backend_put_failure(to, result->status, text_of(request, result));
        else
            backend_put_result(to, result->epoch, result->offset, result->duplicate);
    }
}

static void write_result(struct buffer *to, const struct request *request,
                         const struct wire_value *id)
{
    const struct result *result = request->results;
    if (result->status)
        backend_write_error(to, id, result->status, text_of(request, result));
    else
        backend_write_published(to, id, result->epoch, result->offset, result->duplicate);
}

static void reply(core_t *core, struct request *request)
{
    const struct wire_value *id;
    struct buffer *to = core_begin_reply(core, &request->to, &id);
    if (!to)
        return;
    if (request->many)
        write_results(to, request, id);
    else
        write_result(to, request, id);
    core_end_reply(core, request->to.party);
}

void request_close(core_t *core, struct request *request)
{
    assert(request->open > 0);
    if (--request->open > 0)
        return;
    reply(core, request);
    buffer_free(&request->texts);
    free(request);
}

void request_decide(core_t *core, struct request *request, size_t index,
                    const struct result *result)
{
    request->results[index] = *result;
    core->metrics->duplicates_total += result->duplicate;
    core->metrics->acknowledged_total += !result->status && !result->duplicate;
    request_close(core, request);
}

void request_refuse(core_t *core, struct request *request, size_t index, enum status status,
                    struct span why)
{
    count_refusal(core->metrics, status);
    struct result *result = &request->results[index];
    *result = (struct result){.status = status, .text_at = request->texts.size};
    buffer_put_span(&request->texts, why);
    result->text_size = request->texts.size - result->text_at; /* 0 without memory for it */
    request_close(core, request);
}

/* --- operations --- */

void core_refuse(core_t *core, party_t *from, const struct backend_request *request,
                 enum status status, struct span why)
{
    count_refusal(core->metrics, status);
    if (!request->id && !request->unreadable) {
        from->unanswered--;
        return;
    }
    backend_write_error(effects_begin(&core->effects), request->id, status, why);
    core_end_reply(core, from);
}

static void refuse_memory(core_t *core, party_t *from, const struct backend_request *request)
{
    core_refuse(core, from, request, STATUS_UNAVAILABLE, span_text("out of memory"));
}

static void publish(core_t *core, party_t *from, const struct backend_request *request,
                    int64_t now_ms)
{
    struct request *kept = request_new(core, from, request->id, 1, false);
    if (!kept) {
        refuse_memory(core, from, request);
        return;
    }
    core_publish_item(core, kept, 0, &request->publish, now_ms);
    request_close(core, kept);
}

static void publish_many(core_t *core, party_t *from, const struct backend_request *request,
                         int64_t now_ms)
{
    size_t count = wire_count(request->items);
    struct request *kept = request_new(core, from, request->id, count, true);
    if (!kept) {
        refuse_memory(core, from, request);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        struct backend_publish item;
        buffer_reset(&core->why);
        enum status status = backend_decode_item(request, i, &item, &core->why);
        if (status) {
            core->metrics->publishes_total++;
            request_refuse(core, kept, i, status, buffer_span(&core->why));
        } else {
            core_publish_item(core, kept, i, &item, now_ms);
        }
    }
    request_close(core, kept);
}

static enum status read_history(core_t *core, const party_t *from,
                                const struct backend_history *history, int64_t now_ms,
                                const stream_t **stream, struct stream_slice *slice)
{
    struct address address;
    enum status status = sites_resolve(core->settings.sites, from->endpoint, SITE_HISTORY,
                                       &history->target, &address, &core->why);
    if (status)
        return status;
    uint8_t bytes[ADDRESS_KEY_MAX];
    struct span key = span_of(bytes, address_encode(&address, bytes));
    stream_header_t *header = streams_use(core->streams, key, &address, now_ms);
    if (!header) {
        buffer_put_text(&core->why, "too many addresses in use");
        return STATUS_UNAVAILABLE;
    }
    *stream = &header->stream;
    if (history->has_since && history->since_epoch != header->stream.epoch) {
        buffer_put_text(&core->why, "since: the epoch of this address is another one now");
        return STATUS_CONFLICT;
    }
    struct stream_room room = {history->limit, LIMIT_RECOVERY_BYTES};
    if (room.messages > LIMIT_RECOVERY_MESSAGES)
        room.messages = LIMIT_RECOVERY_MESSAGES;
    streams_read(core->streams, header);
    *slice = stream_after(*stream, history->has_since ? history->since_offset : 0, room);
    return STATUS_OK;
}

static bool write_history(struct buffer *to, const struct wire_value *id, const stream_t *stream,
                          struct stream_slice slice)
{
    backend_begin_history(to, id, stream->epoch, stream->offset, slice.count);
    for (size_t i = 0; i < slice.count; i++) {
        uint64_t offset = slice.first + i;
        if (!backend_put_publication(to, offset, payload_span(stream_at(stream, offset))))
            return false;
    }
    return true;
}

static void history(core_t *core, party_t *from, const struct backend_request *request,
                    int64_t now_ms)
{
    const stream_t *stream = NULL;
    struct stream_slice slice = {0};
    enum status status = read_history(core, from, &request->history, now_ms, &stream, &slice);
    if (status) {
        core_refuse(core, from, request, status, buffer_span(&core->why));
        return;
    }
    if (!request->id) {
        from->unanswered--;
        return;
    }
    if (write_history(effects_begin(&core->effects), request->id, stream, slice)) {
        core_end_reply(core, from);
        return;
    }
    effects_undo(&core->effects);
    refuse_memory(core, from, request);
}

static void ping(core_t *core, party_t *from, const struct backend_request *request)
{
    if (!request->id) {
        from->unanswered--;
        return;
    }
    backend_write_pong(effects_begin(&core->effects), request->id, core->instance);
    core_end_reply(core, from);
}

static void refuse_stopping(core_t *core, party_t *from, const struct backend_request *request)
{
    core->metrics->refused_stopping_total++;
    if (!request->id) {
        from->unanswered--;
        return;
    }
    backend_write_stopping(effects_begin(&core->effects), request->id);
    core_end_reply(core, from);
}

static void run(core_t *core, party_t *from, const struct backend_request *request, int64_t now_ms)
{
    switch (request->op) {
    case BACKEND_PUBLISH:
        publish(core, from, request, now_ms);
        break;
    case BACKEND_PUBLISH_MANY:
        publish_many(core, from, request, now_ms);
        break;
    case BACKEND_HISTORY:
        history(core, from, request, now_ms);
        break;
    case BACKEND_PING:
        ping(core, from, request);
        break;
    case BACKEND_HANDLE:
    case BACKEND_UNHANDLE:
        core_handle(core, from, request);
        break;
    case BACKEND_REVOKE:
    case BACKEND_DISCONNECT:
        core_revoke(core, from, request, now_ms);
        break;
    case BACKEND_HANDLERS:
        core_list_handlers(core, from, request);
        break;
    case BACKEND_EXPLAIN:
        core_explain(core, from, request, now_ms);
        break;
    case BACKEND_ANSWER: /* is no request */
    case BACKEND_NONE:   /* does not decode */
        break;
    }
}

/* Nobody waits for it any more: its sender has been told that nobody knows what became of it. Only
 * after this process hung: else a clock of the backend's that stood still would count. */
static bool is_expired(const core_t *core, party_t *from, const struct backend_request *request,
                       int64_t now_ms)
{
    if (!request->has_time)
        return false;
    int64_t lag_ms = lag_of(&from->lag, request->at_ms, now_ms);
    return request->has_deadline && core_is_late(core, now_ms) &&
           (uint64_t)lag_ms > request->within_ms;
}

void core_backend_request(core_t *self, size_t endpoint, struct span peer, struct span bytes,
                          int64_t now_ms)
{
    self->now_ms = now_ms;
    party_t *from = parties_get(self->parties, endpoint, peer, now_ms);
    if (!from) {
        self->metrics->replies_dropped_total++;
        return;
    }
    core_asks_heard(self, from);
    struct backend_request request;
    buffer_reset(&self->why);
    enum status status = backend_decode(self->reader, bytes, &request, &self->why);
    if (request.op == BACKEND_ANSWER) {
        core_asks_answer(self, from, &request, status, now_ms);
        return;
    }
    self->metrics->requests_total++;
    from->unanswered++;
    if (!status && from->unanswered > self->settings.unanswered_requests) {
        buffer_printf(&self->why, "more than %u unanswered requests",
                      (unsigned)self->settings.unanswered_requests);
        status = STATUS_TOO_MANY;
    }
    if (!status && is_expired(self, from, &request, now_ms)) {
        buffer_put_text(&self->why, "the broker hung, and the time of this request is over");
        status = STATUS_EXPIRED;
    }
    if (status)
        core_refuse(self, from, &request, status, buffer_span(&self->why));
    else if (self->stopping && request.op != BACKEND_PING)
        refuse_stopping(self, from, &request);
    else
        run(self, from, &request, now_ms);
}
