#include "gateway/http_request.h"

#include <assert.h>

#include "common/address.h"
#include "gateway/handshake.h"
#include "proto/limits.h"

#define KILL_PATH   "/demo/kill/"
#define REVOKE_PATH "/demo/revoke"

static const struct {
    const char *ending, *type;
} types[] = {
    {".html", "text/html; charset=utf-8"},
    {".css", "text/css; charset=utf-8"},
    {".js", "text/javascript; charset=utf-8"},
    {".json", "application/json"},
    {".svg", "image/svg+xml"},
};

static bool has_ending(struct span text, struct span ending)
{
    return text.size > ending.size &&
           memcmp(text.data + text.size - ending.size, ending.data, ending.size) == 0;
}

const char *http_request_type(struct span file)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (has_ending(file, span_text(types[i].ending)))
            return types[i].type;
    return NULL;
}

static_assert(HTTP_REQUEST_NAME_MAX == LIMIT_APP_BYTES, "names are what address_is_id accepts");

static bool is_file(struct span name)
{
    return address_is_id(name) && name.data[0] != '.' && http_request_type(name);
}

static enum http_verdict judge_file(const struct http_request *request, struct span *name)
{
    if (request->path.size == 0 || request->path.data[0] != '/')
        return HTTP_REFUSED_PATH;
    *name = span_of(request->path.data + 1, request->path.size - 1);
    if (name->size == 0)
        *name = span_text("index.html");
    if (!is_file(*name))
        return HTTP_REFUSED_PATH;
    return request->method == HTTP_GET || request->method == HTTP_HEAD ? HTTP_FILE
                                                                       : HTTP_REFUSED_METHOD;
}

/* Browsers send an Origin with every POST; who sends none is no web page. */
static enum http_verdict judge_control(const struct http_request *request, enum http_verdict wanted)
{
    if (request->method != HTTP_POST)
        return HTTP_REFUSED_METHOD;
    if (!handshake_origin_allowed(request->origin, request->host, span_of(NULL, 0)))
        return HTTP_REFUSED_ORIGIN;
    return wanted;
}

enum http_verdict http_request_judge(const struct http_request *request, struct span *name)
{
    struct span kill = span_text(KILL_PATH), path = request->path;
    if (!handshake_host_is_local(request->host))
        return HTTP_REFUSED_HOST;
    *name = span_of(NULL, 0);
    if (span_is(path, REVOKE_PATH))
        return judge_control(request, HTTP_REVOKE);
    if (path.size < kill.size || memcmp(path.data, kill.data, kill.size) != 0)
        return judge_file(request, name);
    *name = span_of(path.data + kill.size, path.size - kill.size);
    return judge_control(request, address_is_id(*name) ? HTTP_KILL : HTTP_REFUSED_GATEWAY);
}

const char *http_request_status(enum http_verdict verdict)
{
    static const char *const statuses[HTTP_VERDICTS] = {
#define REFUSAL(NAME, status, text) [HTTP_REFUSED_##NAME] = status,
#include "gateway/http_request.def"
#undef REFUSAL
    };
    return statuses[verdict];
}

const char *http_request_text(enum http_verdict verdict)
{
    static const char *const texts[HTTP_VERDICTS] = {
#define REFUSAL(NAME, status, text) [HTTP_REFUSED_##NAME] = text,
#include "gateway/http_request.def"
#undef REFUSAL
    };
    return texts[verdict];
}
