#pragma once

#include "broker/core_asks.h"
#include "broker/core_priv.h"
#include "common/map.h"

/* core_asks_priv - what the two files of the questions share: core_asks.c (a question: who wants to
 * know, and what is kept) and core_batches.c (a message: who is asked, and what he answers).
 *
 * Who owns what: a handler's checks are in asks->checks until they are done; a batch refers to its
 * checks, which then stay until the last batch is over, done or not.
 */

enum check_state {
    CHECK_WAITING, /* in handler->waiting: nobody was asked yet, or what was said is void */
    CHECK_ASKED,
    CHECK_KEPT, /* answered, and the answer holds: in asks->kept */
    CHECK_DONE  /* nobody can find it any more; batches may still refer to it */
};

/* One question: the same handler, address, subscriber and asking app. */
struct check {
    TAILQ_ENTRY(check) link; /* in handler->waiting or asks->kept, by state */
    LIST_ENTRY(check) of_handler;
    handler_t *handler;
    TAILQ_HEAD(, inquiry) inquiries;
    struct deadline timer; /* the end of waiting, or of keeping */
    uint64_t request;      /* names it in messages; another one makes earlier answers void */
    int64_t opened_ms;
    uint32_t flights; /* batches that ask this request */
    uint32_t refs;    /* batches that refer to it, whatever they ask */
    uint8_t state;
    bool is_hidden; /* not in asks->checks */
    uint8_t type;
    uint16_t address_size, app_size, id_size;
    enum status kept;
    size_t key_size;
    uint8_t key[]; /* handler's number, type, sizes, address, app, id */
};

/* One message to a worker. */
struct batch {
    LIST_ENTRY(batch) of_party, of_handler;
    struct deadline timer; /* another worker is asked, or it is not waited for any longer */
    uint64_t number;
    handler_t *handler;
    party_t *party;
    int64_t sent_ms, end_ms;
    bool is_second;
    size_t count;
    struct asked {
        struct check *check;
        uint64_t request;
    } items[];
};

TAILQ_HEAD(handler_list, handler);

struct asks {
    struct asks_settings settings;
    map_t *checks;  /* by key, those that others may join */
    map_t *batches; /* by number */
    deadlines_t *check_timers, *batch_timers;
    TAILQ_HEAD(, check) kept; /* the oldest first */
    size_t kept_count, open, batch_count;
    struct handler_list ready; /* have waiting checks */
    uint64_t request, number;
    struct buffer key;
};

/* Why it is not asked: all of its workers are silent. */
#define ASKS_HANGS "the permission handler hangs"

#define OWNER(type, member, pointer) ((type *)((char *)(pointer)-offsetof(type, member)))

/* --- core_asks.c --- */

struct reader core_check_reader(const struct check *check);
/* It has an answer, or none: whoever waits is told, and what holds is kept. */
void core_check_decide(struct core *core, struct check *check, const struct decision *decision,
                       int64_t now_ms);
void core_check_fail(struct core *core, struct check *check, const char *why, int64_t now_ms);
/* Nobody has been asked, or what they say does not count any more. */
void core_check_wait(asks_t *self, struct check *check);
/* It is taken off those that wait. */
void core_check_leave(struct check *check);
/* One batch less refers to it. */
void core_check_unref(struct check *check);
/* None of the handler's checks waits. */
void core_asks_rest(asks_t *self, handler_t *handler);

/* --- core_batches.c --- */

struct span core_batch_key(const void *item);
/* Takes it from everything; what its checks wait for is the caller's business. */
void core_batch_end(asks_t *self, struct batch *batch);
/* Those that are due. */
void core_batches_tick(struct core *core, int64_t now_ms);
