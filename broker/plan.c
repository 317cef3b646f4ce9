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
                     (struct sites_principal){options->node.site, "", "publish history preview"});
    for (size_t i = 0; i < options->backends_count; i++) {
        const struct options_backends *from = &options->backends[i];
        const char *site = *from->site ? from->site : options->node.site;
        add_backends(self, "backends.bind", from->bind, from->where,
                     (struct sites_principal){site, from->apps, from->may});
    }
    return true;
}

static struct streams_rule rule(uint64_t messages, uint64_t bytes, uint64_t seconds, bool history,
                                unsigned presence)
{
    return (struct streams_rule){
        .limits = {.messages = messages, .bytes = bytes, .age_ms = (int64_t)seconds * 1000},
        .client_history = history,
        .presence = (enum streams_presence)presence};
}

static bool plan_channels(struct plan *self, const options_t *options)
{
    self->channels = calloc(options->channel_count + 1, sizeof *self->channels);
    if (!self->channels)
        return false;
    for (size_t i = 0; i < options->channel_count; i++) {
        const struct options_channel *from = &options->channel[i];
        self->channels[i] =
            (struct streams_channel){from->label, rule(from->messages, from->bytes, from->seconds,
                                                       from->client_history, from->presence)};
    }
    self->channel_count = options->channel_count;
    return true;
}

struct streams_settings plan_streams(const struct plan *self, const options_t *options)
{
    const struct options_streams *from = &options->streams;
    return (struct streams_settings){
        .rule = rule(from->messages, from->bytes, from->seconds, true, PRESENCE_OFF),
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
    return plan_backends(self, options) && plan_channels(self, options);
}

void plan_free(struct plan *self)
{
    free(self->backends);
    free(self->principals);
    free(self->where);
    free(self->channels);
    *self = (struct plan){0};
}
