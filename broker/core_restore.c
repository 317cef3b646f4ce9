#include <string.h>

#include "broker/core_priv.h"

/* What the store is told besides appends, and what it tells at the start. */

/* --- notes --- */

static enum store_note_kind kind_of(enum streams_change change)
{
    switch (change) {
    case STREAMS_MADE:
        return STORE_MADE;
    case STREAMS_TRIMMED:
        return STORE_TRIMMED;
    default:
        return STORE_ENDED;
    }
}

/* A queue of its own: streams change while an effect is being written, and the store may know of
 * the change before any append that was not handed to it yet. One without memory is lost. */
void core_note(void *arg, enum streams_change change, const stream_header_t *header)
{
    core_t *core = arg;
    struct buffer *to = effects_begin(&core->notes);
    buffer_put_byte(to, (uint8_t)kind_of(change));
    buffer_put_u64(to, header->stream.epoch);
    buffer_put_u64(to, stream_first(&header->stream));
    buffer_put_span(to, stream_header_key(header));
    (void)effects_end(&core->notes, CORE_NOTE, NULL, NULL);
}

#define NOTE_HEAD 17 /* kind, epoch, first */

static uint64_t number_at(const uint8_t *bytes)
{
    uint64_t number = 0;
    for (size_t i = 0; i < sizeof number; i++)
        number = number << 8 | bytes[i];
    return number;
}

bool core_take_note(core_t *core, struct core_effect *out)
{
    effects_take(&core->notes, out);
    if (out->kind == CORE_NOTHING)
        return false;
    const uint8_t *bytes = out->bytes.data;
    out->note =
        (struct store_note){.kind = bytes[0],
                            .stream = span_of(bytes + NOTE_HEAD, out->bytes.size - NOTE_HEAD),
                            .epoch = number_at(bytes + 1),
                            .first = number_at(bytes + 9)};
    return true;
}

/* --- restoring --- */

static void end_stream(core_t *core)
{
    struct restoring *restoring = &core->restoring;
    if (restoring->header)
        streams_restored(core->streams, restoring->header, restoring->offset, restoring->now_ms);
    restoring->header = NULL;
}

/* One that there is no room for is as good as gone: it begins with another epoch. The store keeps
 * it, for the number of headers may be a mistake. */
static bool restore_stream(void *arg, struct span key, uint64_t epoch, uint64_t offset)
{
    core_t *core = arg;
    struct restoring *restoring = &core->restoring;
    struct address address;
    end_stream(core);
    if (epoch == 0 || !address_decode(key, &address))
        return true;
    restoring->header = streams_restore(core->streams, key, &address, epoch, restoring->now_ms);
    restoring->offset = offset;
    restoring->result.streams += restoring->header != NULL;
    restoring->result.left += restoring->header == NULL;
    return true;
}

/* As old as it was when the process ended, however long ago that is. */
static int64_t monotonic_of(const struct restoring *restoring, int64_t wall_ms)
{
    int64_t age_ms = restoring->wall_ms - wall_ms;
    return restoring->now_ms - (age_ms > 0 ? age_ms : 0);
}

static bool restore_message(void *arg, uint64_t offset, int64_t at_ms, struct span body)
{
    core_t *core = arg;
    struct restoring *restoring = &core->restoring;
    if (!restoring->header || offset == 0 || offset > restoring->offset)
        return true;
    payload_t *payload = payload_new(body.size);
    if (!payload)
        return false;
    memcpy(payload->data, body.data, body.size);
    streams_restore_message(core->streams, restoring->header, offset, &payload,
                            monotonic_of(restoring, at_ms));
    restoring->result.messages++;
    return true;
}

static bool restore_key(void *arg, const struct store_key *key, uint64_t epoch, uint64_t offset)
{
    core_t *core = arg;
    struct restoring *restoring = &core->restoring;
    int64_t left_ms = key->until_ms - restoring->wall_ms;
    end_stream(core);
    if (left_ms <= 0)
        return true;
    if (left_ms > core->settings.idempotency_ms) /* the clock was set back */
        left_ms = core->settings.idempotency_ms;
    if (!idempotency_restore(core->idempotency, key->key, key->hash, epoch, offset,
                             restoring->now_ms + left_ms))
        restoring->lacks_keys = true;
    return true;
}

/* Without one of them somebody could be let in whom it would refuse. */
static bool restore_handler(void *arg, struct span key)
{
    core_t *core = arg;
    end_stream(core);
    core->restoring.result.handlers++;
    return core_restore_handler(core, key);
}

static void restore_origin(void *arg, uint64_t number)
{
    core_t *core = arg;
    if (!core->restoring.lacks_keys)
        core->instance = number;
}

void core_restore(core_t *self, int64_t now_ms, int64_t wall_ms, struct store_loader *out)
{
    self->restoring = (struct restoring){.now_ms = now_ms, .wall_ms = wall_ms};
    *out = (struct store_loader){.arg = self,
                                 .stream = restore_stream,
                                 .message = restore_message,
                                 .key = restore_key,
                                 .handler = restore_handler,
                                 .origin = restore_origin};
}

void core_end_restore(core_t *self, struct core_restored *out)
{
    end_stream(self);
    self->restoring.result.keys = idempotency_count(self->idempotency);
    *out = self->restoring.result;
}
