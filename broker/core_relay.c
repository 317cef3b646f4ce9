#include "broker/core_priv.h"
#include "proto/bus_codec.h"

/* The commands of clients whose requests have reached a gateway that does not have their stream go
 * through here; nothing of them is kept. */

struct search {
    uint64_t incarnation;
    party_t *found;
};

static void find(party_t *party, void *arg)
{
    struct search *search = arg;
    if (party->endpoint == PARTY_GATEWAY && party->welcome &&
        party->incarnation == search->incarnation)
        search->found = party;
}

/* NULL: there is none now. */
static party_t *find_gateway(core_t *core, uint64_t incarnation)
{
    struct search search = {.incarnation = incarnation};
    parties_visit(core->parties, find, &search);
    return search.found;
}

static void answer(core_t *core, party_t *gateway, uint64_t token, enum status status)
{
    bus_put_relayed(effects_begin(&core->effects),
                    &(struct bus_relayed){.gateway = gateway->incarnation,
                                          .token = token,
                                          .status = (uint16_t)status});
    (void)core_end_send(core, gateway);
}

/* A broker that has just started has not heard of all gateways yet. */
static enum status unknown(const core_t *core)
{
    bool is_new = core->now_ms - core->started_ms < core->settings.presence.return_ms;
    return is_new ? STATUS_UNAVAILABLE : STATUS_NOT_FOUND;
}

void core_relay(core_t *core, party_t *from, struct span frame)
{
    struct bus_relay relay;
    if (!bus_get_relay(frame, &relay)) {
        core->metrics->gateway_frames_malformed_total++;
        return;
    }
    core->metrics->relays_total++;
    party_t *to = find_gateway(core, relay.gateway);
    if (!from->welcome || !to) {
        core->metrics->relays_unknown_total++;
        answer(core, from, relay.token, unknown(core));
        return;
    }
    relay.gateway = from->incarnation;
    bus_put_relay(effects_begin(&core->effects), &relay);
    if (!core_end_send(core, to))
        answer(core, from, relay.token, STATUS_UNAVAILABLE);
}

void core_relayed(core_t *core, const party_t *from, struct span frame)
{
    struct bus_relayed relayed;
    if (!bus_get_relayed(frame, &relayed)) {
        core->metrics->gateway_frames_malformed_total++;
        return;
    }
    party_t *to = from->welcome ? find_gateway(core, relayed.gateway) : NULL;
    if (!to)
        return;
    buffer_put_span(effects_begin(&core->effects), frame);
    (void)core_end_send(core, to);
}
