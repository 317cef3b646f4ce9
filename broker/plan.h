#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "broker/bus.h"
#include "broker/core.h"
#include "broker/core_presence.h"
#include "broker/sites.h"
#include "broker/store.h"
#include "common/options.h"
#include "common/policy.h"
#include "common/streams.h"

/* plan - the settings as the modules of the broker want them: one endpoint and one principal for
 * each place where backends connect, one rule for each channel; and who may read. */
struct plan {
    size_t backend_count;
    struct bus_endpoint *backends;
    struct sites_principal *principals; /* of the endpoint with the same index */
    const char **where;                 /* the section's "file:line", "" for the default endpoint */
    size_t channel_count;
    struct streams_channel *channels;
    size_t site_count, rule_count;
    struct policy_site *sites;
    struct policy_rule *rules;
};

/* Borrows texts from the options. False when memory is exhausted; plan_free in any case. */
bool plan_make(struct plan *self, const options_t *options);
void plan_free(struct plan *self);

/* Does the store keep anything? */
bool plan_is_durable(const options_t *options);
struct presence_settings plan_presence(const options_t *options);

/* Borrows from the plan. The rules are those of options->rule, in that order. */
struct policy_settings plan_policy(const struct plan *self);

/* All but the random numbers. Borrows from the plan. */
struct streams_settings plan_streams(const struct plan *self, const options_t *options);

struct store_limits plan_store(const options_t *options);

/* All but sites, policy, random numbers and metrics. Borrows from the plan and the options. */
struct core_settings plan_core(const struct plan *self, const options_t *options);
