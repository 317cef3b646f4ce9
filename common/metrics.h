#pragma once
#include <stddef.h>
#include <stdint.h>

#include "proto/buffer.h"

/* metrics - counters and gauges as Prometheus text (exposition format 0.0.4).
 *
 * A process keeps a struct of uint64_t made from its own metrics.def, one line a metric:
 *   METRIC(name, COUNTER | GAUGE, "help text")
 * and a table of descriptions in the same order. Plain numbers: no lock, one thread.
 */
enum metric_type { METRIC_COUNTER, METRIC_GAUGE };

struct metric_description {
    const char *name; /* without prefix: "publications_total" */
    enum metric_type type;
    const char *help;
};

/* Writes `prefix`_name for each: # HELP, # TYPE, value. */
void metrics_write(struct buffer *to, const char *prefix,
                   const struct metric_description *descriptions, const uint64_t *values,
                   size_t count);
