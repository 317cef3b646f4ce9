#include "gateway/handshake.h"

#include <strings.h>

#include "common/endpoint.h"

static bool same_text(struct span a, struct span b)
{
    return a.size == b.size &&
           (a.size == 0 || strncasecmp((const char *)a.data, (const char *)b.data, a.size) == 0);
}

static struct span trim(struct span text)
{
    while (text.size > 0 && (text.data[0] == ' ' || text.data[0] == '\t'))
        text = span_of(text.data + 1, text.size - 1);
    while (text.size > 0 && (text.data[text.size - 1] == ' ' || text.data[text.size - 1] == '\t'))
        text.size--;
    return text;
}

/* Takes what stands before the next separator off the front. False when nothing is left. */
static bool next_item(struct span *rest, char separator, struct span *item)
{
    if (rest->size == 0)
        return false;
    const uint8_t *end = memchr(rest->data, separator, rest->size);
    size_t size = end ? (size_t)(end - rest->data) : rest->size;
    *item = trim(span_of(rest->data, size));
    size += end ? 1 : 0;
    *rest = span_of(rest->data + size, rest->size - size);
    return true;
}

static bool list_has(struct span list, const char *wanted)
{
    struct span item;
    while (next_item(&list, ',', &item))
        if (same_text(item, span_text(wanted)))
            return true;
    return false;
}

/* --- Origin --- */

struct authority {
    struct span host; /* [::1] with its brackets */
    unsigned port;    /* 0: none, and the scheme has no default */
};

/* 0 for text that is no port. */
static unsigned parse_port(struct span text)
{
    unsigned port = 0;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9' || port > UINT16_MAX)
            return 0;
        port = port * 10 + (unsigned)(text.data[i] - '0');
    }
    return port <= UINT16_MAX ? port : 0;
}

static bool parse_authority(struct span text, unsigned fallback_port, struct authority *out)
{
    size_t end = text.size;
    while (end > 0 && text.data[end - 1] != ':' && text.data[end - 1] != ']')
        end--;
    bool has_port = end > 0 && text.data[end - 1] == ':';
    out->host = has_port ? span_of(text.data, end - 1) : text;
    out->port = has_port ? parse_port(span_of(text.data + end, text.size - end)) : fallback_port;
    return out->host.size > 0 && (!has_port || out->port > 0);
}

struct origin {
    struct span scheme;
    struct authority authority;
};

/* 0: a scheme of its own, such as an app's; such an Origin must be listed. */
static unsigned default_port(struct span scheme)
{
    if (same_text(scheme, span_text("http")))
        return 80;
    return same_text(scheme, span_text("https")) ? 443 : 0;
}

static bool parse_origin(struct span text, struct origin *out)
{
    const uint8_t *mark = text.size > 0 ? memmem(text.data, text.size, "://", 3) : NULL;
    if (!mark)
        return false;
    out->scheme = span_of(text.data, (size_t)(mark - text.data));
    size_t start = out->scheme.size + 3;
    return parse_authority(span_of(text.data + start, text.size - start), default_port(out->scheme),
                           &out->authority);
}

static bool same_authority(const struct authority *a, const struct authority *b)
{
    return a->port == b->port && same_text(a->host, b->host);
}

/* The Host header names no scheme: behind a proxy that ends TLS only the Origin knows it. */
static bool is_own_host(const struct origin *origin, struct span host)
{
    struct authority own;
    unsigned port = default_port(origin->scheme);
    return port > 0 && parse_authority(host, port, &own) &&
           same_authority(&origin->authority, &own);
}

static bool is_listed(const struct origin *origin, struct span allowed)
{
    struct span item;
    struct origin entry;
    while (next_item(&allowed, ' ', &item))
        if (parse_origin(item, &entry) && same_text(entry.scheme, origin->scheme) &&
            same_authority(&entry.authority, &origin->authority))
            return true;
    return false;
}

static bool allows_any(struct span allowed)
{
    struct span item;
    while (next_item(&allowed, ' ', &item))
        if (span_is(item, "*"))
            return true;
    return false;
}

bool handshake_origin_allowed(struct span text, struct span host, struct span allowed)
{
    struct origin origin;
    if (text.size == 0 || allows_any(allowed))
        return true;
    return parse_origin(text, &origin) &&
           (is_own_host(&origin, host) || is_listed(&origin, allowed));
}

bool handshake_host_is_local(struct span text)
{
    struct authority own;
    if (!parse_authority(text, 0, &own))
        return false;
    struct span host = own.host;
    if (host.data[0] == '[' && host.data[host.size - 1] == ']')
        host = span_of(host.data + 1, host.size - 2);
    return same_text(host, span_text("localhost")) || endpoint_is_loopback(host);
}

/* --- the rest --- */

static bool wants_protobuf(struct span query)
{
    struct span argument;
    while (next_item(&query, '&', &argument))
        if (span_is(argument, "cf_protocol=protobuf") || span_is(argument, "format=protobuf"))
            return true;
    return false;
}

static bool is_json_wanted(const struct handshake *request)
{
    if (wants_protobuf(request->query))
        return false;
    return request->protocols.size == 0 || list_has(request->protocols, HANDSHAKE_SUBPROTOCOL);
}

enum handshake_verdict handshake_judge(const struct handshake *request, struct span allowed_origins)
{
    if (!span_is(request->path, HANDSHAKE_PATH))
        return HANDSHAKE_REFUSED_PATH;
    if (!same_text(request->upgrade, span_text("websocket")))
        return HANDSHAKE_REFUSED_UPGRADE;
    if (!list_has(request->connection, "upgrade") || !span_is(request->version, "13") ||
        request->key.size == 0 || request->host.size == 0)
        return HANDSHAKE_REFUSED_REQUEST;
    if (!is_json_wanted(request))
        return HANDSHAKE_REFUSED_PROTOCOL;
    if (!handshake_origin_allowed(request->origin, request->host, allowed_origins))
        return HANDSHAKE_REFUSED_ORIGIN;
    return HANDSHAKE_ACCEPTED;
}

const char *handshake_status(enum handshake_verdict verdict)
{
    static const char *const statuses[HANDSHAKE_VERDICTS] = {
#define REFUSAL(name, NAME, status, text) [HANDSHAKE_REFUSED_##NAME] = status,
#include "proto/handshake.def"
#undef REFUSAL
    };
    return statuses[verdict];
}

const char *handshake_text(enum handshake_verdict verdict)
{
    static const char *const texts[HANDSHAKE_VERDICTS] = {
#define REFUSAL(name, NAME, status, text) [HANDSHAKE_REFUSED_##NAME] = text,
#include "proto/handshake.def"
#undef REFUSAL
    };
    return texts[verdict];
}
