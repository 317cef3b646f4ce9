#pragma once
#include <stdint.h>

#include "proto/buffer.h"

struct hub_metrics;

/* io_metrics - the counters of the gateway's sockets, one struct for the whole process; /metrics
 * shows them, and those of the hub, as millrace_gateway_<name>. */
struct io_metrics {
#define METRIC(name, type, help) uint64_t name;
#include "gateway/io_metrics.def"
#undef METRIC
};

void io_metrics_write(struct buffer *to, const struct hub_metrics *hub,
                      const struct io_metrics *io);
