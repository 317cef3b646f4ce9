#include "emulation_world.h"
#include "asserts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "proto/status.h"
#include "proto/ws_frame.h"

#define BUS_FRAMES 64

hub_t *hubs[EMULATION_HUBS];
const uint64_t incarnations[EMULATION_HUBS] = {0xfedcba9876543210, 0x00000000000000af, UINT64_MAX};
int64_t now_ms;

static struct {
    size_t from;
    struct buffer frame;
} bus[BUS_FRAMES];
static size_t bus_count;
static struct buffer last_ask, last_topic, scratch;

void emulation_setup(void)
{
    now_ms = 1000000;
    bus_count = 0;
    last_ask = last_topic = scratch = (struct buffer){0};
    for (size_t i = 0; i < EMULATION_HUBS; i++) {
        hubs[i] = hub_new(&(struct hub_settings){.site = "default",
                                                 .incarnation = incarnations[i],
                                                 .subscriptions = 4,
                                                 .pending_commands = 8,
                                                 .presence_questions = 1,
                                                 .held_messages = 8,
                                                 .held_bytes = 1 << 20,
                                                 .queue_bytes = 65536,
                                                 .queue_ms = 20000,
                                                 .relay_bytes = EMULATION_BYTES,
                                                 .anonymous = true,
                                                 .connect_ms = 3600000,
                                                 .ping_ms = 3600000,
                                                 .pong_ms = 10000,
                                                 .expired_ms = 25000,
                                                 .reply_ms = EMULATION_REPLY_MS,
                                                 .fence_ms = 1000,
                                                 .linger_ms = 10000},
                          now_ms);
        ck_assert_ptr_nonnull(hubs[i]);
        link_up(i);
    }
}

void emulation_teardown(void)
{
    for (size_t i = 0; i < EMULATION_HUBS; i++)
        hub_destroy(&hubs[i]);
    while (bus_count > 0)
        bus_lose();
    buffer_free(&last_ask);
    buffer_free(&last_topic);
    buffer_free(&scratch);
}

/* --- effects --- */

static void keep(struct buffer *to, struct span bytes)
{
    buffer_reset(to);
    buffer_put_span(to, bytes);
}

static void sent(size_t hub, struct span frame)
{
    switch (bus_frame_type(frame)) {
    case BUS_RELAY:
    case BUS_RELAYED:
        ck_assert_uint_lt(bus_count, BUS_FRAMES);
        bus[bus_count].from = hub;
        bus[bus_count].frame = (struct buffer){0};
        buffer_put_span(&bus[bus_count++].frame, frame);
        break;
    case BUS_ASK:
        keep(&last_ask, frame);
        break;
    default:
        ck_abort_msg("no other frame is expected");
    }
}

static void flush(size_t hub, session_t *session)
{
    struct emulation_stream *stream = session_connection(session);
    payload_t *frame;
    while (outbox_peek(session_outbox(session), &frame, 1, SIZE_MAX) == 1) {
        const uint8_t *text = ws_frame_payload(frame->data);
        buffer_put(&stream->heard, text, frame->size - (size_t)(text - frame->data));
        buffer_put_byte(&stream->heard, '\n');
        hub_session_sent(hubs[hub], session, 1, now_ms);
    }
}

static void told(size_t hub, const struct hub_effect *effect)
{
    struct emulation_request *request = effect->request;
    ck_assert_ptr_nonnull(request);
    ck_assert_uint_eq(request->hub, hub);
    ck_assert_int_ne(effect->emulated, HUB_EMULATED_LATER);
    request->relay = NULL;
    request->told++;
    request->emulated = effect->emulated;
}

void take_effects(size_t hub)
{
    struct hub_effect effect;
    for (;;) {
        hub_take_effect(hubs[hub], &effect);
        switch (effect.kind) {
        case HUB_NOTHING:
            return;
        case HUB_LISTEN:
            keep(&last_topic, effect.bytes);
            break;
        case HUB_UNLISTEN:
            break;
        case HUB_SEND:
            sent(hub, effect.bytes);
            break;
        case HUB_CLOSE: {
            struct emulation_stream *stream = session_connection(effect.session);
            ck_assert(!stream->is_closed);
            stream->is_closed = true;
            stream->code = effect.code;
        } /* fall through */
        case HUB_WRITE:
            flush(hub, effect.session);
            break;
        case HUB_RELAYED:
            told(hub, &effect);
            break;
        }
    }
}

void advance(int64_t ms)
{
    now_ms += ms;
    for (size_t i = 0; i < EMULATION_HUBS; i++) {
        hub_tick(hubs[i], now_ms);
        take_effects(i);
    }
}

void link_down(size_t hub)
{
    hub_broker_down(hubs[hub], now_ms);
    take_effects(hub);
}

