#include <stdio.h>
#include <stdlib.h>

#include "gateway/hub_priv.h"
#include "proto/status.h"

#define NAME_BYTES (2 * HUB_SECRET_BYTES)
/* An answer that has not come by then is lost; until then what was sent may still fill the bus. */
#define FORGET_MS 30000
/* What a relay costs besides its commands. */
#define RELAY_COST 256
/* A broker that has just started does not know yet which gateways there are. */
#define AGAIN_MS 200

/* Never compared with what a client says but by the map, whose hash is keyed: how long that takes
 * tells nothing about the secret. */
struct emulation {
    session_t *session;
    char name[NAME_BYTES + 1];
};

struct relay {
    TAILQ_ENTRY(relay) link;
    void *request;           /* NULL: nobody wants to know */
    question_token question; /* 0: answered */
    int64_t sent_ms;
    size_t bytes;     /* that count until it is answered */
    payload_t *frame; /* until it is decided */
    bool is_sent;     /* to the broker that is there */
    int64_t again_ms; /* not sent before, unless another broker comes */
    uint8_t state;
    uint8_t emulated;
};

static struct span emulation_name(const void *item)
{
    const emulation_t *self = item;
    return span_of(self->name, NAME_BYTES);
}

static void discard(hub_t *self, relay_t *relay);

/* --- life --- */

bool emulations_begin(hub_t *self)
{
    TAILQ_INIT(&self->relays);
    TAILQ_INIT(&self->relays_answered);
    TAILQ_INIT(&self->relays_late);
    snprintf(self->node, sizeof self->node, "%016llx",
             (unsigned long long)self->settings.incarnation);
    self->emulations = map_new(emulation_name);
    return self->emulations;
}

static void discard_all(hub_t *self, struct relays *list)
{
    while (!TAILQ_EMPTY(list))
        discard(self, TAILQ_FIRST(list));
}

void emulations_end(hub_t *self)
{
    if (!self->emulations)
        return;
    discard_all(self, &self->relays);
    discard_all(self, &self->relays_answered);
    discard_all(self, &self->relays_late);
    map_destroy(&self->emulations);
}

/* --- sessions --- */

session_t *hub_stream_opened(hub_t *self, void *connection, const uint8_t secret[HUB_SECRET_BYTES],
                             int64_t now_ms)
{
    session_t *session = hub_session_opened(self, connection, now_ms);
    emulation_t *emulation = calloc(1, sizeof *emulation);
    if (session && emulation) {
        emulation->session = session;
        for (size_t i = 0; i < HUB_SECRET_BYTES; i++)
            snprintf(emulation->name + 2 * i, 3, "%02x", secret[i]);
        if (!map_get(self->emulations, emulation_name(emulation)) &&
            map_put(self->emulations, emulation)) {
            session->emulation = emulation;
            return session;
        }
    }
    free(emulation);
    if (session)
        hub_session_closed(self, session, now_ms);
    return NULL;
}

void emulation_end(hub_t *self, session_t *session)
{
    if (!session->emulation)
        return;
    map_remove(self->emulations, emulation_name(session->emulation));
    free(session->emulation);
    session->emulation = NULL;
}

void emulation_describe(const hub_t *self, const session_t *session, struct client_connected *to)
{
    if (!session->emulation)
        return;
    to->session = emulation_name(session->emulation);
    to->node = span_text(self->node);
}

/* Commands for a session that is over are done with, too: its stream says why, and an error would
 * make the SDK drop that stream before it has read it. */
static void take_commands(hub_t *self, struct span name, struct span frame)
{
    const emulation_t *emulation = map_get(self->emulations, name);
    if (emulation)
        hub_session_frame(self, emulation->session, frame, self->now_ms);
}

/* --- to other gateways --- */

static struct relays *list_of(hub_t *self, const relay_t *relay)
{
    struct relays *const lists[] = {[RELAY_WAITING] = &self->relays,
                                    [RELAY_ANSWERED] = &self->relays_answered,
                                    [RELAY_LATE] = &self->relays_late};
    return lists[relay->state];
}

static void move(hub_t *self, relay_t *relay, enum relay_state state)
{
    TAILQ_REMOVE(list_of(self, relay), relay, link);
    relay->state = (uint8_t)state;
    TAILQ_INSERT_TAIL(list_of(self, relay), relay, link);
}

/* Its bytes do not count any more. */
static void close_question(hub_t *self, relay_t *relay)
{
    question_close(self->questions, &relay->question);
    self->relay_bytes -= relay->bytes;
    relay->bytes = 0;
}

