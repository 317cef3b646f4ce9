/* What a browser sends for a page: Origin, Host, the allowed Origins, the query and the list of
 * sub-protocols, one a line. An Origin that nobody listed is only accepted when the host itself is
 * in it, and nothing that asks for Protobuf alone is accepted. */
#include <strings.h>

#include "fuzz.h"
#include "gateway/handshake.h"

static struct span next_line(struct span *rest)
{
    const uint8_t *end = rest->size ? memchr(rest->data, '\n', rest->size) : NULL;
    size_t size = end ? (size_t)(end - rest->data) : rest->size;
    struct span line = span_of(rest->data, size);
    size += end ? 1 : 0;
    *rest = span_of(rest->data + size, rest->size - size);
    return line;
}

static bool contains(struct span text, struct span part)
{
    for (size_t i = 0; i + part.size <= text.size; i++)
        if (strncasecmp((const char *)text.data + i, (const char *)part.data, part.size) == 0)
            return true;
    return false;
}

/* The host without its port. */
static struct span bare_host(struct span host)
{
    for (size_t i = host.size; i > 0 && host.data[i - 1] != ']'; i--)
        if (host.data[i - 1] == ':')
            return span_of(host.data, i - 1);
    return host;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span rest = span_of(data, size), none = span_of(NULL, 0);
    struct handshake request = {.path = span_text(HANDSHAKE_PATH),
                                .upgrade = span_text("websocket"),
                                .connection = span_text("Upgrade"),
                                .version = span_text("13"),
                                .key = span_text("dGhlIHNhbXBsZSBub25jZQ==")};
    request.origin = next_line(&rest);
    request.host = next_line(&rest);
    struct span allowed = next_line(&rest);
    request.query = next_line(&rest);
    request.protocols = next_line(&rest);

    bool own = handshake_origin_allowed(request.origin, request.host, none);
    FUZZ_CHECK(!own || request.origin.size == 0 ||
               contains(request.origin, bare_host(request.host)));
    FUZZ_CHECK(!own || handshake_origin_allowed(request.origin, request.host, allowed));

    enum handshake_verdict verdict = handshake_judge(&request, allowed);
    if (verdict != HANDSHAKE_ACCEPTED) {
        FUZZ_CHECK(handshake_status(verdict) && handshake_text(verdict));
        return 0;
    }
    FUZZ_CHECK(handshake_origin_allowed(request.origin, request.host, allowed));
    FUZZ_CHECK(request.protocols.size == 0 ||
               contains(request.protocols, span_text(HANDSHAKE_SUBPROTOCOL)));
    return 0;
}
