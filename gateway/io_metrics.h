#pragma once
#include <stdint.h>

/* io_metrics - the counters of the gateway's sockets, one struct for the whole process. */
struct io_metrics {
#define METRIC(name, type, help) uint64_t name;
#include "gateway/io_metrics.def"
#undef METRIC
};