static void discard(hub_t *self, relay_t *relay)
{
    close_question(self, relay);
    TAILQ_REMOVE(list_of(self, relay), relay, link);
    payload_release(&relay->frame);
    free(relay);
}

/* 16 hexadecimal digits, as we write them. */
static bool parse_node(struct span text, uint64_t *out)
{
    *out = 0;
    for (size_t i = 0; i < text.size; i++) {
        uint8_t digit = text.data[i];
        bool is_decimal = digit >= '0' && digit <= '9';
        if (!is_decimal && (digit < 'a' || digit > 'f'))
            return false;
        *out = *out << 4 | (uint64_t)(is_decimal ? digit - '0' : digit - 'a' + 10);
    }
    return text.size == sizeof((hub_t *)0)->node - 1;
}

static payload_t *write_relay(hub_t *self, uint64_t gateway, const relay_t *relay,
                              const struct client_emulation *commands)
{
    buffer_reset(&self->text);
    bus_put_relay(&self->text, &(struct bus_relay){.gateway = gateway,
                                                   .token = relay->question,
                                                   .session = commands->session,
                                                   .commands = commands->frame});
    payload_t *frame = self->text.failed ? NULL : payload_new(self->text.size);
    if (frame)
        memcpy(frame->data, self->text.data, self->text.size);
    return frame;
}

/* What is lost for want of memory is late. */
static void send_relay(hub_t *self, relay_t *relay)
{
    if (!self->broker_is_up || relay->is_sent)
        return;
    relay->is_sent = true;
    hub_queue(self, HUB_SEND, payload_span(relay->frame));
}

void relays_send(hub_t *self)
{
    relay_t *relay;
    TAILQ_FOREACH (relay, &self->relays, link)
        send_relay(self, relay);
}

static relay_t *relay_new(hub_t *self, uint64_t gateway, const struct client_emulation *commands,
                          void *request)
{
    relay_t *relay = calloc(1, sizeof *relay);
    if (!relay)
        return NULL;
    relay->request = request;
    relay->sent_ms = self->now_ms;
    relay->bytes = commands->frame.size + RELAY_COST;
    relay->question = question_open(self->questions, QUESTION_RELAY, relay);
    relay->frame = relay->question ? write_relay(self, gateway, relay, commands) : NULL;
    self->relay_bytes += relay->bytes;
    TAILQ_INSERT_TAIL(&self->relays, relay, link);
    if (relay->frame) {
        send_relay(self, relay);
        return relay;
    }
    discard(self, relay);
    return NULL;
}

static bool can_relay(const hub_t *self, const struct client_emulation *commands)
{
    size_t bytes = commands->frame.size + RELAY_COST;
    return bytes <= self->settings.relay_bytes &&
           self->relay_bytes <= self->settings.relay_bytes - bytes;
}

enum hub_emulated hub_emulate(hub_t *self, const struct client_emulation *commands, void *request,
                              relay_t **relay, int64_t now_ms)
{
    uint64_t gateway;
    self->now_ms = now_ms;
    if (commands->session.size != NAME_BYTES || !parse_node(commands->node, &gateway))
        return HUB_EMULATED_UNKNOWN;
    if (gateway == self->settings.incarnation) {
        take_commands(self, commands->session, commands->frame);
        return HUB_EMULATED_DONE;
    }
    *relay = can_relay(self, commands) ? relay_new(self, gateway, commands, request) : NULL;
    if (!*relay) {
        self->metrics.relays_failed_total++;
        return HUB_EMULATED_UNAVAILABLE;
    }
    self->metrics.relays_total++;
    return HUB_EMULATED_LATER;
}

void hub_relay_abandon(hub_t *self, relay_t **relay_p)
{
    relay_t *relay = *relay_p;
    *relay_p = NULL;
    if (!relay)
        return;
    relay->request = NULL;
    if (relay->state == RELAY_ANSWERED && relay->question)
        move(self, relay, RELAY_LATE);
    else if (relay->state == RELAY_ANSWERED)
        discard(self, relay);
}

/* --- their answers --- */

/* It is over; who waits for it is told so. */
static void decide(hub_t *self, relay_t *relay, enum hub_emulated emulated)
{
    if (relay->state != RELAY_WAITING)
        return;
    if (emulated == HUB_EMULATED_UNAVAILABLE)
        self->metrics.relays_failed_total++;
    relay->emulated = (uint8_t)emulated;
    payload_release(&relay->frame);
    move(self, relay, relay->request ? RELAY_ANSWERED : RELAY_LATE);
}

