#include "broker/core_revoke.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "broker/core_priv.h"

/* One that not all gateways have confirmed. */
struct revocation {
    TAILQ_ENTRY(revocation) link;
    uint64_t number;
    struct reply_to to;
    bool disconnects;
    int64_t end_ms;
    struct backend_revoked result;
    size_t open; /* of the expected ones */
    size_t count;
    party_t *expected[]; /* NULL: has answered, or never will */
};

struct revocations {
    struct revocations_settings settings;
    TAILQ_HEAD(, revocation) pending; /* the oldest first */
    size_t pending_count;
    uint64_t number;
    struct buffer *log; /* frames, by number modulo `kept` */
};

/* --- life --- */

revocations_t *revocations_new(const struct revocations_settings *settings)
{
    revocations_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->settings = *settings;
    TAILQ_INIT(&self->pending);
    self->log = calloc(settings->kept, sizeof *self->log);
    if (!self->log)
        revocations_destroy(&self);
    return self;
}

void revocations_configure(revocations_t *self, const struct revocations_settings *settings)
{
    self->settings.limit_ms = settings->limit_ms;
}

static void forget(revocations_t *self, struct revocation *revocation)
{
    TAILQ_REMOVE(&self->pending, revocation, link);
    self->pending_count--;
    free(revocation);
}

void revocations_destroy(revocations_t **self_p)
{
    revocations_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    while (!TAILQ_EMPTY(&self->pending))
        forget(self, TAILQ_FIRST(&self->pending));
    for (size_t i = 0; self->log && i < self->settings.kept; i++)
        buffer_free(&self->log[i]);
    free(self->log);
    free(self);
}

uint64_t core_revocation_number(const core_t *core)
{
    return core->revocations->number;
}

/* --- what it is about --- */

static struct bus_revoke scope_of(const struct backend_request *request,
                                  const struct address *scope, enum subscriber_type type)
{
    const struct backend_target *target = &request->target;
    bool disconnects = request->op == BACKEND_DISCONNECT;
    struct bus_revoke out = {.site = scope->site, .type = (uint8_t)type, .reason = request->reason};
    out.mode = disconnects ? BUS_REVOKE_DISCONNECT
                           : (request->deny ? BUS_REVOKE_DENY : BUS_REVOKE_RECHECK);
    out.scope = BUS_SCOPE_SITE;
    if (request->subscriber.is_given) {
        out.scope |= BUS_SCOPE_SUBSCRIBER;
        out.subscriber = request->subscriber.id;
    }
    if (request->subscriber.has_type)
        out.scope |= BUS_SCOPE_TYPE;
    if (disconnects)
        return out;
    out.scope |= BUS_SCOPE_APP;
    out.app = scope->app;
    if (target->has_channel) {
        out.scope |= BUS_SCOPE_CHANNEL;
        out.channel = target->channel;
    }
    if (target->has_resource) {
        out.scope |= BUS_SCOPE_RESOURCE;
        out.resource = target->resource;
    }
    return out;
}

static bool is_meant(const struct reader *reader, void *arg)
{
    const struct bus_revoke *revoke = arg;
    unsigned scope = revoke->scope;
    struct address address;
    if (!address_decode(reader->address, &address))
        return true;
    return (!(scope & BUS_SCOPE_SITE) || span_equal(address.site, revoke->site)) &&
           (!(scope & BUS_SCOPE_APP) || span_equal(address.app, revoke->app)) &&
           (!(scope & BUS_SCOPE_CHANNEL) || span_equal(address.channel, revoke->channel)) &&
           (!(scope & BUS_SCOPE_RESOURCE) || span_equal(address.resource, revoke->resource)) &&
           (!(scope & BUS_SCOPE_TYPE) || reader->type == revoke->type) &&
           (!(scope & BUS_SCOPE_SUBSCRIBER) || span_equal(reader->id, revoke->subscriber));
}

