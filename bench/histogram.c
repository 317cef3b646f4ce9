#include "bench/histogram.h"

/* The largest value that falls into the bucket. */
static uint64_t bucket_limit(unsigned bucket)
{
    if (bucket < 2 * HISTOGRAM_STEPS)
        return bucket;
    unsigned shift = bucket / HISTOGRAM_STEPS - 1;
    uint64_t step = bucket % HISTOGRAM_STEPS + HISTOGRAM_STEPS;
    return ((step + 1) << shift) - 1;
}

uint64_t histogram_quantile(const struct histogram *self, unsigned permille)
{
    uint64_t wanted = (self->total * permille + 999) / 1000;
    uint64_t seen = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += self->count[i];
        if (seen >= wanted && seen > 0) {
            uint64_t limit = bucket_limit(i);
            return limit < self->max ? limit : self->max;
        }
    }
    return 0;
}
