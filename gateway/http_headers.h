#pragma once
#include <libwebsockets.h>

#include "gateway/http_request.h"
#include "proto/span.h"

/* http_headers - copies of what libwebsockets has read of a request. `size` = 0 makes one ready.
 *
 * libwebsockets 4.1.6 loses the header behind one whose name is the beginning of a name that it
 * knows, such as X-A (of x-auth-token). No web page can send such a header without a preflight.
 */

#define HTTP_HEADERS_BYTES 8192 /* of one request, in all */

/* All copies fit: together headers have at most HTTP_HEADERS_BYTES, and each a comma or NUL. */
struct http_headers {
    char text[2 * HTTP_HEADERS_BYTES];
    size_t size;
};

/* Empty when it is absent. Lines of a repeated header are joined by a comma. */
struct span http_headers_copy(struct http_headers *self, struct lws *wsi,
                              enum lws_token_indexes name);
/* One that libwebsockets does not know; `name` is in small letters and ends with ':'. */
struct span http_headers_custom(struct http_headers *self, struct lws *wsi, const char *name);
/* What stands behind the '?', decoded, each argument followed by '&'. */
struct span http_headers_query(struct http_headers *self, struct lws *wsi);
/* The value of one argument, decoded; `name` ends with '='. Empty when it is absent. */
struct span http_headers_argument(struct http_headers *self, struct lws *wsi, const char *name);
/* The method, and the path without the query, decoded. */
enum http_method http_headers_path(struct http_headers *self, struct lws *wsi, struct span *path);
/* False: the request line ends where its path or query has a control character, be it encoded; what
 * follows was taken for a header, and another header was lost for it. Nothing may be concluded from
 * a header that is absent, such as an Origin. */
bool http_headers_are_whole(struct lws *wsi);
