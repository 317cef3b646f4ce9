#include <stdlib.h>

#include "broker/core_priv.h"
#include "proto/bus_codec.h"

/* An answer frame ends with the reply that brings it above this, or LIMIT_RANGES_BYTES when it
 * holds ranges; one reply takes no more than fits behind that. */
#define ANSWER_BYTES     ((size_t)256 << 10)
#define ANSWER_REPLY_MAX (LIMIT_BUS_FRAME_BYTES - ANSWER_BYTES - 1024)
/* Unanswered frames of questions of one gateway. */
#define GATEWAY_ASKS 4096

/* --- sending --- */

bool core_end_send(core_t *core, party_t *gateway)
{
    if (effects_end(&core->effects, CORE_SEND, gateway, NULL)) {
        gateway->unanswered++;
        return true;
    }
    core->metrics->answers_dropped_total++;
    gateway->tell = true;
    return false;
}

static void send_answers(core_t *core, party_t *gateway, size_t count)
{
    struct buffer *answers = &core->answers;
    if (answers->failed) {
        core->metrics->answers_dropped_total++;
        return;
    }
    bus_put_answer(effects_begin(&core->effects),
                   &(struct bus_answer){.count = (uint16_t)count, .items = buffer_span(answers)});
    (void)core_end_send(core, gateway);
}

void core_probe_gateway(core_t *core, party_t *gateway)
{
    buffer_reset(&core->answers);
    send_answers(core, gateway, 0);
}

void core_make_ready(core_t *core, party_t *gateway)
{
    bool has_work = gateway->first_ask || !TAILQ_EMPTY(&gateway->decided);
    if (gateway->ready || !has_work || gateway->unanswered >= GATEWAY_WINDOW)
        return;
    gateway->ready = true;
    gateway->next_ready = NULL;
    *(core->ready_last ? &core->ready_last->next_ready : &core->ready_first) = gateway;
    core->ready_last = gateway;
}

/* --- one question --- */

static void refuse(struct bus_reply *reply, enum status status, const char *why)
{
    reply->status = (uint16_t)status;
    reply->message = span_text(why);
}

static void put_publications(core_t *core, stream_header_t *header, struct stream_slice slice,
                             bool reverse, struct bus_reply *reply)
{
    const stream_t *stream = &header->stream;
    struct buffer *to = &core->publications;
    streams_read(core->streams, header);
    for (size_t i = 0; i < slice.count; i++) {
        uint64_t offset = slice.first + (reverse ? slice.count - 1 - i : i);
        bus_put_publication(
            to, &(struct bus_publication){.offset = offset,
                                          .body = payload_span(stream_at(stream, offset))});
    }
    reply->count = (uint32_t)slice.count;
    reply->publications = buffer_span(to);
}

static void recover(core_t *core, stream_header_t *header, const struct bus_question *question,
                    struct bus_reply *reply)
{
    const stream_t *stream = &header->stream;
    static const struct stream_room room = {LIMIT_RECOVERY_MESSAGES, LIMIT_RECOVERY_BYTES};
    bool known = question->flags & BUS_QUESTION_ANY_EPOCH ? header->rule->client_history
                                                          : question->epoch == stream->epoch;
    struct stream_slice slice;
    if (!known || !stream_missed(stream, question->offset, room, &slice)) {
        core->metrics->not_recovered_total++;
        return;
    }
    put_publications(core, header, slice, false, reply);
    reply->flags = BUS_REPLY_RECOVERED;
    core->metrics->recovered_total++;
}

static uint8_t slow_reader_flag(const stream_header_t *header)
{
    switch (header->rule->slow_reader) {
    case SLOW_READER_LATEST:
        return BUS_REPLY_LATEST;
    case SLOW_READER_DROP_OLDEST:
        return BUS_REPLY_DROP_OLDEST;
    case SLOW_READER_DISCONNECT:
        break;
    }
    return 0;
}

/* A gateway knows no position but those that it was told. One beyond ours was told before the store
 * went back behind our back: an older copy of its file, a log that lost its end. Numbers that some
 * reader has seen must not be given away again; when they were already, since this start, it is the
 * position of then that counts. */
static bool has_gone_back(const stream_header_t *header, const struct bus_question *question)
{
    const stream_t *stream = &header->stream;
    bool is_of_before = question->flags & BUS_QUESTION_OF_BEFORE;
    return question->epoch == stream->epoch &&
           question->offset > (is_of_before ? header->restored : stream->offset);
}

/* What is left of a frame that holds ranges. A gateway gives all of it to its clients before it
 * writes to any, so a client that has missed all of it needs room for it, and for the names that go
 * with each message. Who needs more asks for the rest. */
static struct stream_room range_room(const core_t *core)
{
    size_t taken = core->answers.size;
    return (struct stream_room){LIMIT_RANGES_MESSAGES - core->range_messages,
                                taken < LIMIT_RANGES_BYTES ? LIMIT_RANGES_BYTES - taken : 0};
}

