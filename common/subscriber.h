#pragma once
#include <stdbool.h>

#include "common/address.h"
#include "proto/span.h"

/* subscriber - who a connection is, and the context of its addresses: what a connection token says,
 * or, without one, an anonymous visitor of the default site. It never changes while the connection
 * lasts; a refreshed token only moves its end. */

enum subscriber_type { SUBSCRIBER_VISITOR, SUBSCRIBER_MEMBER, SUBSCRIBER_ADMIN };

struct subscriber {
    enum subscriber_type type;
    enum address_view view;
    struct span site;
    struct span app; /* whose code opened the connection; empty: the site's own */
    struct span id;  /* empty: nobody in particular; never for members and admins */
};

/* "VISITOR", "MEMBER" or "ADMIN", as in tokens. */
const char *subscriber_type_text(enum subscriber_type type);
/* The reverse. False for any other word. */
bool subscriber_type_parse(struct span word, enum subscriber_type *out);
/* The same person, in the same role and context. */
bool subscriber_equal(const struct subscriber *a, const struct subscriber *b);