/* Whoever waits has been told, or nobody waits: nothing is left to do for it. */
static void settle(hub_t *self, relay_t *relay)
{
    close_question(self, relay);
    if (relay->state == RELAY_LATE)
        discard(self, relay);
}

static void give_up(hub_t *self, relay_t *relay)
{
    bool is_sent = relay->is_sent;
    decide(self, relay, HUB_EMULATED_UNAVAILABLE);
    if (!is_sent) /* nothing is on its way */
        settle(self, relay);
}

void relay_give_up(hub_t *self, relay_t *relay)
{
    if (!relay->is_sent)
        return; /* the next broker will do */
    decide(self, relay, HUB_EMULATED_UNAVAILABLE);
    settle(self, relay);
}

static enum hub_emulated emulated_of(uint16_t status)
{
    switch (status) {
    case STATUS_OK:
        return HUB_EMULATED_DONE;
    case STATUS_NOT_FOUND:
        return HUB_EMULATED_UNKNOWN;
    default:
        return HUB_EMULATED_UNAVAILABLE;
    }
}

void hub_relayed(hub_t *self, struct span frame, int64_t now_ms)
{
    struct bus_relayed answer;
    self->now_ms = now_ms;
    if (!bus_get_relayed(frame, &answer)) {
        self->metrics.publications_malformed_total++;
        return;
    }
    enum question_kind kind;
    relay_t *relay = question_find(self->questions, answer.token, &kind);
    if (!relay || kind != QUESTION_RELAY)
        return;
    enum hub_emulated emulated = emulated_of(answer.status);
    if (emulated == HUB_EMULATED_UNAVAILABLE && relay->state == RELAY_WAITING) {
        relay->is_sent = false;
        relay->again_ms = now_ms + AGAIN_MS;
        return;
    }
    decide(self, relay, emulated);
    settle(self, relay);
}

void relays_tick(hub_t *self)
{
    relay_t *relay;
    while ((relay = TAILQ_FIRST(&self->relays)) &&
           self->now_ms - relay->sent_ms >= self->settings.reply_ms)
        give_up(self, relay);
    if (self->broker_is_up)
        TAILQ_FOREACH (relay, &self->relays, link)
            if (relay->again_ms <= self->now_ms)
                send_relay(self, relay);
    while ((relay = TAILQ_FIRST(&self->relays_late)) && self->now_ms - relay->sent_ms >= FORGET_MS)
        discard(self, relay);
}

static int64_t until(int64_t at_ms, int64_t now_ms)
{
    return at_ms > now_ms ? at_ms - now_ms : 0;
}

static int64_t sooner(int64_t a, int64_t b)
{
    return a < 0 || (b >= 0 && b < a) ? b : a;
}

int64_t relays_wait(const hub_t *self, int64_t now_ms)
{
    const relay_t *first = TAILQ_FIRST(&self->relays), *late = TAILQ_FIRST(&self->relays_late);
    const relay_t *relay;
    int64_t wait = first ? until(first->sent_ms + self->settings.reply_ms, now_ms) : -1;
    if (late)
        wait = sooner(wait, until(late->sent_ms + FORGET_MS, now_ms));
    if (self->broker_is_up)
        TAILQ_FOREACH (relay, &self->relays, link)
            if (!relay->is_sent)
                wait = sooner(wait, until(relay->again_ms, now_ms));
    return wait;
}

bool relay_take(hub_t *self, struct hub_effect *out)
{
    relay_t *relay = TAILQ_FIRST(&self->relays_answered);
    if (!relay)
        return false;
    *out = (struct hub_effect){
        .kind = HUB_RELAYED, .request = relay->request, .emulated = relay->emulated};
    relay->request = NULL;
    if (relay->question)
        move(self, relay, RELAY_LATE);
    else
        discard(self, relay);
    return true;
}

/* --- from other gateways --- */

void hub_relay(hub_t *self, struct span frame, int64_t now_ms)
{
    struct bus_relay relay;
    self->now_ms = now_ms;
    if (!bus_get_relay(frame, &relay)) {
        self->metrics.publications_malformed_total++;
        return;
    }
    self->metrics.relays_received_total++;
    take_commands(self, relay.session, relay.commands);
    buffer_reset(&self->text);
    bus_put_relayed(
        &self->text,
        &(struct bus_relayed){.gateway = relay.gateway, .token = relay.token, .status = STATUS_OK});
    if (!self->text.failed)
        hub_queue(self, HUB_SEND, buffer_span(&self->text));
}
