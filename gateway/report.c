#include "gateway/report.h"

#include "proto/bus_codec.h"
#include "proto/figures.h"

void report_write(struct buffer *frame, const struct report *self)
{
    const struct hub_metrics *hub = self->hub;
    const struct figures figures = {
        .uptime_ms = (uint64_t)self->uptime_ms,
        .ready = self->is_ready,
        .draining = self->is_draining,
        .connections = hub->connections,
        .subscriptions = hub->subscriptions,
        .addresses = hub->addresses,
        .bytes_queued = hub->bytes_queued,
        .memory_bytes = self->memory_bytes,
        .canary_age_ms = hub->canary_age_ms,
        .connections_total = hub->connections_total,
        .publications_total = hub->publications_total,
        .deliveries_total = hub->deliveries_total,
        .canaries_missed_total = hub->canaries_missed_total,
        .gaps_total = hub->gaps_total,
        .repaired_total = hub->repaired_total,
        .lost_told_total = hub->lost_told_total,
        .closed_slow_total = hub->closed_slow_total,
        .lagging = hub->lagging,
        .queue_oldest_ms = hub->queue_oldest_ms,
        .left_out_total = hub->dropped_latest_total + hub->dropped_oldest_total,
    };
    struct buffer values = {0};
    figures_put(&values, &figures);
    bus_put_figures(frame, &(struct bus_figures){.values = buffer_span(&values)});
    frame->failed |= values.failed;
    buffer_free(&values);
}
