#pragma once
#include <stdbool.h>

#include "proto/buffer.h"

/* http_get - one page after the other over HTTP, by libcurl: no proxy, no redirects, at most
 * HTTP_GET_BYTES of it. The only file of the command line that knows libcurl. Not thread-safe. */
typedef struct http_get http_get_t;

#define HTTP_GET_BYTES ((size_t)8 << 20)

/* Is this http:// or https:// with a host and nothing behind its path? *why gets what is wrong. */
bool http_get_check(const char *url, struct buffer *why);

/* give_up is asked about once a second while a page is fetched. NULL when memory is exhausted. */
http_get_t *http_get_new(long timeout_ms, bool (*give_up)(void));
void http_get_destroy(http_get_t **self_p);

/* The page, and its status. False: nothing came, or not in time; *why says what happened. */
bool http_get_page(http_get_t *self, const char *url, long *status, struct buffer *page,
                   struct buffer *why);