static enum status read_request(core_t *core, const party_t *from,
                                const struct backend_request *request, struct bus_revoke *out)
{
    struct address scope;
    enum subscriber_type type = SUBSCRIBER_VISITOR;
    enum status status = request->target.has_channel
                             ? sites_resolve(core->settings.sites, from->endpoint, SITE_REVOKE,
                                             &request->target, &scope, &core->why)
                             : sites_scope(core->settings.sites, from->endpoint, SITE_REVOKE,
                                           &request->target, &scope, &core->why);
    if (status)
        return status;
    const struct backend_subscriber *who = &request->subscriber;
    if (who->has_type && !subscriber_type_parse(who->type, &type)) {
        buffer_put_text(&core->why, "subscriber: type must be VISITOR, MEMBER or ADMIN");
        return STATUS_BAD_INPUT;
    }
    *out = scope_of(request, &scope, type);
    return STATUS_OK;
}

/* --- telling gateways --- */

static bool send_frame(core_t *core, party_t *gateway, struct span frame)
{
    buffer_put_span(effects_begin(&core->effects), frame);
    return core_end_send(core, gateway);
}

/* Remembers it, for gateways that are away. */
static struct span log_frame(revocations_t *self, struct bus_revoke *revoke)
{
    revoke->number = ++self->number;
    struct buffer *frame = &self->log[self->number % self->settings.kept];
    buffer_free(frame);
    bus_put_revoke(frame, revoke);
    return buffer_span(frame);
}

static bool is_kept(const revocations_t *self, uint64_t number)
{
    return number > 0 && number + self->settings.kept > self->number &&
           !self->log[number % self->settings.kept].failed;
}

static void send_from(core_t *core, party_t *gateway, uint64_t number)
{
    revocations_t *self = core->revocations;
    for (; number <= self->number; number++)
        if (is_kept(self, number))
            (void)send_frame(core, gateway, buffer_span(&self->log[number % self->settings.kept]));
}

/* From which on all are kept; the next one's number when none is. */
static uint64_t first_kept(const revocations_t *self)
{
    uint64_t first = self->number + 1;
    while (is_kept(self, first - 1))
        first--;
    return first;
}

/* Does the log have all that the gateway lacks? */
static bool can_replay(const core_t *core, const struct bus_hello *hello)
{
    const revocations_t *self = core->revocations;
    if (hello->broker != core->nonce || hello->revoked > self->number)
        return false;
    for (uint64_t number = hello->revoked + 1; number <= self->number; number++)
        if (!is_kept(self, number))
            return false;
    return true;
}

void core_revocations_send(core_t *core, party_t *gateway, const struct bus_hello *hello)
{
    revocations_t *self = core->revocations;
    if (hello->broker == 0)
        return; /* it has no subscriptions */
    if (can_replay(core, hello)) {
        send_from(core, gateway, hello->revoked + 1);
        return;
    }
    uint64_t first = first_kept(self);
    core->metrics->revocations_unknown_total++;
    bus_put_revoke(effects_begin(&core->effects),
                   &(struct bus_revoke){.number = first - 1,
                                        .mode = BUS_REVOKE_RECHECK,
                                        .scope = BUS_SCOPE_FORGOTTEN});
    (void)core_end_send(core, gateway);
    send_from(core, gateway, first);
}

/* --- confirmations --- */

static void finish(core_t *core, struct revocation *revocation)
{
    const struct wire_value *id;
    core->metrics->revocations_unconfirmed_total += revocation->result.unconfirmed;
    struct buffer *to = core_begin_reply(core, &revocation->to, &id);
    if (to) {
        backend_write_revoked(to, id, &revocation->result, revocation->disconnects);
        core_end_reply(core, revocation->to.party);
    }
    forget(core->revocations, revocation);
}

/* This gateway has answered (result), or never will (NULL). */
static void settle(core_t *core, struct revocation *revocation, const party_t *gateway,
                   const struct bus_revoked *result)
{
    for (size_t i = 0; i < revocation->count; i++) {
        if (revocation->expected[i] != gateway)
            continue;
        revocation->expected[i] = NULL;
        revocation->open--;
        revocation->result.unconfirmed += !result;
        revocation->result.affected += result ? result->affected : 0;
        revocation->result.ended += result ? result->ended : 0;
    }
    if (revocation->open == 0)
        finish(core, revocation);
}

void core_revoked(core_t *core, party_t *gateway, struct span frame)
{
    struct bus_revoked result;
    if (!bus_get_revoked(frame, &result)) {
        core->metrics->gateway_frames_malformed_total++;
        return;
    }
    struct revocation *revocation;
    TAILQ_FOREACH (revocation, &core->revocations->pending, link) {
        if (revocation->number != result.number)
            continue;
        settle(core, revocation, gateway, &result);
        return;
    }
}

