#include "common/endpoint.h"

#include <arpa/inet.h>

#include "proto/json_text.h"

#define IPC_PATH_MAX 107 /* sun_path without its terminating zero */
#define HOST_MAX     253

static bool parse_port(struct span text, uint16_t *port)
{
    unsigned value = 0;
    if (text.size == 0 || text.size > 5 || text.data[0] == '0')
        return false;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        value = value * 10 + (unsigned)(text.data[i] - '0');
    }
    *port = (uint16_t)value;
    return value <= UINT16_MAX;
}

/* No white space, control characters, quotes or the separators of a URL. */
static bool is_plain(struct span text, const char *refused)
{
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        if (c <= ' ' || c == 0x7f || strchr(refused, c))
            return false;
    }
    return text.size > 0 && utf8_valid(text, NULL);
}

static bool take_prefix(struct span *text, const char *prefix)
{
    size_t size = strlen(prefix);
    if (text->size < size || memcmp(text->data, prefix, size) != 0)
        return false;
    *text = span_of(text->data + size, text->size - size);
    return true;
}

static bool parse_tcp(struct span text, struct endpoint *out)
{
    size_t colon = text.size;
    while (colon > 0 && text.data[colon - 1] != ':')
        colon--;
    if (colon == 0 || !parse_port(span_of(text.data + colon, text.size - colon), &out->port))
        return false;

    struct span host = span_of(text.data, colon - 1);
    bool bracketed = host.size > 2 && host.data[0] == '[' && host.data[host.size - 1] == ']';
    out->host = bracketed ? span_of(host.data + 1, host.size - 2) : host;
    if (bracketed)
        return memchr(out->host.data, ':', out->host.size) && endpoint_is_address(out->host);
    return host.size <= HOST_MAX && is_plain(host, ":/[]@;\"'");
}

bool endpoint_parse(struct span text, struct endpoint *out)
{
    *out = (struct endpoint){0};
    if (take_prefix(&text, "tcp://"))
        return parse_tcp(text, out);
    if (!take_prefix(&text, "ipc://"))
        return false;
    out->transport = ENDPOINT_IPC;
    out->host = text;
    return text.size <= IPC_PATH_MAX && is_plain(text, ";\"'");
}

/* Binary address of a literal: 4 or 16 bytes, 0 for anything else. */
static size_t parse_address(struct span host, uint8_t out[16])
{
    char text[INET6_ADDRSTRLEN];
    if (host.size == 0 || host.size >= sizeof text || memchr(host.data, 0, host.size))
        return 0;
    memcpy(text, host.data, host.size);
    text[host.size] = '\0';
    if (inet_pton(AF_INET, text, out) == 1)
        return 4;
    return inet_pton(AF_INET6, text, out) == 1 ? 16 : 0;
}

bool endpoint_is_address(struct span host)
{
    uint8_t address[16];
    return parse_address(host, address) != 0;
}

bool endpoint_is_loopback(struct span host)
{
    static const uint8_t loopback6[16] = {[15] = 1};
    uint8_t address[16];
    size_t size = parse_address(host, address);
    return (size == 4 && address[0] == 127) ||
           (size == 16 && memcmp(address, loopback6, sizeof loopback6) == 0);
}

bool endpoint_is_local(const struct endpoint *self)
{
    return self->transport == ENDPOINT_IPC || endpoint_is_loopback(self->host);
}

static bool is_wildcard(struct span host)
{
    static const uint8_t zeros[16];
    uint8_t address[16];
    size_t size = parse_address(host, address);
    return span_is(host, "*") || (size > 0 && memcmp(address, zeros, size) == 0);
}

static bool same_host(struct span a, struct span b)
{
    uint8_t x[16], y[16];
    size_t size = parse_address(a, x);
    if (size == 0 || size != parse_address(b, y))
        return span_equal(a, b);
    return memcmp(x, y, size) == 0;
}

bool endpoint_overlaps(const struct endpoint *a, const struct endpoint *b)
{
    if (a->transport != b->transport || a->port != b->port)
        return false;
    if (same_host(a->host, b->host))
        return true;
    return a->transport == ENDPOINT_TCP && (is_wildcard(a->host) || is_wildcard(b->host));
}
