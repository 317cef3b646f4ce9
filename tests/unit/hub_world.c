#include "hub_world.h"
#include "asserts.h"
#include "world_broker.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/bus_codec.h"

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
    bus_put_presence_ask(
        &frame, &(struct bus_presence_ask){.round = 7,
                                           .kind = kind,
                                           .limit = limit,
                                           .seed = 1,
                                           .address = world_stream_key(self, stream, key)});
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
