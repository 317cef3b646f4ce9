#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "broker/handlers.h"
#include "common/subscriber.h"
#include "proto/backend_codec.h"

/* core_asks - may this subscriber read? The questions to handlers, and what they answered: a part
 * of the core.
 *
 * One question is asked once, however many want to know, and its answer is kept as long as the
 * handler said that it holds. Questions of one handler go out many in one message; those of a
 * worker that does not answer within again_ms go to a second one as well, and the first good answer
 * wins. Whatever keeps a handler from answering is a refusal, never a yes: no worker, silence for
 * check_ms, a malformed answer, an open circuit breaker, too many questions.
 */
#define ASKS_AT_ONCE   8  /* messages to a handler that are sent as soon as there is a question */
#define ASKS_GATHER    64 /* beyond them so many questions are one message, */
#define ASKS_GATHER_MS 5  /* or those of so long */

struct asks_settings {
    size_t checks;  /* of one site that wait at once */
    size_t batches; /* of one site under way at once */
    size_t grants;  /* answers kept */
    int64_t check_ms;
    int64_t again_ms;
};

struct core;
typedef struct asks asks_t;

/* What a handler said, or why it did not. */
struct decision {
    enum status status; /* OK, FORBIDDEN, BAD_INPUT, UNAVAILABLE */
    bool has_ttl;       /* of a yes or a no: it holds for ttl_ms more, else for this attempt */
    uint32_t ttl_ms;
    bool is_unasked;     /* nobody could be asked */
    bool is_kept;        /* from an earlier answer */
    struct span message; /* of BAD_INPUT and UNAVAILABLE; valid for the call */
};

/* Somebody who wants to know, embedded in what it belongs to. */
struct inquiry {
    TAILQ_ENTRY(inquiry) link;
    struct check *check; /* that it waits for; NULL: none */
    /* Called once, out of whatever event decided; it may not ask anything. */
    void (*decided)(struct core *core, struct inquiry *inquiry, const struct decision *decision);
};

/* Who wants to read what. `address` is canonical. */
struct reader {
    struct span address;
    enum subscriber_type type;
    struct span id;
    struct span app; /* whose code asks */
    bool is_fresh;   /* what was asked before is not enough: a message has come since */
    bool is_strict;  /* an answer that was kept is not enough */
};

/* NULL only when memory is exhausted. */
asks_t *asks_new(const struct asks_settings *settings, int64_t now_ms);
/* From now on; questions that were asked have the time that they had. */
void asks_configure(asks_t *self, const struct asks_settings *settings);
/* When core_asks_end was called for every handler. Sets *self_p to NULL; safe on NULL. */
void asks_destroy(asks_t **self_p);

/* True: *decision is there at once. False: the inquiry will be told; within_ms bounds how long. */
bool core_asks_ask(struct core *core, handler_t *handler, const struct reader *reader,
                   int64_t within_ms, struct inquiry *inquiry, struct decision *decision,
                   int64_t now_ms);
/* It does not want to know any more. */
void core_asks_forget(struct inquiry *inquiry);

/* Sends what has gathered. Call it when all events at hand were taken. */
void core_asks_send(struct core *core, int64_t now_ms);
/* Milliseconds until core_asks_tick or core_asks_send has something to do, -1: nothing waits. */
int64_t core_asks_wait(const struct core *core, int64_t now_ms);
void core_asks_tick(struct core *core, int64_t now_ms);

/* An answer of a worker; `status`: it could not even be decoded. */
void core_asks_answer(struct core *core, party_t *from, const struct backend_request *request,
                      enum status status, int64_t now_ms);
/* Each second: a worker is sent an empty question. Whether it can be sent shows whether it is
 * there; one that answers them, and then says nothing to ASKS_MISSES of them, hangs: it is not
 * asked until it is heard again, and others are asked what it was asked. The broker's own seconds
 * count, so one that hung blames nobody. */
#define ASKS_MISSES 3
void core_asks_beat(struct core *core, party_t *worker);
/* A backend has said something. */
void core_asks_heard(struct core *core, party_t *worker);
/* The backend went away, or hangs: others are asked what it was asked. */
void core_asks_gone(struct core *core, party_t *worker);

/* Answers about such readers of one site do not count any more: neither kept ones nor those on
 * their way. */
typedef bool asks_match_fn(const struct reader *reader, void *arg);
void core_asks_void(struct core *core, struct span site, asks_match_fn *match, void *arg);
/* Before the handler ends: what it was asked is refused. */
void core_asks_end(struct core *core, handler_t *handler);
void core_asks_measure(const struct core *core);
