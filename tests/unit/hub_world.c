#include "hub_world.h"
#include "asserts.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/address.h"
#include "proto/bus_codec.h"
#include "proto/limits.h"
#include "proto/status.h"

#define FIRST_NONCE 77

struct hub_settings world_settings(void)
{
    return (struct hub_settings){.site = "default",
                                 .incarnation = 0x1122334455667788,
                                 .subscriptions = 128,
                                 .pending_commands = 512,
                                 .presence_questions = 4,
                                 .held_messages = 8,
                                 .held_bytes = 1 << 20,
                                 .queue_bytes = 65536,
                                 .queue_ms = 20000,
                                 .anonymous = true,
                                 .connect_ms = 10000,
                                 .ping_ms = 25000,
                                 .pong_ms = 10000,
                                 .expired_ms = 25000,
                                 .reply_ms = 4000,
                                 .fence_ms = 1000,
                                 .linger_ms = 10000,
                                 .linger_addresses = 2,
                                 .audit_ms = 40000};
}

/* --- streams --- */

const char *world_channel(size_t stream)
{
    static const char *const names[WORLD_STREAMS] = {"s0", "s1", "s2"};
    return names[stream];
}

static struct span stream_key(const struct world *self, size_t stream, uint8_t out[ADDRESS_KEY_MAX])
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
               bus_write_delivery_head(head, stream_key(self, stream, key), epoch, offset));
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
        bus_put_mark(&message, &(struct bus_mark){.address = stream_key(self, i, key),
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

/* --- the gateway's owner --- */

static struct world_client *client_of(struct world *self, session_t *session)
{
    return &self->clients[(size_t)(uintptr_t)session_connection(session)];
}

/* Strips the WebSocket header, which all frames of the hub bring along. */
static char *text_of(const payload_t *frame)
{
    size_t header = frame->data[1] < 126 ? 2 : frame->data[1] == 126 ? 4 : 10;
    return strndup((const char *)frame->data + header, frame->size - header);
}

static void take_frames(struct world *self, session_t *session, size_t count)
{
    struct world_client *client = client_of(self, session);
    payload_t *frame;
    for (; count > 0 && outbox_peek(session_outbox(session), &frame, 1, SIZE_MAX) == 1; count--) {
        ck_assert_uint_lt(client->frame_count, WORLD_FRAMES);
        client->frames[client->frame_count++] = text_of(frame);
        hub_session_sent(self->hub, session, 1, self->now_ms);
    }
}

static void flush_session(struct world *self, session_t *session)
{
    if (client_of(self, session)->is_stalled)
        hub_session_full(self->hub, session, self->now_ms);
    else
        take_frames(self, session, SIZE_MAX);
}

static void push_topic(struct world *self, struct span topic, uint8_t on)
{
    struct buffer event = {0};
    buffer_put_byte(&event, on);
    buffer_put_span(&event, topic);
    world_queue_push(&self->topics, buffer_span(&event));
    buffer_free(&event);
}

static void take_effects(struct world *self)
{
    struct hub_effect effect;
    for (;;) {
        hub_take_effect(self->hub, &effect);
        switch (effect.kind) {
        case HUB_NOTHING:
            return;
        case HUB_RELAYED: /* these clients have WebSockets */
            ck_abort();
            break;
        case HUB_LISTEN:
        case HUB_UNLISTEN:
            push_topic(self, effect.bytes, effect.kind == HUB_LISTEN);
            break;
        case HUB_SEND:
            world_queue_push(&self->questions, effect.bytes);
            break;
        case HUB_WRITE:
            flush_session(self, effect.session);
            break;
        case HUB_CLOSE: {
            struct world_client *client = client_of(self, effect.session);
            client->has_been_closed = true;
            client->code = effect.code;
            snprintf(client->reason, sizeof client->reason, "%s", effect.reason);
            ck_assert(effect.reason && effect.reason[0]);
            flush_session(self, effect.session);
            hub_session_closed(self->hub, effect.session, self->now_ms);
            client->session = NULL;
        }
        }
    }
}

const struct bus_presence_part *world_presence(struct world *self, size_t stream, uint8_t kind,
                                               uint32_t limit)
{
    static struct bus_presence_part part;
    static uint8_t bytes[65536];
    uint8_t key[ADDRESS_KEY_MAX];
    struct buffer frame = {0}, answer = {0};
    bus_put_presence_ask(&frame,
                         &(struct bus_presence_ask){.round = 7,
                                                    .kind = kind,
                                                    .limit = limit,
                                                    .seed = 1,
                                                    .address = stream_key(self, stream, key)});
    hub_presence_ask(self->hub, buffer_span(&frame), self->now_ms);
    take_effects(self);
    answer = self->questions.items[--self->questions.count]; /* sent at once, behind all others */
    ck_assert_uint_le(answer.size, sizeof bytes);
    memcpy(bytes, answer.data, answer.size);
    ck_assert(bus_get_presence_part(span_of(bytes, answer.size), &part));
    ck_assert_uint_eq(part.round, 7);
    buffer_free(&frame);
    buffer_free(&answer);
    return &part;
}

bool world_move_publication(struct world *self)
{
    struct buffer message;
    if (!world_queue_pull(&self->publications, &message))
        return false;
    hub_publication(self->hub, buffer_span(&message), self->now_ms);
    buffer_free(&message);
    take_effects(self);
    return true;
}

uint64_t world_revoke(struct world *self, struct bus_revoke revoke)
{
    struct buffer frame = {0};
    revoke.number = ++self->revocations;
    bus_put_revoke(&frame, &revoke);
    world_queue_push(&self->answers, buffer_span(&frame));
    world_queue_push(&self->said, buffer_span(&frame));
    buffer_free(&frame);
    return revoke.number;
}

bool world_move_answer(struct world *self)
{
    struct buffer frame;
    if (!world_queue_pull(&self->answers, &frame))
        return false;
    if (bus_frame_type(buffer_span(&frame)) == BUS_REVOKE)
        hub_revoke(self->hub, buffer_span(&frame), self->now_ms);
    else
        hub_answer(self->hub, buffer_span(&frame), self->now_ms);
    buffer_free(&frame);
    take_effects(self);
    return true;
}

void world_settle(struct world *self)
{
    while (world_move_topic(self) || world_move_publication(self) || world_move_question(self) ||
           world_move_answer(self))
        continue;
}

void world_advance(struct world *self, int64_t ms)
{
    for (int64_t end = self->now_ms + ms; self->now_ms < end;) {
        self->now_ms += end - self->now_ms < 16 ? end - self->now_ms : 16;
        hub_tick(self->hub, self->now_ms);
        take_effects(self);
    }
}

void world_break_link(struct world *self)
{
    world_queue_clear(&self->questions);
    world_queue_clear(&self->answers);
    hub_broker_down(self->hub, self->now_ms);
    take_effects(self);
}

/* Another broker knows nothing of what this gateway has applied. */
static void forget_revocations(struct world *self)
{
    struct buffer frame = {0};
    bus_put_revoke(&frame, &(struct bus_revoke){.number = self->revocations,
                                                .mode = BUS_REVOKE_RECHECK,
                                                .scope = BUS_SCOPE_FORGOTTEN});
    ck_assert(hub_revoke(self->hub, buffer_span(&frame), self->now_ms));
    buffer_free(&frame);
}

void world_mend_link(struct world *self)
{
    if (hub_broker(self->hub) != 0 && hub_broker(self->hub) != self->broker)
        forget_revocations(self);
    for (size_t i = 0; i < self->said.count; i++) /* again: what came is passed over */
        ck_assert(hub_revoke(self->hub, buffer_span(&self->said.items[i]), self->now_ms));
    ck_assert(hub_broker_up(self->hub, self->broker, self->revocations, self->now_ms));
    take_effects(self);
}

static void kill_broker(struct world *self)
{
    world_break_link(self);
    world_queue_clear(&self->publications);
    world_queue_clear(&self->said);
    self->broker++;
    self->canary = 0;
}

/* The SUB socket sends all its topics again: those that the broker has, and those on their way. */
static void reconnect(struct world *self)
{
    hub_publications_lost(self->hub, self->now_ms);
    take_effects(self);
    world_mend_link(self);
}

void world_restart_broker(struct world *self)
{
    kill_broker(self);
    for (size_t i = 0; i < WORLD_STREAMS; i++)
        world_forget(self, i);
    reconnect(self);
}

void world_go_back(struct world *self, size_t stream, uint64_t count, uint64_t more)
{
    kill_broker(self);
    for (size_t i = 0; i < WORLD_STREAMS; i++)
        self->streams[i].restored = self->streams[i].position;
    self->streams[stream].restored -= count;
    self->streams[stream].position = self->streams[stream].restored + more;
    reconnect(self);
}

/* --- clients --- */

void world_send(struct world *self, size_t client, const char *format, ...)
{
    char text[65536];
    va_list args;
    va_start(args, format);
    int size = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    ck_assert(size >= 0 && (size_t)size < sizeof text);
    hub_session_frame(self->hub, self->clients[client].session, span_of(text, (size_t)size),
                      self->now_ms);
    take_effects(self);
}

char *world_next(struct world *self, size_t client)
{
    struct world_client *from = &self->clients[client];
    if (from->frame_count == 0)
        return NULL;
    char *text = from->frames[0];
    memmove(from->frames, from->frames + 1, --from->frame_count * sizeof *from->frames);
    return text;
}

static void forget_frames(struct world_client *client)
{
    for (size_t i = 0; i < client->frame_count; i++)
        free(client->frames[i]);
    client->frame_count = 0;
}

void world_connect(struct world *self, size_t client)
{
    struct world_client *of = &self->clients[client];
    forget_frames(of);
    of->has_been_closed = of->is_stalled = false;
    of->session = hub_session_opened(self->hub, (void *)(uintptr_t)client, self->now_ms);
    ck_assert_ptr_nonnull(of->session);
    world_send(self, client, "{\"id\":%lld,\"connect\":{}}", (long long)++of->commands);
    char *reply = world_next(self, client);
    ck_assert_ptr_nonnull(reply);
    ck_assert_ptr_nonnull(strstr(reply, "\"connect\":{"));
    free(reply);
}

void world_stall(struct world *self, size_t client)
{
    self->clients[client].is_stalled = true;
}

void world_read(struct world *self, size_t client, size_t count)
{
    session_t *session = self->clients[client].session;
    take_frames(self, session, count);
    hub_session_full(self->hub, session, self->now_ms);
    take_effects(self);
}

void world_go_on(struct world *self, size_t client)
{
    self->clients[client].is_stalled = false;
    if (self->clients[client].session)
        take_frames(self, self->clients[client].session, SIZE_MAX);
    take_effects(self);
}

void world_disconnect(struct world *self, size_t client)
{
    struct world_client *of = &self->clients[client];
    if (of->session)
        hub_session_closed(self->hub, of->session, self->now_ms);
    of->session = NULL;
    forget_frames(of);
    take_effects(self);
}

void world_open(struct world *self, const struct hub_settings *settings)
{
    *self = (struct world){.now_ms = 1000000, .broker = FIRST_NONCE, .site = "default"};
    self->hub = hub_new(settings, self->now_ms);
    ck_assert_ptr_nonnull(self->hub);
    for (size_t i = 0; i < WORLD_STREAMS; i++) {
        world_forget(self, i);
        self->streams[i].verdict.grant_ms = BUS_GRANT_FOREVER;
    }
    world_mend_link(self);
}

void world_close(struct world *self)
{
    for (size_t i = 0; i < WORLD_CLIENTS; i++)
        world_disconnect(self, i);
    world_queue_clear(&self->topics);
    world_queue_clear(&self->publications);
    world_queue_clear(&self->questions);
    world_queue_clear(&self->answers);
    world_queue_clear(&self->said);
    hub_destroy(&self->hub);
}