static void range(core_t *core, stream_header_t *header, const struct bus_question *question,
                  struct bus_reply *reply, int64_t now_ms)
{
    const stream_t *stream = &header->stream;
    struct stream_slice slice;
    if (has_gone_back(header, question)) {
        core->metrics->streams_gone_back_total++;
        core_void(core, header, now_ms);
        reply->epoch = stream->epoch;
        reply->offset = stream->offset;
        return;
    }
    if (question->epoch != stream->epoch ||
        !stream_next(stream, question->offset, range_room(core), &slice))
        return;
    /* A single message that no frame can carry counts as gone. */
    if (slice.count == 1 && stream_at(stream, slice.first)->size > ANSWER_REPLY_MAX)
        return;
    core->range_messages += slice.count;
    if (slice.count > 0)
        core->answers_max = LIMIT_RANGES_BYTES;
    if (core->range_messages >= LIMIT_RANGES_MESSAGES)
        core->answers_max = 0; /* the frame ends here */
    put_publications(core, header, slice, false, reply);
    reply->flags = BUS_REPLY_RECOVERED;
}

static void read_history(core_t *core, stream_header_t *header, const struct bus_question *question,
                         struct bus_reply *reply)
{
    const stream_t *stream = &header->stream;
    bool since = question->flags & BUS_QUESTION_SINCE;
    bool reverse = question->flags & BUS_QUESTION_REVERSE;
    if (!header->rule->client_history) {
        refuse(reply, STATUS_FORBIDDEN, "the channel keeps its history to itself");
        return;
    }
    bool any_epoch = question->flags & BUS_QUESTION_ANY_EPOCH;
    if (since && !any_epoch && question->epoch != stream->epoch) {
        refuse(reply, STATUS_CONFLICT, "the epoch of this address is another one now");
        return;
    }
    struct stream_room room = {question->limit, LIMIT_RECOVERY_BYTES};
    if (room.messages > LIMIT_RECOVERY_MESSAGES)
        room.messages = LIMIT_RECOVERY_MESSAGES;
    struct stream_slice slice =
        reverse ? stream_before(stream, since ? question->offset : UINT64_MAX, room)
                : stream_after(stream, since ? question->offset : 0, room);
    put_publications(core, header, slice, reverse, reply);
}

/* False: it is answered later. */
static bool answer_known(core_t *core, party_t *gateway, stream_header_t *header,
                         const struct bus_question *question, struct bus_reply *reply,
                         int64_t now_ms)
{
    reply->epoch = header->stream.epoch;
    reply->offset = header->stream.offset;
    switch (question->kind) {
    case BUS_SUBSCRIBE:
        if (question->flags & BUS_QUESTION_RECOVER)
            recover(core, header, question, reply);
        reply->flags |= slow_reader_flag(header);
        break;
    case BUS_POSITION:
    case BUS_PERMIT:
        break;
    case BUS_RANGE:
        range(core, header, question, reply, now_ms);
        break;
    case BUS_HISTORY:
        read_history(core, header, question, reply);
        break;
    case BUS_PRESENCE:
    case BUS_PRESENCE_STATS:
        return !core_presence_question(core, gateway, header, question, reply, now_ms);
    default:
        core->metrics->gateway_frames_malformed_total++;
        refuse(reply, STATUS_BAD_INPUT, "unknown kind of question");
        break;
    }
    return true;
}

/* Does the channel want every publication to be asked for? Nobody asks about preview. */
static bool is_strict(const stream_header_t *header, const struct address *address)
{
    return header->rule->check_each && address->view != VIEW_PREVIEW;
}

/* Nobody starts or goes on to read without being somebody, whatever a gateway says. */
static bool needs_permit(const struct bus_question *question)
{
    return question->asker.size > 0 || question->kind == BUS_SUBSCRIBE ||
           question->kind == BUS_PERMIT;
}

/* False: it is answered later. `permit`: what was decided about it, NULL: nothing yet. */
static bool answer_question(core_t *core, party_t *gateway, const struct bus_question *question,
                            const struct permit *permit, struct bus_reply *reply, int64_t now_ms)
{
    struct address address;
    if (!address_decode(question->address, &address)) {
        core->metrics->gateway_frames_malformed_total++;
        refuse(reply, STATUS_BAD_INPUT, "not a canonical address");
        return true;
    }
    if (permit && !core_put_decision(permit, reply))
        return true;
    /* Whoever asks listens already: even a refused question makes no header that was not there. */
    stream_header_t *header = streams_use(core->streams, question->address, &address, now_ms);
    if (!header) {
        refuse(reply, STATUS_TOO_MANY, "too many addresses in use");
        return true;
    }
    bool strict = is_strict(header, &address);
    if (!permit && needs_permit(question)) {
        enum permitted may = core_permit(core, gateway, question, &address, strict, reply);
        if (may != PERMITTED)
            return may == REFUSED;
    }
    if (strict)
        reply->grant_ms = BUS_GRANT_ONCE;
    return answer_known(core, gateway, header, question, reply, now_ms);
}

