#include <string.h>

#include "broker/core_priv.h"
#include "proto/bus_codec.h"

/* --- who is there --- */

static struct span name_of(const party_t *gateway)
{
    return span_of(gateway->name, gateway->name_size);
}

static void tell_log(core_t *core, enum core_effect_kind kind, struct span text)
{
    buffer_put_span(effects_begin(&core->effects), text);
    (void)effects_end(&core->effects, kind, NULL, NULL);
}

void core_tell_gateway(core_t *core, enum core_effect_kind kind, const party_t *gateway)
{
    tell_log(core, kind, name_of(gateway));
}

static void drop_asks(core_t *core, party_t *gateway)
{
    core->frames -= gateway->asks;
    while (gateway->first_ask)
        party_drop_ask(gateway);
}

/* --- one name --- */

/* Of the gateways with one name the newest has it that does its work. Older ones go on, for a name
 * is nothing that a client needs; they are told, and are not ready until somebody has ended one of
 * the two. */
struct namesakes {
    core_t *core;
    struct span name;
    party_t *newest;
};

static bool is_newer(const party_t *one, const party_t *other)
{
    if (one->started_ms != other->started_ms)
        return one->started_ms > other->started_ms;
    return one->incarnation > other->incarnation;
}

static bool has_name(const party_t *party, const struct namesakes *all)
{
    return party->welcome && span_equal(name_of(party), all->name);
}

static void find_newest(party_t *party, void *arg)
{
    struct namesakes *all = arg;
    if (has_name(party, all) && party->leads && (!all->newest || is_newer(party, all->newest)))
        all->newest = party;
}

static void send_standing(core_t *core, party_t *gateway)
{
    gateway->tell = false;
    bus_put_standing(effects_begin(&core->effects),
                     &(struct bus_standing){.replaced = gateway->replaced,
                                            .revoked = core_revocation_number(core)});
    (void)core_end_send(core, gateway);
}

static void forget_replaced(core_t *core, party_t *gateway)
{
    core->metrics->gateways_replaced -= gateway->knows;
    gateway->replaced = gateway->knows = false;
}

/* Of one that does not do its work nothing is said but that. */
static void settle_one(party_t *party, void *arg)
{
    struct namesakes *all = arg;
    bool replaced = party->leads && party != all->newest;
    if (!has_name(party, all) || replaced == party->replaced)
        return;
    if (party->knows && party->leads)
        core_tell_gateway(all->core, CORE_GATEWAY_REINSTATED, party);
    forget_replaced(all->core, party);
    party->replaced = replaced;
    send_standing(all->core, party);
}

static party_t *settle_name(core_t *core, struct span name)
{
    struct namesakes all = {.core = core, .name = name};
    parties_visit(core->parties, find_newest, &all);
    parties_visit(core->parties, settle_one, &all);
    return all.newest;
}

void core_settle_name(core_t *core, party_t *gateway)
{
    gateway->unsettled = false;
    (void)settle_name(core, name_of(gateway));
}

/* ROUTER does not say when somebody leaves. The frame that tells a gateway of its replacement shows
 * whether it is still there: of one that was killed and started again nothing is said. */
void core_gateway_took(core_t *core, party_t *gateway, bool lost)
{
    gateway->tell = gateway->tell || lost;
    if (lost || !gateway->welcome || !gateway->replaced || gateway->knows)
        return;
    gateway->knows = true;
    core->metrics->gateways_replaced++;
    core->metrics->gateways_replaced_total++;
    core_tell_gateway(core, CORE_GATEWAY_REPLACED, gateway);
}

/* --- who comes and goes --- */

static void leave(core_t *core, party_t *gateway)
{
    gateway->welcome = false;
    core_revocations_left(core, gateway);
    core->gateways--;
    core_presence_left(core, gateway);
    forget_replaced(core, gateway);
    core_tell_gateway(core, CORE_GATEWAY_LEFT, gateway);
}

static void drop_questions(core_t *core, party_t *gateway)
{
    drop_asks(core, gateway);
    core_permits_drop(gateway);
}

void core_gateway_left(core_t *core, party_t *gateway)
{
    drop_questions(core, gateway);
    if (!gateway->welcome)
        return;
    leave(core, gateway);
    (void)settle_name(core, name_of(gateway));
}

