/* A request of the fallback over plain HTTP: a byte for the method, one for the path and whether
 * there is a Transfer-Encoding, one for a verdict of others; then Origin, Host, the allowed
 * Origins, Content-Length, cf_connect and Sec-Fetch-Mode, one a line; what is left is said behind
 * the answer's text. Whoever is let through has an Origin that may, or none and is no page that
 * hides it, and announced a body within the limits; every answer is one HTTP head of which the
 * Origin cannot make another, and as long as it says. */
#include "fuzz.h"
#include "gateway/fallback_request.h"
#include "gateway/handshake.h"
#include "proto/limits.h"

static const char *const paths[] = {"/connection/http_stream", "/connection/sse", "/emulation"};

static struct span next_line(struct span *rest)
{
    const uint8_t *end = rest->size ? memchr(rest->data, '\n', rest->size) : NULL;
    size_t size = end ? (size_t)(end - rest->data) : rest->size;
    struct span line = span_of(rest->data, size);
    size += end ? 1 : 0;
    *rest = span_of(rest->data + size, rest->size - size);
    return line;
}

/* --- verdicts --- */

/* Digits, and no number but this one. */
static bool says(struct span length, size_t body)
{
    char text[32];
    int size = snprintf(text, sizeof text, "%zu", body);
    while (length.size > (size_t)size && length.data[0] == '0')
        length = span_of(length.data + 1, length.size - 1);
    return span_is(length, text);
}

/* A page's request for a stream, as something that has no Origin: an image, a frame. */
static bool is_hidden(const struct fallback_request *request)
{
    return request->method == HTTP_GET && span_is(request->path, "/connection/sse") &&
           request->fetch_mode.size > 0 && !span_is(request->fetch_mode, "cors");
}

static void check_post(const struct fallback_request *request, enum fallback_verdict verdict,
                       size_t body)
{
    FUZZ_CHECK(!request->has_encoding && says(request->length, body) && body > 0);
    FUZZ_CHECK(body <=
               (verdict == FALLBACK_COMMANDS ? LIMIT_EMULATION_BYTES : LIMIT_CLIENT_FRAME_BYTES));
}

static void check_accepted(const struct fallback_request *request, enum fallback_verdict verdict,
                           struct span allowed, size_t body)
{
    static const enum fallback_verdict kinds[] = {FALLBACK_STREAM, FALLBACK_EVENTS,
                                                  FALLBACK_COMMANDS};
    FUZZ_CHECK(request->host.size > 0 && !is_hidden(request));
    FUZZ_CHECK(handshake_origin_allowed(request->origin, request->host, allowed));
    if (verdict == FALLBACK_PREFLIGHT) {
        FUZZ_CHECK(request->method == HTTP_OPTIONS && body == 0);
        return;
    }
    FUZZ_CHECK(span_is(request->path, paths[verdict - kinds[0]]));
    if (request->method == HTTP_POST)
        check_post(request, verdict, body);
    else
        FUZZ_CHECK(request->method == HTTP_GET && verdict == FALLBACK_EVENTS && body == 0 &&
                   request->cf_connect.size > 0);
}

static void check_verdict(const struct fallback_request *request, enum fallback_verdict verdict,
                          struct span allowed, size_t body)
{
    switch (verdict) {
    case FALLBACK_STREAM:
    case FALLBACK_EVENTS:
    case FALLBACK_COMMANDS:
    case FALLBACK_PREFLIGHT:
        check_accepted(request, verdict, allowed, body);
        return;
    case FALLBACK_REFUSED_ORIGIN:
        FUZZ_CHECK(!handshake_origin_allowed(request->origin, request->host, allowed) ||
                   is_hidden(request));
        return;
    case FALLBACK_REFUSED_BODY: /* an empty one is known to be none */
        FUZZ_CHECK(span_is(request->path, "/emulation") && says(request->length, 0));
        return;
    case FALLBACK_REFUSED_HOST:
        FUZZ_CHECK(request->host.size == 0);
        return;
    case FALLBACK_REFUSED_METHOD:
    case FALLBACK_REFUSED_LENGTH:
    case FALLBACK_REFUSED_SIZE:
    case FALLBACK_REFUSED_CONNECT:
        FUZZ_CHECK(!is_hidden(request));
        return;
    default:
        FUZZ_CHECK(false); /* it needs more than the request */
    }
}

/* --- answers --- */

static bool is_token(struct span name)
{
    for (size_t i = 0; i < name.size; i++) {
        uint8_t c = name.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-'))
            return false;
    }
    return name.size > 0;
}

