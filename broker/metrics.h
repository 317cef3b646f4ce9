#pragma once
#include <stdint.h>

#include "proto/buffer.h"

/* metrics - what the broker counts; /metrics shows it as millrace_broker_<name>. */
struct broker_metrics {
#define METRIC(name, type, help) uint64_t name;
#include "broker/metrics.def"
#undef METRIC
};

void broker_metrics_write(struct buffer *to, const struct broker_metrics *metrics);