struct newcomer {
    core_t *core;
    party_t *party;
};

/* A gateway that reconnects comes with another routing id. Its name is settled when it has joined.
 */
static void drop_old_link(party_t *party, void *arg)
{
    const struct newcomer *newcomer = arg;
    if (party == newcomer->party || !party->welcome ||
        party->incarnation != newcomer->party->incarnation)
        return;
    drop_questions(newcomer->core, party);
    leave(newcomer->core, party);
    if (!span_equal(name_of(party), name_of(newcomer->party)))
        (void)settle_name(newcomer->core, name_of(party));
}

static void begin(core_t *core, party_t *gateway)
{
    gateway->welcome = gateway->leads = true;
    gateway->unsettled = false;
    gateway->welcome_ms = gateway->heard_ms;
    gateway->figures_count = 0;
    gateway->quiet = 0;
    core->gateways++;
}

static void send_welcome(core_t *core, party_t *gateway)
{
    bus_put_welcome(effects_begin(&core->effects),
                    &(struct bus_welcome){.version = BUS_VERSION,
                                          .node = span_text(core->node),
                                          .broker = core->nonce,
                                          .revoked = core_revocation_number(core)});
    (void)core_end_send(core, gateway);
}

/* It may be older than one that died and was not missed yet. */
static void find_standing(core_t *core, party_t *gateway)
{
    party_t *newest = settle_name(core, name_of(gateway));
    if (newest != gateway)
        core_probe_gateway(core, newest);
    else
        send_standing(core, gateway);
}

static void join(core_t *core, party_t *gateway)
{
    struct bus_hello last = {.broker = gateway->known_broker, .revoked = gateway->revoked};
    bool joins = !gateway->welcome;
    gateway->refused = false;
    parties_visit(core->parties, drop_old_link, &(struct newcomer){core, gateway});
    if (joins)
        begin(core, gateway);
    core_presence_joined(core, gateway);
    if (joins)
        core_tell_gateway(core, CORE_GATEWAY_JOINED, gateway);
    core_revocations_send(core, gateway, &last);
    send_welcome(core, gateway);
    if (joins)
        find_standing(core, gateway);
}

/* With what stands in core->why. It says hello again and again: the log is told once. */
static void refuse(core_t *core, party_t *gateway, enum status status)
{
    struct span why = buffer_span(&core->why);
    core->metrics->gateways_refused_total++;
    if (!gateway->refused)
        tell_log(core, CORE_GATEWAY_REFUSED, why);
    gateway->refused = true;
    bus_put_refused(effects_begin(&core->effects),
                    &(struct bus_refused){.status = (uint16_t)status, .message = why});
    (void)core_end_send(core, gateway);
}

/* --- hello --- */

static void take_name(core_t *core, party_t *gateway, const struct bus_hello *hello)
{
    struct span name = hello->gateway;
    if (name.size > PARTY_NAME_MAX)
        name.size = PARTY_NAME_MAX;
    bool is_other =
        gateway->incarnation != hello->incarnation || !span_equal(name_of(gateway), name);
    if (is_other)
        core_gateway_left(core, gateway);
    if (name.size)
        memcpy(gateway->name, name.data, name.size);
    gateway->name_size = (uint8_t)name.size;
    gateway->incarnation = hello->incarnation;
    gateway->known_broker = hello->broker;
    gateway->revoked = hello->revoked;
    gateway->started_ms = hello->started_ms;
}

/* Of another version no more than that can be read. */
static bool refuse_version(core_t *core, party_t *gateway, struct span frame)
{
    unsigned version = bus_hello_version(frame);
    if (version == BUS_VERSION || version == 0)
        return false;
    core_gateway_left(core, gateway);
    buffer_reset(&core->why);
    buffer_printf(&core->why, "this broker speaks bus version %d, the gateway %u", BUS_VERSION,
                  version);
    refuse(core, gateway, STATUS_BAD_INPUT);
    return true;
}

static void hello(core_t *core, party_t *gateway, struct span frame)
{
    struct bus_hello hello;
    if (refuse_version(core, gateway, frame))
        return;
    if (!bus_get_hello(frame, &hello) || hello.version != BUS_VERSION) {
        core->metrics->gateway_frames_malformed_total++;
        return;
    }
    take_name(core, gateway, &hello);
    join(core, gateway);
}

