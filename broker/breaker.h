#pragma once
#include <stdbool.h>
#include <stdint.h>

/* breaker - stops asking those who do not answer, and tries them again now and then.
 *
 * Closed, it lets everything pass. After BREAKER_FAILURES failures in a row it opens: then one
 * probe is let through after BREAKER_PROBE_MS, the next ones after twice as long each time, up to
 * BREAKER_PROBE_MAX_MS; a success closes it. Pure. A zeroed struct is closed.
 */
#define BREAKER_FAILURES     5
#define BREAKER_PROBE_MS     1000
#define BREAKER_PROBE_MAX_MS 30000

struct breaker {
    unsigned failures; /* in a row */
    bool is_open;
    int64_t interval_ms; /* open: between the last probe and the next */
    int64_t probed_ms;   /* when the last probe was let through, or it opened */
    int64_t opened_ms;   /* what was tried before is no probe */
    int64_t success_ms;  /* the last one */
};

/* May somebody be asked now? When it is open: yes makes that the probe. */
bool breaker_admits(struct breaker *self, int64_t now_ms);
void breaker_succeeded(struct breaker *self, int64_t now_ms);
/* Of something that was tried at tried_ms: what is older than the last success says nothing about
 * those who are asked now. */
void breaker_failed(struct breaker *self, int64_t tried_ms, int64_t now_ms);
/* There is somebody new to be asked: the next probe need not wait longer than the first one. */
void breaker_hurry(struct breaker *self);
