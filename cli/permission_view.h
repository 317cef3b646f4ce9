#pragma once
#include <stdbool.h>

#include "common/address.h"
#include "proto/buffer.h"
#include "proto/wire.h"

/* permission_view - who may read, as people read it: from the broker's replies to `handlers` and
 * `explain` (proto/backend_codec.h). Pure.
 *
 * False, and what was written is worthless, when the reply is not such a one.
 */

/* A table by site, app, channel and resource, with a word on how many it does not show. */
bool permission_view_handlers(const struct wire_value *reply, struct buffer *to);

struct permission_question {
    struct address address; /* the site is not looked at */
    const char *type;       /* "MEMBER" */
    const char *subscriber; /* may be empty */
};

/* The verdict, who gave it, how, and how long it holds: a line each. */
bool permission_view_explanation(const struct wire_value *reply,
                                 const struct permission_question *question, struct buffer *to);

/* The reply as one line of JSON, without `id` and `ok`, which belong to the connection. */
bool permission_view_json(const struct wire_value *reply, struct buffer *to);

/* "app/channel:resource", as the commands take it, for a terminal. */
void permission_view_address(struct buffer *to, const struct address *address);
