#pragma once
#include <stdbool.h>
#include <stdint.h>

/* broker_watch - how long a gateway is without its broker, and what it does about it.
 *
 * A broker says something to each gateway every second (a canary), from its main loop: one that
 * says nothing for BROKER_SILENT_MS hangs, or cannot be heard. Clients that stay with a gateway
 * without a broker would hear nothing and not be told, so after a while they are sent away. Pure.
 */
#define BROKER_SILENT_MS 3000

struct broker_watch {
    int64_t limit_ms; /* without a broker; 0: clients stay */
    int64_t ready_ms; /* when there was one last, or the start */
    bool is_silent;   /* it was said */
    bool is_leaving;  /* clients are sent away */
};

struct broker_seen {
    bool is_up;             /* the link works */
    bool is_ready;          /* and canaries come */
    uint64_t canary_age_ms; /* 0: there was none yet */
};

enum broker_watch_event {
    BROKER_WATCH_NOTHING,
    BROKER_WATCH_SILENT, /* for the log */
    BROKER_WATCH_HEARD,  /* for the log: that is over */
    BROKER_WATCH_LEAVE,  /* send the clients away, let nobody in */
    BROKER_WATCH_RETURN  /* let them in again */
};

/* What there is to do now; call it until there is nothing. */
enum broker_watch_event broker_watch_look(struct broker_watch *self, const struct broker_seen *seen,
                                          int64_t now_ms);
