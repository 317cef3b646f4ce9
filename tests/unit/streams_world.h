#pragma once
#include "common/streams.h"

/* streams_world - streams whose epochs are 1, 2, 3 ..., with small limits.
 *
 * `settings` are those of the start; a test that changes them calls streams_again or
 * streams_configure. Messages have ten bytes.
 */
#define HEADER_MS 10000
#define AGE_MS    1000
#define COST      (10 + STREAM_MESSAGE_COST) /* of a message */

extern const struct streams_rule rule;
extern struct streams_settings settings;
extern streams_t *streams;

void streams_setup(void);
void streams_teardown(void);
/* Begins anew, with `settings`. */
void streams_again(void);

struct address address_of(const char *site, const char *channel, const char *resource);
/* NULL when there are too many. */
stream_header_t *use_address(struct address address, int64_t now_ms);
/* Of the site "site". */
stream_header_t *use(const char *channel, int64_t now_ms);
bool exists(const char *channel);
/* One message. */
void commit(stream_header_t *header, int64_t now_ms);
void tick(int64_t now_ms);