/* Appends one reply to the answers. False: none yet, it comes later. */
static bool put_answer(core_t *core, party_t *gateway, const struct bus_question *question,
                       const struct permit *permit, int64_t now_ms)
{
    struct bus_reply reply = {.token = question->token};
    buffer_reset(&core->publications);
    core->metrics->questions_total += !permit;
    if (!answer_question(core, gateway, question, permit, &reply, now_ms))
        return false;
    if (core->publications.failed) {
        reply = (struct bus_reply){.token = question->token};
        refuse(&reply, STATUS_INTERNAL, "out of memory");
    }
    core->metrics->questions_refused_total += reply.status != STATUS_OK;
    bus_put_reply(&core->answers, &reply);
    return true;
}

static void put_refusal(core_t *core, const struct bus_question *question, enum status status,
                        const char *why)
{
    struct bus_reply reply = {.token = question->token};
    refuse(&reply, status, why);
    core->metrics->questions_total++;
    core->metrics->questions_refused_total++;
    bus_put_reply(&core->answers, &reply);
}

/* --- frames of questions --- */

/* Answers all questions of a frame with a refusal, as far as they can be read. */
static void refuse_all(core_t *core, party_t *gateway, struct span items, enum status status,
                       const char *why)
{
    struct bus_question question;
    while (items.size) {
        size_t count = 0;
        buffer_reset(&core->answers);
        while (count < LIMIT_ASK_ITEMS && items.size) {
            if (!bus_next_question(&items, &question)) {
                core->metrics->gateway_frames_malformed_total++;
                items.size = 0;
                break;
            }
            put_refusal(core, &question, status, why);
            count++;
        }
        send_answers(core, gateway, count);
    }
}

void core_ask(core_t *core, party_t *gateway, struct span frame)
{
    struct bus_ask ask;
    if (!bus_get_ask(frame, &ask)) {
        core->metrics->gateway_frames_malformed_total++;
        return;
    }
    if (!gateway->welcome) {
        core->metrics->gateway_frames_malformed_total++;
        refuse_all(core, gateway, ask.items, STATUS_INTERNAL, "say hello first");
    } else if (ask.count > LIMIT_ASK_ITEMS) {
        core->metrics->gateway_frames_malformed_total++;
        refuse_all(core, gateway, ask.items, STATUS_BAD_INPUT, "too many questions in one frame");
    } else if (gateway->asks >= GATEWAY_ASKS || !party_put_ask(gateway, ask.items, ask.count)) {
        refuse_all(core, gateway, ask.items, STATUS_TOO_MANY, "too many questions wait");
    } else {
        core->frames++;
        core_make_ready(core, gateway);
    }
}

/* Takes the next question off a gateway's asks. False when none is left. */
static bool next_question(core_t *core, party_t *gateway, struct bus_question *question)
{
    while (gateway->first_ask) {
        struct ask *first = gateway->first_ask;
        struct span rest = span_of(first->bytes + first->at, first->size - first->at);
        bool whole = first->left > 0 && bus_next_question(&rest, question);
        if (whole) {
            first->at = first->size - rest.size;
            first->left--;
            return true;
        }
        /* Done, or broken in the middle; bytes behind the last question are no good either. */
        core->metrics->gateway_frames_malformed_total += first->left > 0 || rest.size > 0;
        party_drop_ask(gateway);
        core->frames--;
    }
    return false;
}

/* Those that waited for permission come first: they came first. Returns how many were answered. */
static size_t answer_decided(core_t *core, party_t *gateway, size_t *taken, int64_t now_ms)
{
    size_t count = 0;
    struct permit *permit;
    while (core->answers.size < core->answers_max && *taken < LIMIT_ASK_ITEMS &&
           (permit = core_next_decided(gateway))) {
        count += put_answer(core, gateway, &permit->question, permit, now_ms);
        ++*taken;
        free(permit);
    }
    return count;
}

static void answer_frame(core_t *core, party_t *gateway, int64_t now_ms)
{
    struct bus_question question;
    size_t taken = 0;
    buffer_reset(&core->answers);
    core->answers_max = ANSWER_BYTES;
    core->range_messages = 0;
    size_t count = answer_decided(core, gateway, &taken, now_ms);
    while (core->answers.size < core->answers_max && taken < LIMIT_ASK_ITEMS &&
           next_question(core, gateway, &question)) {
        count += put_answer(core, gateway, &question, NULL, now_ms);
        taken++;
    }
    if (count > 0)
        send_answers(core, gateway, count);
}

void core_answer(core_t *self, size_t bytes, int64_t now_ms)
{
    self->now_ms = now_ms;
    size_t before = core_effect_bytes(self);
    while (self->ready_first && core_effect_bytes(self) - before < bytes) {
        party_t *gateway = self->ready_first;
        self->ready_first = gateway->next_ready;
        if (!self->ready_first)
            self->ready_last = NULL;
        gateway->ready = false;
        answer_frame(self, gateway, now_ms);
        core_make_ready(self, gateway);
    }
    core_asks_send(self, now_ms);
    core_presence_start(self, now_ms);
}

bool core_can_answer(const core_t *self)
{
    return self->ready_first;
}
