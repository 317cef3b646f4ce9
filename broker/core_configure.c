#include "broker/core_priv.h"
#include "common/policy.h"

static void take_limits(struct core_settings *to, const struct core_settings *from)
{
    to->sites = from->sites;
    to->policy = from->policy;
    to->presence = from->presence;
    to->asks = from->asks;
    to->revocations.limit_ms = from->revocations.limit_ms;
    to->handlers = from->handlers;
    to->payload_bytes = from->payload_bytes;
    to->unanswered_requests = from->unanswered_requests;
    to->idempotency_ms = from->idempotency_ms;
    to->idempotency_keys = from->idempotency_keys;
}

bool core_configure(core_t *self, const struct core_settings *settings, int64_t now_ms)
{
    bool checks;
    self->now_ms = now_ms;
    if (!streams_configure(self->streams, &settings->streams, now_ms, &checks))
        return false;
    bool is_alike = policy_is_alike(self->settings.policy, settings->policy);
    take_limits(&self->settings, settings);
    idempotency_configure(self->idempotency, settings->idempotency_ms, settings->idempotency_keys);
    presence_configure(self->presence, &settings->presence);
    asks_configure(self->asks, &settings->asks);
    revocations_configure(self->revocations, &settings->revocations);
    if (checks || !is_alike)
        core_recheck_all(self);
    return true;
}
