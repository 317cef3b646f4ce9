#include "broker/plan.h"

#include <stdlib.h>

static void add_backends(struct plan *self, const char *setting, const char *address,
                         const char *where, struct sites_principal principal)
{
    size_t index = self->backend_count++;
    self->backends[index] = (struct bus_endpoint){setting, address};
    self->principals[index] = principal;
    self->where[index] = where;
}

static bool plan_backends(struct plan *self, const options_t *options)
{
    size_t room = options->backends_count + 1;
    self->backends = calloc(room, sizeof *self->backends);
    self->principals = calloc(room, sizeof *self->principals);
    self->where = calloc(room, sizeof *self->where);
    if (!self->backends || !self->principals || !self->where)
        return false;
    if (*options->broker.backends)
        add_backends(self, "broker.backends", options->broker.backends, "",
                     (struct sites_principal){options->node.site, "",
                                              "publish history preview handle revoke"});
    for (size_t i = 0; i < options->backends_count; i++) {
        const struct options_backends *from = &options->backends[i];
        const char *site = *from->site ? from->site : options->node.site;
        add_backends(self, "backends.bind", from->bind, from->where,
                     (struct sites_principal){site, from->apps, from->may});
    }
    return true;
}

static struct streams_rule channel_rule(const struct options_channel *from)
{
    return (struct streams_rule){
        .limits = {.messages = from->messages,
                   .bytes = from->bytes,
                   .age_ms = (int64_t)from->seconds * 1000},
        .client_history = from->client_history,
        .presence = (enum streams_presence)from->presence,
        .check_each = from->check == CHECK_MESSAGE,
        .slow_reader = (enum slow_reader)from->slow_reader,
    };
}

static bool plan_channels(struct plan *self, const options_t *options)
{
    self->channels = calloc(options->channel_count + 1, sizeof *self->channels);
    if (!self->channels)
        return false;
    for (size_t i = 0; i < options->channel_count; i++)
        self->channels[i] =
            (struct streams_channel){options->channel[i].label, channel_rule(&options->channel[i])};
    self->channel_count = options->channel_count;
    return true;
}

static bool plan_rules(struct plan *self, const options_t *options)
{
    self->rules = calloc(options->rule_count + 1, sizeof *self->rules);
    if (!self->rules)
        return false;
    for (size_t i = 0; i < options->rule_count; i++) {
        const struct options_rule *from = &options->rule[i];
        self->rules[i] = (struct policy_rule){.label = from->label,
                                              .site = from->site,
                                              .app = from->app,
                                              .channel = from->channel,
                                              .resource = from->resource,
                                              .allow = from->allow,
                                              .deny = from->deny};
    }
    self->rule_count = options->rule_count;
    return true;
}

static bool plan_sites(struct plan *self, const options_t *options)
{
    self->sites = calloc(options->site_count + 1, sizeof *self->sites);
    if (!self->sites)
        return false;
    for (size_t i = 0; i < options->site_count; i++) {
        const struct options_site *from = &options->site[i];
        self->sites[i] = (struct policy_site){from->label, from->require_handlers,
                                              (enum policy_unavailable)from->unavailable};
    }
    self->site_count = options->site_count;
    return true;
}

struct policy_settings plan_policy(const struct plan *self)
{
    return (struct policy_settings){.sites = self->sites,
                                    .site_count = self->site_count,
                                    .rules = self->rules,
                                    .rule_count = self->rule_count};
}

struct streams_settings plan_streams(const struct plan *self, const options_t *options)
{
    const struct options_streams *from = &options->streams;
    return (struct streams_settings){
        .rule = {.limits = {.messages = from->messages,
                            .bytes = from->bytes,
                            .age_ms = (int64_t)from->seconds * 1000},
                 .client_history = true},
        .channels = self->channels,
        .channel_count = self->channel_count,
        .total_bytes = from->total_bytes,
        .headers = from->headers,
        .header_ms = (int64_t)from->header_seconds * 1000,
    };
}

struct presence_settings plan_presence(const options_t *options)
{
    const struct options_broker *from = &options->broker;
    return (struct presence_settings){
        .clients = (uint32_t)from->presence_clients,
        .users = (uint32_t)from->presence_users,
        .rounds = (uint32_t)from->presence_rounds,
        .questions = (uint32_t)from->presence_questions,
        .return_ms = (int64_t)from->presence_return_ms,
    };
}

bool plan_make(struct plan *self, const options_t *options)
{
    *self = (struct plan){0};
    return plan_backends(self, options) && plan_channels(self, options) &&
           plan_rules(self, options) && plan_sites(self, options);
}

void plan_free(struct plan *self)
{
    free(self->backends);
    free(self->principals);
    free(self->where);
    free(self->channels);
    free(self->rules);
    free(self->sites);
    *self = (struct plan){0};
}

bool plan_is_durable(const options_t *options)
{
    return options->store.engine != STORE_ENGINE_MEMORY;
}

struct store_limits plan_store(const options_t *options)
{
    return (struct store_limits){.queue_bytes = options->store.queue_bytes,
                                 .hang_ms = (int64_t)options->store.hang_ms};
}

static struct asks_settings plan_asks(const struct options_broker *from)
{
    return (struct asks_settings){.checks = from->checks_open,
                                  .batches = from->check_batches,
                                  .grants = from->grants,
                                  .check_ms = (int64_t)from->check_ms,
                                  .again_ms = (int64_t)from->check_again_ms};
}

struct core_settings plan_core(const struct plan *self, const options_t *options)
{
    return (struct core_settings){
        .node = options->node.name,
        .streams = plan_streams(self, options),
        .presence = plan_presence(options),
        .asks = plan_asks(&options->broker),
        .revocations = {.kept = options->broker.revocations,
                        .limit_ms = (int64_t)options->broker.revoke_ms},
        .handlers = options->broker.handlers,
        .payload_bytes = options->broker.payload_bytes,
        .unanswered_requests = (uint32_t)options->broker.unanswered_requests,
        .idempotency_ms = (int64_t)options->streams.idempotency_seconds * 1000,
        .idempotency_keys = options->streams.idempotency_keys,
        .is_durable = plan_is_durable(options),
    };
}
