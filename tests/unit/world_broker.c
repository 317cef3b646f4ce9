#include "world_broker.h"
#include "asserts.h"

#include <stdio.h>
#include <stdlib.h>

#include "proto/bus_codec.h"
#include "proto/status.h"

/* --- streams --- */

const char *world_channel(size_t stream)
{
    static const char *const names[WORLD_STREAMS] = {"s0", "s1", "s2"};
    return names[stream];
}

struct span world_stream_key(const struct world *self, size_t stream, uint8_t out[ADDRESS_KEY_MAX])
{
    struct address address = {.view = VIEW_LIVE,
                              .site = span_text(self->site),
                              .channel = span_text(world_channel(stream))};
    return span_of(out, address_encode(&address, out));
}

/* Whatever else there is with that channel in its name is answered as if it were the stream. */
static size_t stream_of(struct span key)
{
    struct address address;
    ck_assert(address_decode(key, &address));
    for (size_t i = 0; i < WORLD_STREAMS; i++) {
        if (span_is(address.channel, world_channel(i)))
            return i;
    }
    return WORLD_STREAMS;
}

/* What a publication says is its place: the test checks that it is at that place. */
static void put_body(struct buffer *to, uint64_t epoch, uint64_t offset)
{
    buffer_printf(to, "\"data\":{\"e\":%llu,\"n\":%llu}", (unsigned long long)epoch,
                  (unsigned long long)offset);
}

void world_publish(struct world *self, size_t stream)
{
    uint64_t epoch = self->streams[stream].epoch, offset = ++self->streams[stream].position;
    bool is_lost = self->lose_next;
    self->lose_next = false;
    if (!self->streams[stream].has_interest || is_lost)
        return;
    uint8_t key[ADDRESS_KEY_MAX], head[17 + ADDRESS_KEY_MAX];
    struct buffer message = {0};
    buffer_put(&message, head,
               bus_write_delivery_head(head, world_stream_key(self, stream, key), epoch, offset));
    put_body(&message, epoch, offset);
    world_queue_push(&self->publications, buffer_span(&message));
    buffer_free(&message);
}

void world_forget(struct world *self, size_t stream)
{
    self->streams[stream].epoch = ++self->epochs;
    self->streams[stream].position = self->streams[stream].restored = 0;
}

void world_digest(struct world *self)
{
    struct buffer message = {0};
    buffer_put_byte(&message, BUS_TOPIC_DIGEST);
    for (size_t i = 0; i < WORLD_STREAMS; i++) {
        uint8_t key[ADDRESS_KEY_MAX];
        bus_put_mark(&message, &(struct bus_mark){.address = world_stream_key(self, i, key),
                                                  .epoch = self->streams[i].epoch,
                                                  .offset = self->streams[i].position});
    }
    world_queue_push(&self->publications, buffer_span(&message));
    buffer_free(&message);
}

void world_canary(struct world *self)
{
    uint8_t message[BUS_CANARY_BYTES];
    bus_write_canary(message, self->broker, ++self->canary);
    world_queue_push(&self->publications, span_of(message, sizeof message));
}

/* --- the broker --- */

bool world_move_topic(struct world *self)
{
    struct buffer event;
    if (!world_queue_pull(&self->topics, &event))
        return false;
    bool is_on = event.data[0] == 1;
    struct span topic = span_of(event.data + 1, event.size - 1);
    if (topic.data[0] == BUS_TOPIC_FENCE) {
        if (is_on)
            world_queue_push(&self->publications, topic);
    } else {
        size_t stream = stream_of(span_of(topic.data + 1, topic.size - 1));
        ck_assert_uint_lt(stream, WORLD_STREAMS);
        self->streams[stream].has_interest = is_on;
    }
    buffer_free(&event);
    return true;
}

/* As if this gateway were the only one. */
static void answer_presence(struct world *self, size_t stream, const struct bus_question *question,
                            struct buffer *to)
{
    const struct bus_presence_part *part = world_presence(self, stream, question->kind, 100);
    struct bus_reply reply = {.token = question->token,
                              .status = self->presence_status,
                              .grant_ms = self->streams[stream].verdict.grant_ms};
    struct buffer count = {0};
    bus_put_presence_count(&count,
                           &(struct bus_presence_count){.clients = part->clients,
                                                        .users = (uint32_t)(part->items.size / 8)});
    if (reply.status != STATUS_OK) {
        reply.message = span_text("as the test wants it");
    } else if (question->kind == BUS_PRESENCE) {
        reply.count = part->clients;
        reply.publications = part->items;
    } else {
        reply.count = 1;
        reply.publications = buffer_span(&count);
    }
    bus_put_reply(to, &reply);
    buffer_free(&count);
}

static void copy_text(char *to, size_t room, struct span text)
{
    ck_assert_uint_lt(text.size, room);
    memcpy(to, text.data, text.size);
    to[text.size] = '\0';
}

