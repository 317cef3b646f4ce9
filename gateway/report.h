#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "gateway/hub.h"
#include "proto/buffer.h"

/* report - the frame that tells the broker each second how this gateway is (proto/figures.def). */

struct report {
    const struct hub_metrics *hub;
    int64_t uptime_ms;
    uint64_t memory_bytes;
    bool is_ready, is_draining;
};

void report_write(struct buffer *frame, const struct report *self);