/* Without its end. */
static struct span next_header(struct span *rest)
{
    struct span line = next_line(rest);
    FUZZ_CHECK(line.size > 0 && line.data[line.size - 1] == '\r');
    line.size--;
    FUZZ_CHECK(line.size == 0 || !memchr(line.data, '\r', line.size));
    return line;
}

/* The value of the header when it has this name. */
static bool header_is(struct span line, const char *name, struct span *value)
{
    const uint8_t *colon = memchr(line.data, ':', line.size);
    FUZZ_CHECK(colon && (size_t)(colon - line.data) + 2 < line.size && colon[1] == ' ');
    struct span is = span_of(line.data, (size_t)(colon - line.data));
    FUZZ_CHECK(is_token(is));
    if (!span_is(is, name))
        return false;
    *value = span_of(colon + 2, line.size - is.size - 2);
    return true;
}

struct head {
    size_t allows, lengths; /* lines that say so */
    struct span origin, length;
    struct span body;
};

static struct head read_head(struct span text)
{
    struct head head = {0};
    struct span line = next_header(&text);
    FUZZ_CHECK(line.size > 13 && memcmp(line.data, "HTTP/1.1 ", 9) == 0 && line.data[12] == ' ');
    while ((line = next_header(&text)).size > 0) {
        head.allows += header_is(line, "Access-Control-Allow-Origin", &head.origin);
        head.lengths += header_is(line, "Content-Length", &head.length);
    }
    head.body = text;
    return head;
}

static void check_origin(const struct head *head, struct span origin, bool may_read)
{
    FUZZ_CHECK(head->allows == (origin.size > 0 && may_read ? 1 : 0));
    FUZZ_CHECK(head->allows == 0 || span_equal(head->origin, origin));
}

static void check_answer(enum fallback_verdict verdict, struct span origin, struct span why)
{
    struct buffer text = {0};
    fallback_write_answer(&text, verdict, origin, why);
    FUZZ_CHECK(!text.failed);
    struct head head = read_head(buffer_span(&text));
    check_origin(&head, origin, verdict != FALLBACK_REFUSED_ORIGIN);
    bool is_empty = verdict == FALLBACK_COMMANDS || verdict == FALLBACK_PREFLIGHT;
    FUZZ_CHECK(head.lengths == (is_empty ? 0 : 1));
    FUZZ_CHECK(is_empty ? head.body.size == 0 : says(head.length, head.body.size));
    FUZZ_CHECK(
        is_empty ||
        (head.body.size > why.size + 1 &&
         span_equal(span_of(head.body.data + head.body.size - why.size - 1, why.size), why)));
    buffer_free(&text);
}

static void check_head(enum fallback_verdict kind, struct span origin)
{
    struct buffer text = {0};
    fallback_write_head(&text, kind, origin);
    FUZZ_CHECK(!text.failed);
    struct head head = read_head(buffer_span(&text));
    check_origin(&head, origin, true);
    FUZZ_CHECK(head.lengths == 0);
    FUZZ_CHECK(span_is(head.body, kind == FALLBACK_EVENTS ? "\r\n" : ""));
    buffer_free(&text);
}

static void check_written(enum fallback_verdict verdict, struct span origin, struct span why)
{
    if (verdict == FALLBACK_STREAM || verdict == FALLBACK_EVENTS)
        check_head(verdict, origin);
    else
        check_answer(verdict, origin, why);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    struct span rest = span_of(data + 3, size - 3);
    struct fallback_request request = {.method = data[0] % (HTTP_OPTIONS + 1),
                                       .path = span_text(paths[(data[1] >> 1) % 3]),
                                       .has_encoding = data[1] & 1};
    FUZZ_CHECK(fallback_is_path(request.path));
    request.origin = next_line(&rest);
    request.host = next_line(&rest);
    struct span allowed = next_line(&rest);
    request.length = next_line(&rest);
    request.cf_connect = next_line(&rest);
    request.fetch_mode = next_line(&rest);

    size_t body;
    enum fallback_verdict verdict = fallback_judge(&request, allowed, &body);
    check_verdict(&request, verdict, allowed, body);
    /* What parses the request ends a header at its CR. */
    if (request.origin.size > 0 && memchr(request.origin.data, '\r', request.origin.size))
        return 0;
    check_written(verdict, request.origin, rest);
    check_written(data[2] % FALLBACK_VERDICTS, request.origin, rest);
    FUZZ_CHECK(fallback_is_path(rest) ==
               (span_is(rest, paths[0]) || span_is(rest, paths[1]) || span_is(rest, paths[2])));
    return 0;
}
