#include "gateway/io_metrics.h"

#include "common/metrics.h"
#include "gateway/hub.h"

#define PREFIX "millrace_gateway"

#define METRIC(name, type, help) {#name, METRIC_##type, help},
static const struct metric_description hub_descriptions[] = {
#include "gateway/metrics.def"
};
static const struct metric_description io_descriptions[] = {
#include "gateway/io_metrics.def"
};
#undef METRIC
static_assert(sizeof(struct hub_metrics) / sizeof(uint64_t) ==
                  sizeof hub_descriptions / sizeof *hub_descriptions,
              "one description for each number");
static_assert(sizeof(struct io_metrics) / sizeof(uint64_t) ==
                  sizeof io_descriptions / sizeof *io_descriptions,
              "one description for each number");

void io_metrics_write(struct buffer *to, const struct hub_metrics *hub, const struct io_metrics *io)
{
    metrics_write(to, PREFIX, hub_descriptions, (const uint64_t *)hub,
                  sizeof *hub / sizeof(uint64_t));
    metrics_write(to, PREFIX, io_descriptions, (const uint64_t *)io, sizeof *io / sizeof(uint64_t));
}
