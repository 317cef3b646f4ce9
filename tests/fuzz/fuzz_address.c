/* What a client may write, and what a peer may send: an address that was accepted survives
 * encoding, bytes that were accepted are the only form of their address, and no two different
 * addresses are prefixes of each other. */
#include "common/address.h"
#include "fuzz.h"

static bool same(const struct address *a, const struct address *b)
{
    return a->view == b->view && span_equal(a->site, b->site) && span_equal(a->app, b->app) &&
           span_equal(a->channel, b->channel) && span_equal(a->resource, b->resource);
}

static bool parse(struct span text, struct address *out)
{
    const struct address context = {
        .view = VIEW_LIVE, .site = span_text("acme"), .app = span_text("shop")};
    return address_parse(text, &context, out) == ADDRESS_OK;
}

static size_t check_round_trip(const struct address *address, uint8_t key[ADDRESS_KEY_MAX])
{
    struct address decoded;
    size_t size = address_encode(address, key);
    FUZZ_CHECK(size <= ADDRESS_KEY_MAX);
    FUZZ_CHECK(address_decode(span_of(key, size), &decoded) && same(address, &decoded));
    FUZZ_CHECK(address_size(span_of(key, size)) == size);
    return size;
}

static void check_text(struct span a, struct span b)
{
    struct address x, y;
    uint8_t x_key[ADDRESS_KEY_MAX], y_key[ADDRESS_KEY_MAX];
    if (!parse(a, &x))
        return;
    size_t x_size = check_round_trip(&x, x_key);
    if (!parse(b, &y))
        return;
    size_t y_size = check_round_trip(&y, y_key);
    size_t shorter = x_size < y_size ? x_size : y_size;
    FUZZ_CHECK((memcmp(x_key, y_key, shorter) == 0) == same(&x, &y));
}

static void check_key(struct span key)
{
    struct address address;
    uint8_t again[ADDRESS_KEY_MAX];
    FUZZ_CHECK(address_size(key) <= key.size);
    if (!address_decode(key, &address))
        return;
    FUZZ_CHECK(address_check(&address) == ADDRESS_OK);
    FUZZ_CHECK(span_equal(span_of(again, address_encode(&address, again)), key));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span input = span_of(data, size);
    const uint8_t *line = size ? memchr(data, '\n', size) : NULL;
    size_t first = line ? (size_t)(line - data) : size;
    check_key(input);
    check_text(input, input);
    if (line)
        check_text(span_of(data, first), span_of(line + 1, size - first - 1));
    return 0;
}