void link_up(size_t hub)
{
    hub_broker_up(hubs[hub], EMULATION_BROKER, 0, now_ms);
    take_effects(hub);
}

const struct hub_metrics *metrics_of(size_t hub)
{
    return hub_metrics(hubs[hub], now_ms);
}

uint64_t relayed_bytes(size_t hub)
{
    return metrics_of(hub)->relay_bytes;
}

uint64_t relays_failed(size_t hub)
{
    return metrics_of(hub)->relays_failed_total;
}

/* --- clients --- */

void stream_open(struct emulation_stream *to, size_t hub, uint8_t secret)
{
    uint8_t bytes[HUB_SECRET_BYTES];
    memset(bytes, secret, sizeof bytes);
    *to = (struct emulation_stream){.hub = hub};
    to->session = hub_stream_opened(hubs[hub], to, bytes, now_ms);
}

/* The member of the connect reply. */
static void find_name(const char *reply, const char *member, size_t size, char *out)
{
    char start[20];
    snprintf(start, sizeof start, "\"%s\":\"", member);
    const char *at = strstr(reply, start);
    ck_assert_msg(at != NULL, "%s has no %s", reply, member);
    at += strlen(start);
    ck_assert_uint_eq(strcspn(at, "\""), size);
    memcpy(out, at, size);
    out[size] = '\0';
    ck_assert_uint_eq(strspn(out, "0123456789abcdef"), size);
}

void stream_connect(struct emulation_stream *to, size_t hub, uint8_t secret)
{
    stream_open(to, hub, secret);
    ck_assert_ptr_nonnull(to->session);
    hub_session_frame(hubs[hub], to->session, span_text("{\"id\":1,\"connect\":{}}"), now_ms);
    take_effects(hub);
    buffer_put_byte(&to->heard, '\0');
    find_name((const char *)to->heard.data, "session", 32, to->name);
    find_name((const char *)to->heard.data, "node", 16, to->node);
    buffer_reset(&to->heard);
}

void stream_gone(struct emulation_stream *stream)
{
    if (stream->session)
        hub_session_closed(hubs[stream->hub], stream->session, now_ms);
    stream->session = NULL;
    buffer_free(&stream->heard);
}

void expect_heard(struct emulation_stream *stream, const char *part)
{
    buffer_put_byte(&stream->heard, '\0');
    ck_assert_msg(strstr((const char *)stream->heard.data, part) != NULL, "%s came, no %s",
                  (const char *)stream->heard.data, part);
    buffer_reset(&stream->heard);
}

void expect_silence(struct emulation_stream *stream)
{
    ck_assert_msg(stream->heard.size == 0, "%.*s came", SPAN_ARG(buffer_span(&stream->heard)));
    ck_assert(!stream->is_closed);
}

enum hub_emulated emulate_for(struct emulation_request *to, size_t hub, const char *session,
                              const char *node, struct span frame)
{
    *to = (struct emulation_request){.hub = hub};
    struct client_emulation commands = {
        .session = span_text(session), .node = span_text(node), .frame = frame};
    enum hub_emulated emulated = hub_emulate(hubs[hub], &commands, to, &to->relay, now_ms);
    ck_assert((emulated == HUB_EMULATED_LATER) == (to->relay != NULL));
    take_effects(hub);
    return emulated;
}

enum hub_emulated emulate(struct emulation_request *to, size_t hub,
                          const struct emulation_stream *stream, const char *frame)
{
    return emulate_for(to, hub, stream->name, stream->node, span_text(frame));
}

enum hub_emulated emulate_size(struct emulation_request *to, size_t hub,
                               const struct emulation_stream *stream, size_t size)
{
    uint8_t frame[EMULATION_BYTES];
    ck_assert_uint_le(size, sizeof frame);
    memset(frame, ' ', sizeof frame);
    return emulate_for(to, hub, stream->name, stream->node, span_of(frame, size));
}

void relay(struct emulation_request *to, size_t hub, const struct emulation_stream *stream,
           const char *frame)
{
    ck_assert_int_eq(emulate(to, hub, stream, frame), HUB_EMULATED_LATER);
    expect_untold(to);
}

void abandon(struct emulation_request *from)
{
    hub_relay_abandon(hubs[from->hub], &from->relay);
    ck_assert_ptr_null(from->relay);
    hub_relay_abandon(hubs[from->hub], &from->relay); /* safe on NULL */
}

void expect_told(struct emulation_request *request, enum hub_emulated emulated)
{
    ck_assert_uint_eq(request->told, 1);
    ck_assert_int_eq(request->emulated, emulated);
    ck_assert_ptr_null(request->relay);
}

