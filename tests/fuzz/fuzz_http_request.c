/* A request to the demo page: a byte for the method, then Host, Origin and path, one a line (the
 * path may go on over lines). Whatever is let through names one file or gateway, of harmless
 * letters only, or nothing at all, and comes from this machine; a kill and a revoke come from the
 * page itself. */
#include "fuzz.h"
#include "gateway/handshake.h"
#include "gateway/http_request.h"

static struct span next_line(struct span *rest)
{
    const uint8_t *end = rest->size ? memchr(rest->data, '\n', rest->size) : NULL;
    size_t size = end ? (size_t)(end - rest->data) : rest->size;
    struct span line = span_of(rest->data, size);
    size += end ? 1 : 0;
    *rest = span_of(rest->data + size, rest->size - size);
    return line;
}

static bool is_harmless(struct span name)
{
    for (size_t i = 0; i < name.size; i++) {
        uint8_t c = name.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '.' || c == '_' || c == '-'))
            return false;
    }
    return name.size > 0 && name.size <= HTTP_REQUEST_NAME_MAX;
}

static bool names_what_it_may(enum http_verdict verdict, struct span path, struct span name)
{
    if (verdict == HTTP_REVOKE)
        return name.size == 0 && span_is(path, "/demo/revoke");
    return is_harmless(name) &&
           (verdict == HTTP_KILL || (name.data[0] != '.' && http_request_type(name)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct span rest = span_of(data + 1, size - 1), name;
    struct http_request request = {.method = data[0] % (HTTP_POST + 1)};
    request.host = next_line(&rest);
    request.origin = next_line(&rest);
    request.path = rest;
    enum http_verdict verdict = http_request_judge(&request, &name);
    if (verdict != HTTP_FILE && verdict != HTTP_KILL && verdict != HTTP_REVOKE) {
        FUZZ_CHECK(http_request_status(verdict) && http_request_text(verdict));
        return 0;
    }
    FUZZ_CHECK(names_what_it_may(verdict, request.path, name));
    FUZZ_CHECK(handshake_host_is_local(request.host));
    if (verdict != HTTP_FILE)
        FUZZ_CHECK(request.method == HTTP_POST &&
                   handshake_origin_allowed(request.origin, request.host, span_of(NULL, 0)));
    return 0;
}