static void note_asker(struct world *self, const struct bus_question *question)
{
    struct span rest = question->asker;
    struct bus_asker asker;
    ck_assert(bus_next_asker(&rest, &asker) && rest.size == 0);
    self->asker.kind = question->kind;
    self->asker.flags = question->flags;
    self->asker.type = asker.type;
    self->asker.within_ms = asker.within_ms;
    copy_text(self->asker.id, sizeof self->asker.id, asker.id);
    copy_text(self->asker.app, sizeof self->asker.app, asker.app);
}

/* True: the answer is a refusal, and complete. */
static bool judge(struct world *self, size_t stream, const struct bus_question *question,
                  struct bus_reply *reply)
{
    bool must_ask = question->kind == BUS_SUBSCRIBE || question->kind == BUS_PERMIT;
    self->permits += question->kind == BUS_PERMIT;
    ck_assert(question->asker.size > 0 || !must_ask);
    if (question->asker.size == 0)
        return false;
    const struct world_verdict *verdict = &self->streams[stream].verdict;
    note_asker(self, question);
    reply->grant_ms = verdict->grant_ms;
    reply->status = verdict->status;
    reply->flags = verdict->temporary ? BUS_REPLY_TEMPORARY : 0;
    if (verdict->status != STATUS_OK)
        reply->message = span_text("as the test wants it");
    return verdict->status != STATUS_OK;
}

static bool has_gone_back(const struct world *self, size_t stream,
                          const struct bus_question *question)
{
    bool is_of_before = question->flags & BUS_QUESTION_OF_BEFORE;
    return question->epoch == self->streams[stream].epoch &&
           question->offset >
               (is_of_before ? self->streams[stream].restored : self->streams[stream].position);
}

static void answer_question(struct world *self, const struct bus_question *question,
                            struct buffer *to)
{
    size_t stream = stream_of(question->address);
    ck_assert_uint_lt(stream, WORLD_STREAMS);
    if (question->kind == BUS_RANGE && has_gone_back(self, stream, question))
        world_forget(self, stream);
    uint64_t epoch = self->streams[stream].epoch, top = self->streams[stream].position;
    uint64_t oldest = top > WORLD_KEPT ? top - WORLD_KEPT + 1 : 1;
    bool joins =
        question->epoch == epoch && question->offset <= top && question->offset + 1 >= oldest;
    bool wants = question->kind == BUS_RANGE ||
                 (question->kind == BUS_SUBSCRIBE && question->flags & BUS_QUESTION_RECOVER);

    struct bus_reply reply = {.token = question->token, .epoch = epoch, .offset = top};
    if (judge(self, stream, question, &reply)) {
        bus_put_reply(to, &reply);
        return;
    }
    if (question->kind == BUS_SUBSCRIBE && self->streams[stream].slow_reader == SLOW_READER_LATEST)
        reply.flags |= BUS_REPLY_LATEST;
    if (question->kind == BUS_SUBSCRIBE &&
        self->streams[stream].slow_reader == SLOW_READER_DROP_OLDEST)
        reply.flags |= BUS_REPLY_DROP_OLDEST;
    if (question->kind == BUS_HISTORY)
        reply.status = self->history_status;
    if (question->kind == BUS_PRESENCE || question->kind == BUS_PRESENCE_STATS) {
        answer_presence(self, stream, question, to);
        return;
    }
    if (self->refuse_next) {
        self->refuse_next = false;
        reply.status = STATUS_TOO_MANY;
        bus_put_reply(to, &reply);
        return;
    }
    struct buffer publications = {0};
    if (joins && wants) {
        reply.flags |= BUS_REPLY_RECOVERED;
        uint64_t last = top;
        if (question->kind == BUS_RANGE && last - question->offset > 10)
            last = question->offset + 10; /* as when the size of an answer is used up */
        for (uint64_t offset = question->offset + 1; offset <= last; offset++) {
            struct buffer body = {0};
            put_body(&body, epoch, offset);
            bus_put_publication(&publications, &(struct bus_publication){
                                                   .offset = offset, .body = buffer_span(&body)});
            buffer_free(&body);
            reply.count++;
        }
    }
    reply.publications = buffer_span(&publications);
    bus_put_reply(to, &reply);
    buffer_free(&publications);
}

bool world_move_question(struct world *self)
{
    struct buffer frame;
    if (!world_queue_pull(&self->questions, &frame))
        return false;
    struct bus_ask ask;
    if (bus_frame_type(buffer_span(&frame)) == BUS_REVOKED) {
        ck_assert(bus_get_revoked(buffer_span(&frame), &self->revoked));
        self->confirmations++;
        buffer_free(&frame);
        return true;
    }
    ck_assert(bus_get_ask(buffer_span(&frame), &ask));
    struct buffer items = {0}, answer = {0};
    struct bus_question question;
    while (ask.items.size > 0) {
        ck_assert(bus_next_question(&ask.items, &question));
        answer_question(self, &question, &items);
    }
    bus_put_answer(&answer, &(struct bus_answer){.count = ask.count, .items = buffer_span(&items)});
    world_queue_push(&self->answers, buffer_span(&answer));
    buffer_free(&items);
    buffer_free(&answer);
    buffer_free(&frame);
    return true;
}
