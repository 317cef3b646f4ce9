#include "common/address.h"

#include <assert.h>

#include "proto/json_text.h"

static const char *const rule_texts[] = {
    [ADDRESS_OK] = "ok",
#define ADDRESS_RULE(NAME, text) [ADDRESS_##NAME] = text,
#include "common/address_rules.def"
#undef ADDRESS_RULE
};

const char *address_rule_text(enum address_rule rule)
{
    return rule_texts[rule];
}

/* Not isalnum(): its answer depends on the locale. */
static bool is_letter_or_digit(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool address_is_id(struct span id)
{
    if (id.size == 0 || id.size > LIMIT_APP_BYTES)
        return false;
    for (size_t i = 0; i < id.size; i++) {
        uint8_t c = id.data[i];
        if (!is_letter_or_digit(c) && c != '.' && c != '_' && c != '-')
            return false;
    }
    return true;
}

static enum address_rule check_channel(struct span name)
{
    size_t start = name.size && name.data[0] == '@' ? 1 : 0;
    if (name.size == start)
        return ADDRESS_CHANNEL_EMPTY;
    for (size_t i = start; i < name.size; i++) {
        uint8_t c = name.data[i];
        if (!is_letter_or_digit(c) && c != '_' && c != '-')
            return ADDRESS_CHANNEL_CHARACTER;
    }
    return ADDRESS_OK;
}

static enum address_rule check_resource(struct span id, size_t *codepoints)
{
    if (!utf8_valid(id, codepoints))
        return ADDRESS_RESOURCE_UTF8;
    if (id.size && memchr(id.data, 0, id.size))
        return ADDRESS_RESOURCE_NUL;
    return ADDRESS_OK;
}

enum address_rule address_check(const struct address *address)
{
    if (address->app.size && !address_is_id(address->app))
        return ADDRESS_APP;
    enum address_rule rule = check_channel(address->channel);
    if (rule != ADDRESS_OK)
        return rule;
    size_t codepoints = 0;
    rule = check_resource(address->resource, &codepoints);
    if (rule != ADDRESS_OK)
        return rule;
    if (address->channel.size + codepoints > LIMIT_ADDRESS_CODEPOINTS)
        return ADDRESS_TOO_LONG;
    return ADDRESS_OK;
}

/* Where the first of the two bytes is, text.size when there is neither. */
static size_t find_either(struct span text, uint8_t a, uint8_t b)
{
    size_t at = 0;
    while (at < text.size && text.data[at] != a && text.data[at] != b)
        at++;
    return at;
}

static struct span span_after(struct span text, size_t at)
{
    return span_of(text.data + at, text.size - at);
}

enum address_rule address_parse(struct span text, const struct address *context,
                                struct address *out)
{
    *out = (struct address){.view = context->view, .site = context->site, .app = context->app};

    size_t at = find_either(text, '/', ':');
    if (at < text.size && text.data[at] == '/') {
        out->app = span_of(text.data, at);
        text = span_after(text, at + 1);
        at = find_either(text, ':', ':');
    }
    out->channel = span_of(text.data, at);

    bool has_resource = at < text.size;
    if (has_resource)
        out->resource = span_after(text, at + 1);
    enum address_rule rule = address_check(out);
    if (rule == ADDRESS_OK && has_resource && out->resource.size == 0)
        return ADDRESS_RESOURCE_EMPTY;
    return rule;
}

static uint8_t *put_part(uint8_t *to, struct span part)
{
    *to++ = (uint8_t)part.size;
    if (part.size)
        memcpy(to, part.data, part.size);
    return to + part.size;
}

size_t address_encode(const struct address *address, uint8_t out[ADDRESS_KEY_MAX])
{
    assert(address->site.size <= LIMIT_SITE_BYTES && address->app.size <= LIMIT_APP_BYTES);
    assert(address->channel.size <= LIMIT_CHANNEL_BYTES);
    assert(address->resource.size <= LIMIT_RESOURCE_BYTES);

    uint8_t *to = out;
    *to++ = (uint8_t)address->view;
    to = put_part(to, address->site);
    to = put_part(to, address->app);
    to = put_part(to, address->channel);
    *to++ = (uint8_t)(address->resource.size >> 8);
    to = put_part(to, address->resource); /* its length byte is the lower half of the length */
    return (size_t)(to - out);
}

/* Takes one length-prefixed part off the front of *rest. */
static bool take_part(struct span *rest, size_t length_bytes, struct span *part)
{
    if (rest->size < length_bytes)
        return false;
    size_t size = 0;
    for (size_t i = 0; i < length_bytes; i++)
        size = size << 8 | rest->data[i];
    if (rest->size - length_bytes < size)
        return false;
    *part = span_of(rest->data + length_bytes, size);
    *rest = span_after(*rest, length_bytes + size);
    return true;
}

/* Takes the address off the front of *rest; looks at lengths only. */
static bool take_address(struct span *rest, struct address *out)
{
    if (rest->size == 0)
        return false;
    out->view = rest->data[0];
    *rest = span_after(*rest, 1);
    return take_part(rest, 1, &out->site) && take_part(rest, 1, &out->app) &&
           take_part(rest, 1, &out->channel) && take_part(rest, 2, &out->resource);
}

bool address_decode(struct span key, struct address *out)
{
    if (!take_address(&key, out) || key.size != 0)
        return false;
    return (out->view == VIEW_LIVE || out->view == VIEW_PREVIEW) && address_is_id(out->site) &&
           address_check(out) == ADDRESS_OK;
}

size_t address_size(struct span bytes)
{
    struct span rest = bytes;
    struct address ignored;
    return take_address(&rest, &ignored) ? bytes.size - rest.size : 0;
}
