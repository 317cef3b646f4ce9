#include "gateway/fallback_request.h"

#include <assert.h>

#include "gateway/handshake.h"
#include "proto/limits.h"

static const struct {
    const char *path;
    enum fallback_verdict kind;
    size_t body_max;
} paths[] = {
    {"/connection/http_stream", FALLBACK_STREAM, LIMIT_CLIENT_FRAME_BYTES},
    {"/connection/sse", FALLBACK_EVENTS, LIMIT_CLIENT_FRAME_BYTES},
    {"/emulation", FALLBACK_COMMANDS, LIMIT_EMULATION_BYTES},
};
#define PATHS (sizeof paths / sizeof *paths)

static size_t find_path(struct span path)
{
    size_t i = 0;
    while (i < PATHS && !span_is(path, paths[i].path))
        i++;
    return i;
}

bool fallback_is_path(struct span path)
{
    return find_path(path) < PATHS;
}

/* Decimal digits alone. One that is longer than any limit is as good as the next. */
static bool parse_length(struct span text, size_t *out)
{
    *out = 0;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        if (*out <= LIMIT_EMULATION_BYTES)
            *out = *out * 10 + (size_t)(text.data[i] - '0');
    }
    return text.size > 0;
}

static enum fallback_verdict judge_post(const struct fallback_request *request, size_t path,
                                        size_t *body)
{
    enum fallback_verdict kind = paths[path].kind;
    if (request->has_encoding || !parse_length(request->length, body))
        return FALLBACK_REFUSED_LENGTH;
    if (*body > paths[path].body_max)
        return FALLBACK_REFUSED_SIZE;
    if (*body > 0)
        return kind;
    return kind == FALLBACK_COMMANDS ? FALLBACK_REFUSED_BODY : FALLBACK_REFUSED_CONNECT;
}

enum fallback_verdict fallback_judge(const struct fallback_request *request,
                                     struct span allowed_origins, size_t *body)
{
    size_t path = find_path(request->path);
    assert(path < PATHS);
    *body = 0;
    if (request->host.size == 0)
        return FALLBACK_REFUSED_HOST;
    if (!handshake_origin_allowed(request->origin, request->host, allowed_origins))
        return FALLBACK_REFUSED_ORIGIN;
    switch (request->method) {
    case HTTP_POST:
        return judge_post(request, path, body);
    case HTTP_OPTIONS:
        return FALLBACK_PREFLIGHT;
    case HTTP_GET:
        if (paths[path].kind != FALLBACK_EVENTS)
            return FALLBACK_REFUSED_METHOD;
        if (request->fetch_mode.size > 0 && !span_is(request->fetch_mode, "cors"))
            return FALLBACK_REFUSED_ORIGIN; /* a page asks for an image or so, without an Origin */
        return request->cf_connect.size > 0 ? FALLBACK_EVENTS : FALLBACK_REFUSED_CONNECT;
    default:
        return FALLBACK_REFUSED_METHOD;
    }
}

/* --- answers --- */

static const char *status_of(enum fallback_verdict verdict)
{
    static const char *const statuses[FALLBACK_VERDICTS] = {
        [FALLBACK_COMMANDS] = "204 No Content",
        [FALLBACK_PREFLIGHT] = "204 No Content",
#define REFUSAL(name, NAME, status, text) [FALLBACK_REFUSED_##NAME] = status,
#include "proto/fallback.def"
#undef REFUSAL
    };
    assert(statuses[verdict]);
    return statuses[verdict];
}

static const char *text_of(enum fallback_verdict verdict)
{
    static const char *const texts[FALLBACK_VERDICTS] = {
#define REFUSAL(name, NAME, status, text) [FALLBACK_REFUSED_##NAME] = text,
#include "proto/fallback.def"
#undef REFUSAL
    };
    return texts[verdict];
}

/* The page of this Origin may read the answer. */
static void put_origin(struct buffer *to, struct span origin)
{
    if (origin.size == 0)
        return;
    buffer_put_text(to, "Access-Control-Allow-Origin: ");
    buffer_put_span(to, origin);
    buffer_put_text(to, "\r\nVary: Origin\r\n");
}

static void put_text(struct buffer *to, const char *text, struct span why)
{
    size_t size = strlen(text) + (why.size > 0 ? 2 + why.size : 0) + 1;
    buffer_printf(to,
                  "Content-Type: text/plain; charset=utf-8\r\nContent-Length: %zu\r\n"
                  "X-Content-Type-Options: nosniff\r\n\r\n%s",
                  size, text);
    if (why.size > 0) {
        buffer_put_text(to, ": ");
        buffer_put_span(to, why);
    }
    buffer_put_byte(to, '\n');
}

void fallback_write_answer(struct buffer *to, enum fallback_verdict verdict, struct span origin,
                           struct span why)
{
    const char *text = text_of(verdict);
    buffer_printf(to, "HTTP/1.1 %s\r\nConnection: close\r\nCache-Control: no-store\r\n",
                  status_of(verdict));
    if (verdict != FALLBACK_REFUSED_ORIGIN)
        put_origin(to, origin);
    if (verdict == FALLBACK_REFUSED_METHOD)
        buffer_put_text(to, "Allow: POST, OPTIONS\r\n");
    if (verdict == FALLBACK_PREFLIGHT)
        buffer_put_text(to, "Access-Control-Allow-Methods: GET, POST, OPTIONS\r\n"
                            "Access-Control-Allow-Headers: Content-Type\r\n"
                            "Access-Control-Max-Age: 600\r\n");
    if (text)
        put_text(to, text, why);
    else
        buffer_put_text(to, "\r\n");
}

/* The body ends with the connection, so that HTTP/1.0 will do, which some proxies speak. They are
 * told to pass on what they get at once. */
void fallback_write_head(struct buffer *to, enum fallback_verdict kind, struct span origin)
{
    bool has_events = kind == FALLBACK_EVENTS;
    buffer_printf(to,
                  "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nConnection: close\r\n"
                  "Cache-Control: private, no-cache, no-store, must-revalidate, max-age=0\r\n"
                  "X-Accel-Buffering: no\r\nX-Content-Type-Options: nosniff\r\n",
                  has_events ? "text/event-stream" : "application/json");
    put_origin(to, origin);
    buffer_put_text(to, has_events ? "\r\n\r\n" : "\r\n"); /* events begin with an empty line */
}
