#include "broker/metrics.h"

#include "common/metrics.h"

void broker_metrics_write(struct buffer *to, const struct broker_metrics *metrics)
{
    static const struct metric_description descriptions[] = {
#define METRIC(name, type, help) {#name, METRIC_##type, help},
#include "broker/metrics.def"
#undef METRIC
    };
    size_t count = sizeof descriptions / sizeof *descriptions;
    _Static_assert(sizeof *metrics ==
                       sizeof(uint64_t) * (sizeof descriptions / sizeof *descriptions),
                   "one value for each description");
    metrics_write(to, "millrace_broker", descriptions, (const uint64_t *)metrics, count);
}