void core_revocations_left(core_t *core, party_t *gateway)
{
    struct revocation *revocation, *next;
    for (revocation = TAILQ_FIRST(&core->revocations->pending); revocation; revocation = next) {
        next = TAILQ_NEXT(revocation, link);
        settle(core, revocation, gateway, NULL);
    }
}

void core_revocations_tick(core_t *core, int64_t now_ms)
{
    struct revocation *revocation;
    while ((revocation = TAILQ_FIRST(&core->revocations->pending)) &&
           revocation->end_ms <= now_ms) {
        revocation->result.unconfirmed += revocation->open;
        finish(core, revocation);
    }
}

void core_revocations_measure(const core_t *core)
{
    core->metrics->revocations_pending = core->revocations->pending_count;
}

bool core_no_revoking(const core_t *core)
{
    return TAILQ_EMPTY(&core->revocations->pending);
}

/* --- the requests --- */

struct telling {
    core_t *core;
    struct revocation *revocation;
    struct span frame;
};

static bool is_told(const party_t *party)
{
    return party->endpoint == PARTY_GATEWAY && party->welcome;
}

static void tell_gateway(party_t *party, void *arg)
{
    struct telling *telling = arg;
    if (!is_told(party))
        return;
    struct revocation *revocation = telling->revocation;
    if (send_frame(telling->core, party, telling->frame)) {
        revocation->expected[revocation->count++] = party;
        revocation->open++;
    } else {
        revocation->result.unconfirmed++;
    }
}

static struct revocation *revocation_new(core_t *core, party_t *from,
                                         const struct backend_request *request, int64_t now_ms)
{
    size_t room = core->gateways * sizeof(party_t *);
    struct revocation *revocation = calloc(1, sizeof *revocation + room);
    if (!revocation || !core_keep_reply(core, &revocation->to, from, request->id)) {
        free(revocation);
        return NULL;
    }
    revocation->disconnects = request->op == BACKEND_DISCONNECT;
    revocation->end_ms = now_ms + core->revocations->settings.limit_ms;
    return revocation;
}

void core_revoke(core_t *core, party_t *from, const struct backend_request *request, int64_t now_ms)
{
    struct bus_revoke revoke;
    enum status status = read_request(core, from, request, &revoke);
    struct revocation *revocation = status ? NULL : revocation_new(core, from, request, now_ms);
    if (!status && !revocation) {
        status = STATUS_UNAVAILABLE;
        buffer_put_text(&core->why, "out of memory");
    }
    if (status) {
        core_refuse(core, from, request, status, buffer_span(&core->why));
        return;
    }
    core->metrics->revocations_total++;
    if (revoke.mode != BUS_REVOKE_DISCONNECT) {
        core_asks_void(core, revoke.site, is_meant, &revoke);
        core_permits_void(core, is_meant, &revoke);
    }
    revocations_t *self = core->revocations;
    struct telling telling = {core, revocation, log_frame(self, &revoke)};
    revocation->number = self->number;
    TAILQ_INSERT_TAIL(&self->pending, revocation, link);
    self->pending_count++;
    parties_visit(core->parties, tell_gateway, &telling);
    /* Those that were lost a moment ago may go on with what they have; they are told when they
     * come back. */
    revocation->result.unconfirmed += core_presence_lost(core, now_ms);
    if (revocation->open == 0)
        finish(core, revocation);
}

static void tell_only(party_t *party, void *arg)
{
    const struct telling *telling = arg;
    if (is_told(party))
        (void)send_frame(telling->core, party, telling->frame);
}

/* Nobody waits for the confirmations. A gateway that is away gets it when it comes back. */
void core_recheck_all(core_t *core)
{
    struct bus_revoke revoke = {.mode = BUS_REVOKE_RECHECK};
    core->metrics->rechecks_total++;
    core_permits_void(core, is_meant, &revoke);
    core_permits_rule(core);
    struct telling telling = {.core = core, .frame = log_frame(core->revocations, &revoke)};
    parties_visit(core->parties, tell_only, &telling);
}
