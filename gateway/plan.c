#include "gateway/plan.h"

/* Descriptors that are not clients' WebSockets. */
#define HANDSHAKES        1024
#define OTHER_DESCRIPTORS 256

struct hub_settings plan_hub(const options_t *options)
{
    const struct options_gateway *from = &options->gateway;
    return (struct hub_settings){
        .site = options->node.site,
        .told_name = from->demo ? from->name : NULL,
        .subscriptions = (uint32_t)from->subscriptions,
        .pending_commands = (uint32_t)from->pending_commands,
        .presence_questions = (uint32_t)from->presence_questions,
        .held_messages = (uint32_t)from->held_messages,
        .held_bytes = from->held_bytes,
        .queue_bytes = from->queue_bytes,
        .queue_ms = (int64_t)from->queue_ms,
        .relay_bytes = from->fallback_bytes,
        .anonymous = options_anonymous(options) != ANONYMOUS_NO,
        .connect_ms = (int64_t)from->connect_seconds * 1000,
        .ping_ms = (int64_t)from->ping_seconds * 1000,
        .pong_ms = (int64_t)from->pong_seconds * 1000,
        .expired_ms = (int64_t)from->expired_seconds * 1000,
        .reply_ms = (int64_t)from->reply_ms,
        .fence_ms = (int64_t)from->fence_ms,
        .linger_ms = (int64_t)from->linger_ms,
        .linger_addresses = (uint32_t)from->linger_addresses,
        .audit_ms = (int64_t)from->audit_seconds * 1000,
    };
}

struct ws_settings plan_ws(const options_t *options)
{
    const struct options_gateway *from = &options->gateway;
    return (struct ws_settings){.connections = from->connections,
                                .unfinished_bytes = from->unfinished_bytes,
                                .allowed_origins = from->allowed_origins,
                                .fallback = from->fallback,
                                .fallback_bytes = from->fallback_bytes};
}

size_t plan_descriptors(const options_t *options)
{
    return options->gateway.connections + HANDSHAKES + OTHER_DESCRIPTORS;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

void plan_ws_sockets(struct ws_settings *settings, size_t descriptors)
{
    settings->sockets = descriptors - smaller(OTHER_DESCRIPTORS, descriptors / 2);
    size_t handshakes = smaller(HANDSHAKES, settings->sockets / 8);
    settings->connections = smaller(settings->connections, settings->sockets - handshakes);
}
