#pragma once
#include "proto/span.h"

/* http_request - what does a plain HTTP request to a gateway with a demo page ask for?
 *
 * GET or HEAD of / or /FILE, one level, nothing hidden, known types only; POST of
 * /demo/kill/GATEWAY or /demo/revoke from the page itself. The Host must be this machine by a name
 * or address that cannot mean another one, so that no web page can reach the demo through a name of
 * its own that it lets point here. Pure. All spans are borrowed.
 */

#define HTTP_REQUEST_NAME_MAX 64 /* of a file or a gateway */

enum http_method { HTTP_OTHER, HTTP_GET, HTTP_HEAD, HTTP_POST, HTTP_OPTIONS };

struct http_request {
    enum http_method method;
    struct span path;         /* decoded, without the query */
    struct span origin, host; /* an absent one is empty */
};

enum http_verdict {
    HTTP_FILE,
    HTTP_KILL,
    HTTP_REVOKE,
#define REFUSAL(NAME, status, text) HTTP_REFUSED_##NAME,
#include "gateway/http_request.def"
#undef REFUSAL
    HTTP_VERDICTS /* how many there are */
};

/* The first thing that is wrong (never REFUSED_SUPERVISOR), or what is asked for: *name is then
 * the file's or the gateway's, made of letters, digits, '.', '_' and '-'; empty for a revoke, which
 * takes no word of the client's. */
enum http_verdict http_request_judge(const struct http_request *request, struct span *name);

/* The Content-Type of a file that http_request_judge has named. */
const char *http_request_type(struct span file);

/* "404 Not Found" and one line for people; NULL for what is not refused. */
const char *http_request_status(enum http_verdict verdict);
const char *http_request_text(enum http_verdict verdict);
