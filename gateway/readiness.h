#pragma once
#include <stdbool.h>

#include "proto/buffer.h"
#include "proto/span.h"

/* readiness - whether a gateway should be sent clients, and why not. Pure. */
struct readiness {
    bool is_draining;
    bool is_up;           /* the link to the broker works */
    bool is_heard;        /* and the broker's canaries come */
    bool is_memory_short; /* newcomers are turned away */
    bool is_replaced;     /* a newer gateway has its name */
    struct span refusal;  /* what the broker said instead of welcome, or empty; borrowed */
};

bool readiness_is_ready(const struct readiness *self);
/* One sentence as a JSON string; nothing when it is ready. */
void readiness_write_reason(const struct readiness *self, struct buffer *to);
