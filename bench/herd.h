#pragma once
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/queue.h>

#include "bench/histogram.h"
#include "bench/wheel.h"
#include "bench/witness.h"

/* herd - many clients in one thread that behave as the centrifuge SDK does: its first frame, its
 * time-outs, its reconnect delays, its resubscriptions with a position.
 *
 * herd.c: the program, its commands and reports. herd_client.c: the life of one client.
 * herd_session.c: what it says and hears while it is connected.
 */
#define HERD_TARGETS_MAX 16

enum herd_event {
    HERD_DISCONNECT,      /* a connection that had been accepted ended */
    HERD_CONNECT,         /* connect reply */
    HERD_FAILED,          /* an attempt that did not come so far */
    HERD_FIRST,           /* subscribe reply to a request without a position */
    HERD_RECOVERED,       /* subscribe reply, all that was missed came with it */
    HERD_UNRECOVERED,     /* subscribe reply that says that something is lost */
    HERD_TOLD,            /* unsubscribe push from 2500 on: come back with your position */
    HERD_REVOKED,         /* unsubscribe push below 2500: the right to read was taken back */
    HERD_REFUSED_FOR_NOW, /* temporary error */
    HERD_UNANSWERED,      /* a command had no reply for 5 s: the client drops its connection */
    HERD_SILENT,          /* no ping came for too long: the same */
    HERD_EVENTS
};

/* Since the last reset. */
struct herd_counts {
    uint64_t begun_ms;
    uint64_t events[HERD_EVENTS];
    uint64_t last_ms[HERD_EVENTS]; /* when it happened last */
    uint64_t publications;
    struct histogram away;    /* ms, of clients that came back */
    struct histogram replies; /* ms, of subscriptions without a position */
};

/* Since the beginning. All 0 in a system that works. */
struct herd_faults {
    struct witness_faults seen;
    uint64_t malformed; /* frames and lines that no client could read */
    uint64_t strays;    /* publications and replies that nothing was subscribed for */
    uint64_t refused;   /* final errors in reply to a subscription */
    uint64_t ended;     /* final errors and closes of a connection */
};

struct herd_channel {
    char *name;
    struct herd_text text;
};

enum herd_subscription_state {
    HERD_SUBSCRIPTION_IDLE,  /* no connection */
    HERD_SUBSCRIPTION_ASKED, /* since at_ms */
    HERD_SUBSCRIPTION_LIVE,
    HERD_SUBSCRIPTION_DELAYED, /* after a temporary error, until at_ms */
    HERD_SUBSCRIPTION_ENDED    /* final */
};

struct herd_subscription {
    const struct herd_channel *channel;
    struct witness witness;
    uint64_t at_ms;
    uint32_t command;
    uint8_t attempts; /* in vain, since the last reply */
    uint8_t state;
    bool asked; /* with a position */
};

enum herd_client_state {
    HERD_CLIENT_NEW,        /* not begun yet */
    HERD_CLIENT_AWAY,       /* waits before the next attempt */
    HERD_CLIENT_CONNECTING, /* TCP */
    HERD_CLIENT_UPGRADING,  /* HTTP */
    HERD_CLIENT_GREETING,   /* connect command sent */
    HERD_CLIENT_OPEN,       /* connect reply came */
    HERD_CLIENT_ENDED       /* told not to come back */
};

struct herd_client {
    struct timer timer;
    int fd;
    uint8_t state;
    uint8_t attempts; /* in vain, since the last connect reply */
    uint8_t target;
    uint16_t close_code; /* of the connection that ends now; 0: none came */
    bool is_starting;    /* counts in herd->starting */
    bool is_whole;       /* all subscriptions are live: counts in herd->whole */
    uint32_t number;
    uint32_t command;  /* id of the last one */
    uint32_t live;     /* subscriptions */
    uint32_t ping_ms;  /* 0: the server does not ping */
    uint64_t since_ms; /* of the state */
    uint64_t heard_ms; /* when something came last */
    uint64_t away_ms;  /* since when it is not whole after a connection was lost; 0: it is */
    const char *token; /* or NULL */
    uint8_t *rest;     /* the beginning of a frame whose end has not arrived yet */
    size_t rest_size;
    struct herd_subscription *subscriptions;
};

struct herd {
    uint64_t connections, subscriptions, channel_count, in_flight;
    struct sockaddr_in targets[HERD_TARGETS_MAX];
    uint8_t target_count;
    struct herd_channel *channels;
    struct herd_client *clients;
    int epoll;
    uint64_t now_ms;
    struct wheel wheel;
    uint8_t *input;
    char *output;   /* scratch of one frame */
    uint64_t begun; /* clients that were started */
    uint64_t starting, open, whole, live;
    struct herd_counts counts;
    struct herd_faults faults;
    FILE *record; /* or NULL, see herd_record.h */
};

#define HERD_INPUT_BYTES  (2u << 20) /* more than any queue of a gateway for one client */
#define HERD_OUTPUT_BYTES 65536      /* of which a token takes TOKENS_LINE_MAX at most */

void herd_note(struct herd *self, enum herd_event event);

/* --- herd_client.c --- */

/* The first attempt. */
void herd_client_begin(struct herd *self, struct herd_client *client);
void herd_client_io(struct herd *self, struct herd_client *client, uint32_t events);
void herd_client_due(struct herd *self, struct herd_client *client);
/* Its connection or attempt is over; it tries again after the SDK's delay. */
void herd_client_lost(struct herd *self, struct herd_client *client);
/* It must not try again. */
void herd_client_end(struct herd *self, struct herd_client *client);
/* Looks at its deadlines not later than at due_ms. */
void herd_client_wake(struct herd *self, struct herd_client *client, uint64_t due_ms);
void herd_client_send(struct herd *self, struct herd_client *client, uint8_t kind, const char *text,
                      size_t size);
/* backoff_ms() with a random number. */
uint64_t herd_backoff_ms(unsigned step);

/* --- herd_session.c --- */

/* The WebSocket is open: says connect, and subscribes to everything, in one frame. */
void herd_session_begin(struct herd *self, struct herd_client *client);
/* One text frame. */
void herd_session_text(struct herd *self, struct herd_client *client, const char *text,
                       size_t size);
/* The connection is gone: nothing is subscribed any more. */
void herd_session_over(struct herd *self, struct herd_client *client);
/* Its deadlines; returns when to look again, in ms, or UINT64_MAX. */
uint64_t herd_session_due(struct herd *self, struct herd_client *client);
