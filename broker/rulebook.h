#pragma once
#include <stdbool.h>

#include "broker/plan.h"
#include "broker/sites.h"
#include "common/policy.h"

/* rulebook - what the settings say about who may do what, made ready for the core: the plan, and
 * what is made of it. Pure. */
struct rulebook {
    struct plan plan;
    sites_t *sites;
    policy_t *policy; /* who may read where no handler says so */
};

/* What is wrong. Without a setting: memory is exhausted. */
struct rulebook_failure {
    const char *setting; /* "backends", "rule" */
    const char *where;   /* the section's "file:line"; borrowed from the options */
    struct buffer why;   /* the caller's to free */
};

/* Borrows texts from the options. False: nothing is left to be freed but failure->why. */
bool rulebook_make(struct rulebook *self, const options_t *options,
                   struct rulebook_failure *failure);
void rulebook_free(struct rulebook *self);
