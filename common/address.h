#pragma once
#include <stdbool.h>

#include "proto/limits.h"
#include "proto/span.h"

/* address - where a message goes: view, site, app, channel, resource.
 *
 * Pure. Spans in struct address borrow from whatever it was made of.
 */

enum address_view {
    VIEW_LIVE = 'L',
    VIEW_PREVIEW = 'P' /* the same address in preview and in live are two streams */
};

struct address {
    enum address_view view;
    struct span site;
    struct span app; /* empty: the site's own code */
    struct span channel;
    struct span resource; /* empty: the channel itself */
};

/* Which rule is broken; ADDRESS_OK when none is. */
enum address_rule {
    ADDRESS_OK,
#define ADDRESS_RULE(NAME, text) ADDRESS_##NAME,
#include "common/address_rules.def"
#undef ADDRESS_RULE
};

/* The rule in words. Never NULL. */
const char *address_rule_text(enum address_rule rule);

/* Sites and apps are named by 1 to 64 letters, digits, '.', '_' or '-'. */
bool address_is_id(struct span id);

/* Channel, resource and app of an address that did not come from one string (a backend's request).
 * View and site are the caller's and are not looked at. */
enum address_rule address_check(const struct address *address);

/* All checks report the first broken rule in reading order: app, channel, resource, length. */

/* Client text: [app "/"] channel [":" resource]; the first of '/' and ':' decides. Fills app,
 * channel and resource of *out and checks them; view, site and, where the text has no app part,
 * app are taken from *context. A leading '/' means the site's own code. */
enum address_rule address_parse(struct span text, const struct address *context,
                                struct address *out);

/* Canonical bytes: every part length-prefixed, so that no address is a prefix of another.
 *   view (1), site length (1), site, app length (1), app, channel length (1), channel,
 *   resource length (2, big-endian), resource */
#define ADDRESS_KEY_MAX                                                                            \
    (1 + 1 + LIMIT_SITE_BYTES + 1 + LIMIT_APP_BYTES + 1 + LIMIT_CHANNEL_BYTES + 2 +                \
     LIMIT_RESOURCE_BYTES)

/* Only for checked addresses. Returns the number of bytes written. */
size_t address_encode(const struct address *address, uint8_t out[ADDRESS_KEY_MAX]);

/* From a peer's bytes: false unless they are exactly one canonical address that obeys all rules. */
bool address_decode(struct span key, struct address *out);

/* How many bytes the canonical address at the start of `bytes` takes by its lengths, 0 when it does
 * not fit. Does not check the rules (bus_address_size_fn). */
size_t address_size(struct span bytes);