/* --- figures: each second, so they are the gateway's heartbeat as well --- */

/* It thinks that it is welcome. Its next hello decides. */
static void tell_forgotten(core_t *core, party_t *gateway)
{
    static const char why[] = "the broker has taken this gateway for dead: it was silent too long";
    bus_put_refused(effects_begin(&core->effects),
                    &(struct bus_refused){.status = STATUS_NOT_FOUND, .message = span_text(why)});
    (void)core_end_send(core, gateway);
}

static void figures(core_t *core, party_t *gateway, struct span frame, int64_t now_ms)
{
    if (!gateway->welcome) {
        tell_forgotten(core, gateway);
        return;
    }
    core_figures(core, gateway, frame, now_ms);
    if (gateway->tell)
        send_standing(core, gateway);
}

/* --- XPUB --- */

static void set_interest(core_t *core, struct span key, bool interested, int64_t now_ms)
{
    struct address address;
    if (!address_decode(key, &address)) {
        core->metrics->subscriptions_malformed_total++;
        return;
    }
    stream_header_t *header = interested ? streams_use(core->streams, key, &address, now_ms)
                                         : streams_find(core->streams, key);
    if (header) {
        streams_set_interest(core->streams, header, interested, now_ms);
    } else if (interested) {
        /* XPUB will not report this topic again, so nobody may rely on the interest any more. */
        core->publish_all = true;
        core->metrics->interest_lost_total++;
    }
}

/* Reading this subscription means that XPUB has installed all earlier ones of its gateway. */
static void fence(core_t *core, struct span topic, bool subscribed)
{
    uint64_t incarnation, number;
    if (!bus_get_fence(topic, &incarnation, &number)) {
        core->metrics->subscriptions_malformed_total++;
        return;
    }
    if (!subscribed)
        return;
    buffer_put_span(effects_begin(&core->effects), topic);
    if (effects_end(&core->effects, CORE_PUBLISH, NULL, NULL))
        core->metrics->fences_total++;
    else
        core->metrics->publish_failures_total++;
}

void core_xpub_event(core_t *self, struct span bytes, int64_t now_ms)
{
    if (bytes.size < 2 || bytes.data[0] > 1) {
        self->metrics->subscriptions_malformed_total++;
        return;
    }
    bool subscribed = bytes.data[0];
    struct span topic = span_of(bytes.data + 1, bytes.size - 1);
    switch (topic.data[0]) {
    case BUS_TOPIC_PUBLICATION:
        set_interest(self, span_of(topic.data + 1, topic.size - 1), subscribed, now_ms);
        break;
    case BUS_TOPIC_FENCE:
        fence(self, topic, subscribed);
        break;
    case BUS_TOPIC_CANARY:
    case BUS_TOPIC_DIGEST:
        self->metrics->subscriptions_malformed_total += topic.size != 1;
        break;
    default:
        self->metrics->subscriptions_malformed_total++;
        break;
    }
}

/* --- frames --- */

void core_gateway_frame(core_t *self, struct span peer, struct span bytes, int64_t now_ms)
{
    self->now_ms = now_ms;
    party_t *gateway = parties_get(self->parties, PARTY_GATEWAY, peer, now_ms);
    if (!gateway) {
        self->metrics->answers_dropped_total++;
        return;
    }
    switch (bus_frame_type(bytes)) {
    case BUS_HELLO:
        hello(self, gateway, bytes);
        break;
    case BUS_ASK:
        core_ask(self, gateway, bytes);
        break;
    case BUS_PRESENCE_PART:
        core_presence_part(self, gateway, bytes, now_ms);
        break;
    case BUS_REVOKED:
        core_revoked(self, gateway, bytes);
        break;
    case BUS_RELAY:
        core_relay(self, gateway, bytes);
        break;
    case BUS_RELAYED:
        core_relayed(self, gateway, bytes);
        break;
    case BUS_FIGURES:
        figures(self, gateway, bytes, now_ms);
        break;
    default:
        self->metrics->gateway_frames_malformed_total++;
        break;
    }
}
