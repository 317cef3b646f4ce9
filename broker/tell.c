#include "broker/tell.h"

#include <assert.h>

#include "common/log.h"

struct event {
    enum log_level level;
    const char *name, *field; /* what the effect's bytes are */
};

static const struct event events[] = {
    [CORE_GATEWAY_JOINED] = {LOG_LEVEL_INFO, "gateway_joined", "gateway"},
    [CORE_GATEWAY_LEFT] = {LOG_LEVEL_INFO, "gateway_left", "gateway"},
    [CORE_GATEWAY_SILENT] = {LOG_LEVEL_WARN, "gateway_silent", "gateway"},
    [CORE_GATEWAY_HEARD] = {LOG_LEVEL_INFO, "gateway_heard", "gateway"},
    [CORE_GATEWAY_REPLACED] = {LOG_LEVEL_ERROR, "gateway_replaced", "gateway"},
    [CORE_GATEWAY_REINSTATED] = {LOG_LEVEL_INFO, "gateway_reinstated", "gateway"},
    [CORE_GATEWAY_REFUSED] = {LOG_LEVEL_ERROR, "gateway_refused", "reason"},
    [CORE_WORKER_SILENT] = {LOG_LEVEL_WARN, "worker_silent", "site"},
    [CORE_WORKER_HEARD] = {LOG_LEVEL_INFO, "worker_heard", "site"},
};

void tell_event(const struct core_effect *effect)
{
    assert((size_t)effect->kind < sizeof events / sizeof *events && events[effect->kind].name);
    const struct event *event = &events[effect->kind];
    log_write(event->level, event->name, LOG_FIELDS(LOG_SPAN(event->field, effect->bytes)));
}

void tell_started(const options_t *options, const struct plan *plan)
{
    for (size_t i = 0; i < plan->backend_count; i++)
        log_info("backends_welcome", LOG_TEXT("endpoint", plan->backends[i].address),
                 LOG_TEXT("site", plan->principals[i].site),
                 LOG_TEXT("may", plan->principals[i].may));
    log_info("started", LOG_TEXT("version", MILLRACE_VERSION), LOG_TEXT("node", options->node.name),
             LOG_TEXT("control", options->broker.control),
             LOG_TEXT("publications", options->broker.publications),
             LOG_TEXT("backends", options->broker.backends),
             LOG_TEXT("admin_address", options->broker.admin_address),
             LOG_UINT("admin_port", options->broker.admin_port),
             LOG_TEXT("store", plan_is_durable(options) ? options->store.path : "memory"));
}
