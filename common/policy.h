#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "common/address.h"
#include "common/subscriber.h"
#include "proto/buffer.h"

/* policy - what the settings say about who may read: the rules that need no code, and what a site
 * wants where no handler answers.
 *
 * Pure. Who may read an address is looked for on three levels, the first one that says something
 * decides; on each of them a registered handler comes before a rule.
 */
typedef struct policy policy_t;

enum permission_level {
    LEVEL_RESOURCE, /* this channel and resource */
    LEVEL_CHANNEL,  /* this channel */
    LEVEL_DEFAULT,  /* the site, or the app on it */
    LEVELS
};

/* "resource", "channel", "default" */
const char *permission_level_text(enum permission_level level);

/* When a handler does not answer. As the setting `unavailable` lists them. */
enum policy_unavailable {
    UNAVAILABLE_AUTO,   /* final for a first subscription, temporary for one that resumes */
    UNAVAILABLE_REFUSE, /* final */
    UNAVAILABLE_RETRY   /* temporary */
};

struct policy_site {
    const char *site;
    bool require_handlers; /* nothing is registered and no rule fits: refused instead of allowed */
    enum policy_unavailable unavailable;
};

/* One [rule "label"]. Texts as in the settings; all but the label may be NULL, which is empty. */
struct policy_rule {
    const char *label;
    const char *site; /* empty: every site */
    const char *app;  /* empty: the site's own code */
    const char *channel;
    const char *resource;
    const char *allow, *deny; /* words: admin, member, visitor, everyone */
};

struct policy_settings {
    const struct policy_site *sites; /* each once */
    size_t site_count;
    const struct policy_rule *rules; /* at most one for each place */
    size_t rule_count;
};

/* Copies all. NULL when a rule is none (*index tells which, *why what is wrong) or memory is
 * exhausted (*why stays empty). */
policy_t *policy_new(const struct policy_settings *settings, size_t *index, struct buffer *why);
/* Sets *self_p to NULL; safe on NULL. */
void policy_destroy(policy_t **self_p);

/* One rule more, copied. False as above: *why begins with the key that it is about, when it is
 * about one. */
bool policy_add(policy_t *self, const struct policy_rule *rule, struct buffer *why);

/* Do both decide about everybody in the same way, as far as they do so without a handler? */
bool policy_is_alike(const policy_t *a, const policy_t *b);

/* Never NULL: a site without settings of its own has the defaults. */
const struct policy_site *policy_site(const policy_t *self, struct span site);

/* The rule of this level for the address, NULL when there is none; one that names the site comes
 * before one for every site. An address without a resource has no rule on the resource's level. */
typedef struct rule rule_t;
const rule_t *policy_find(const policy_t *self, const struct address *address,
                          enum permission_level level);
/* Denied where `deny` names the type; else allowed where `allow` does, or where there is no
 * `allow`. */
bool rule_allows(const rule_t *rule, enum subscriber_type type);
const char *rule_label(const rule_t *rule);
