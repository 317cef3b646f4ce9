#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* questions - what the gateway has asked the broker and who waits for the answer.
 *
 * A token names one question: its place in the table and how often that place was used, so that a
 * late answer to a question that was given up finds nobody. Pure. Grows with what is in flight.
 */
typedef struct questions questions_t;
typedef uint64_t question_token; /* 0: no question */

enum question_kind {
    QUESTION_NONE,
    QUESTION_SUBSCRIBE, /* asked for a subscription */
    QUESTION_CATCH_UP,  /* a range for one subscription */
    QUESTION_HISTORY,   /* asked for a subscription */
    QUESTION_PRESENCE,  /* asked for a subscription */
    QUESTION_RANGE,     /* a range for an interest */
    QUESTION_POSITION,  /* the position of an interest, for its audit */
    QUESTION_PERMIT,    /* asked for the guard of a subscription */
    QUESTION_RELAY,     /* commands for another gateway */
    QUESTION_KINDS
};

questions_t *questions_new(void);
void questions_destroy(questions_t **self_p);

/* 0 when memory is exhausted. The asker is borrowed. */
question_token question_open(questions_t *self, enum question_kind kind, void *asker);
/* Ends the question *token_p and sets it to 0. Safe on 0. */
void question_close(questions_t *self, question_token *token_p);
/* Who waits for this answer; NULL when nobody does (any more). The question stays open. */
void *question_find(const questions_t *self, question_token token, enum question_kind *kind);
/* The first open question from place *at on; moves *at behind it. NULL at the end. For giving up
 * all of them. */
void *question_next(const questions_t *self, size_t *at, enum question_kind *kind);
size_t questions_open(const questions_t *self);
/* Those of one kind. */
size_t questions_open_of(const questions_t *self, enum question_kind kind);
