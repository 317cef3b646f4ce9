#pragma once
#include <stdint.h>

/* histogram - how often which latency; a value is kept to within 1.6 %. A zeroed one is empty. */
#define HISTOGRAM_STEPS   64 /* in each power of two */
#define HISTOGRAM_BUCKETS (60 * HISTOGRAM_STEPS)

struct histogram {
    uint64_t count[HISTOGRAM_BUCKETS];
    uint64_t total;
    uint64_t max;
};

static inline unsigned histogram_bucket(uint64_t value)
{
    if (value < 2 * HISTOGRAM_STEPS)
        return (unsigned)value;
    unsigned shift = 57 - (unsigned)__builtin_clzll(value);
    return shift * HISTOGRAM_STEPS + (unsigned)(value >> shift);
}

static inline void histogram_add(struct histogram *self, uint64_t value)
{
    self->count[histogram_bucket(value)]++;
    self->total++;
    if (value > self->max)
        self->max = value;
}

/* The value that a share of `permille` of all values does not exceed; 0 for an empty histogram. */
uint64_t histogram_quantile(const struct histogram *self, unsigned permille);
