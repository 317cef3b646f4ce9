#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/address.h"
#include "proto/backend_codec.h"
#include "proto/buffer.h"
#include "proto/status.h"

/* sites - who may act where. Until backends have keys, the endpoint that they connect to is the
 * principal: it stands for one site, some apps on it and some rights.
 *
 * Pure. What a request says about site, app and view only selects among what its principal may.
 */
typedef struct sites sites_t;

enum site_right {
    SITE_PUBLISH = 1,
    SITE_HISTORY = 2,
    SITE_PREVIEW = 4,
    SITE_HANDLE = 8, /* say who may read, and see who says it */
    SITE_REVOKE = 16 /* take that back, and connections with it */
};

struct sites_principal {
    const char *site;
    const char *apps; /* ids, separated by spaces */
    const char *may;  /* names of rights, separated by spaces */
};

/* Copies all. The index of a principal is the number of its endpoint. NULL when an app id or a
 * right is none (*index tells whose, *why which one) or memory is exhausted (*why stays empty). */
sites_t *sites_new(const struct sites_principal *principals, size_t count, size_t *index,
                   struct buffer *why);
void sites_destroy(sites_t **self_p);

/* The same for a request that need not name a channel: site, app and view of *out are checked, the
 * channel and the resource are whatever the target says. */
enum status sites_scope(const sites_t *self, size_t endpoint, enum site_right right,
                        const struct backend_target *target, struct address *out,
                        struct buffer *why);

/* May this endpoint act for the app (empty: the site's own code)? */
bool sites_acts_for(const sites_t *self, size_t endpoint, struct span app);

/* The checked address that a request means. FORBIDDEN: not among the principal's rights; BAD_INPUT:
 * no valid address. *why then gets a sentence.
 * *out borrows from the target and from self. */
enum status sites_resolve(const sites_t *self, size_t endpoint, enum site_right right,
                          const struct backend_target *target, struct address *out,
                          struct buffer *why);