void expect_untold(const struct emulation_request *request)
{
    ck_assert_uint_eq(request->told, 0);
}

/* --- the bus --- */

size_t bus_waiting(void)
{
    return bus_count;
}

/* The caller frees it. */
static struct buffer pull(size_t *from)
{
    ck_assert_uint_gt(bus_count, 0);
    struct buffer frame = bus[0].frame;
    *from = bus[0].from;
    memmove(bus, bus + 1, --bus_count * sizeof *bus);
    return frame;
}

void bus_lose(void)
{
    size_t from;
    struct buffer frame = pull(&from);
    buffer_free(&frame);
}

static size_t hub_of(uint64_t incarnation)
{
    size_t i = 0;
    while (i < EMULATION_HUBS && incarnations[i] != incarnation)
        i++;
    return i;
}

void answer_relay(size_t hub, uint64_t token, uint16_t status)
{
    buffer_reset(&scratch);
    bus_put_relayed(&scratch, &(struct bus_relayed){
                                  .gateway = incarnations[hub], .token = token, .status = status});
    hub_relayed(hubs[hub], buffer_span(&scratch), now_ms);
    take_effects(hub);
}

static void move_relay(size_t from, struct bus_relay relay)
{
    size_t to = hub_of(relay.gateway);
    if (to == EMULATION_HUBS) {
        answer_relay(from, relay.token, STATUS_NOT_FOUND);
        return;
    }
    relay.gateway = incarnations[from];
    buffer_reset(&scratch);
    bus_put_relay(&scratch, &relay);
    hub_relay(hubs[to], buffer_span(&scratch), now_ms);
    take_effects(to);
}

void bus_move(void)
{
    size_t from;
    struct bus_relay relay;
    struct bus_relayed relayed;
    struct buffer frame = pull(&from);
    if (bus_get_relay(buffer_span(&frame), &relay)) {
        move_relay(from, relay);
    } else {
        ck_assert(bus_get_relayed(buffer_span(&frame), &relayed));
        size_t to = hub_of(relayed.gateway);
        ck_assert_uint_lt(to, EMULATION_HUBS);
        hub_relayed(hubs[to], buffer_span(&frame), now_ms);
        take_effects(to);
    }
    buffer_free(&frame);
}

void bus_move_all(void)
{
    while (bus_count > 0)
        bus_move();
}

struct bus_relay bus_relay_frame(void)
{
    struct bus_relay relay;
    ck_assert_uint_gt(bus_count, 0);
    ck_assert(bus_get_relay(buffer_span(&bus[0].frame), &relay));
    return relay;
}

struct bus_relayed bus_relayed_frame(void)
{
    struct bus_relayed relayed;
    ck_assert_uint_gt(bus_count, 0);
    ck_assert(bus_get_relayed(buffer_span(&bus[0].frame), &relayed));
    return relayed;
}

void expect_relay(const struct emulation_stream *stream, const char *commands)
{
    struct bus_relay frame = bus_relay_frame();
    ck_assert_uint_eq(frame.gateway, incarnations[stream->hub]);
    assert_text(frame.session, stream->name);
    assert_text(frame.commands, commands);
    bus_move();
}

/* --- other questions --- */

/* The hub asks the broker when it has heard its own fence. */
static void hear_fence(size_t hub)
{
    ck_assert_int_eq(last_topic.data[0], BUS_TOPIC_FENCE);
    struct span fence = exact_copy(buffer_span(&last_topic));
    hub_publication(hubs[hub], fence, now_ms);
    take_effects(hub);
    free_copy(fence);
}

uint64_t ask_to_subscribe(const struct emulation_stream *from)
{
    struct emulation_request request;
    struct bus_ask ask;
    struct bus_question question;
    ck_assert_int_eq(
        emulate(&request, from->hub, from, "{\"id\":8,\"subscribe\":{\"channel\":\"c\"}}"),
        HUB_EMULATED_DONE);
    hear_fence(from->hub);
    ck_assert(bus_get_ask(buffer_span(&last_ask), &ask));
    while (ask.items.size > 0) {
        ck_assert(bus_next_question(&ask.items, &question));
        if (question.kind == BUS_SUBSCRIBE)
            return question.token;
    }
    ck_abort_msg("no question");
    return 0;
}

void answer_question(size_t hub, uint64_t token)
{
    struct buffer items = {0}, frame = {0};
    bus_put_reply(&items, &(struct bus_reply){.token = token, .epoch = 5, .offset = 0});
    bus_put_answer(&frame, &(struct bus_answer){.count = 1, .items = buffer_span(&items)});
    hub_answer(hubs[hub], buffer_span(&frame), now_ms);
    take_effects(hub);
    buffer_free(&items);
    buffer_free(&frame);
}
