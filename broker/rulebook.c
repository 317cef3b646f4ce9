#include "broker/rulebook.h"

static bool make_sites(struct rulebook *self, struct rulebook_failure *failure)
{
    size_t index = 0;
    self->sites = sites_new(self->plan.principals, self->plan.backend_count, &index, &failure->why);
    if (!self->sites && failure->why.size > 0) {
        failure->setting = "backends";
        failure->where = self->plan.where[index];
    }
    return self->sites;
}

static bool make_policy(struct rulebook *self, const options_t *options,
                        struct rulebook_failure *failure)
{
    struct policy_settings settings = plan_policy(&self->plan);
    size_t index = 0;
    self->policy = policy_new(&settings, &index, &failure->why);
    if (!self->policy && failure->why.size > 0) {
        failure->setting = "rule";
        failure->where = options->rule[index].where;
    }
    return self->policy;
}

bool rulebook_make(struct rulebook *self, const options_t *options,
                   struct rulebook_failure *failure)
{
    *self = (struct rulebook){0};
    *failure = (struct rulebook_failure){0};
    if (plan_make(&self->plan, options) && make_sites(self, failure) &&
        make_policy(self, options, failure))
        return true;
    rulebook_free(self);
    return false;
}

void rulebook_free(struct rulebook *self)
{
    policy_destroy(&self->policy);
    sites_destroy(&self->sites);
    plan_free(&self->plan);
}
