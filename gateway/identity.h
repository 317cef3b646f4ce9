#pragma once
#include <stdint.h>

#include "common/site_keys.h"
#include "common/subscriber.h"

/* identity - who a connection token (a JWT, RFC 7519) says that somebody is.
 *
 * Pure: the token's bytes and the time go in. The header is read strictly and judged before any
 * cryptography: the key is found by `kid` among those of the settings, and the algorithm is the
 * one that the key says. cjose then checks the signature; nothing of the claims is looked at
 * before. Times are judged with IDENTITY_LEEWAY_S of leeway, for clocks that differ.
 */
#define IDENTITY_LEEWAY_S 60

enum identity_rule {
    IDENTITY_OK,
#define IDENTITY_RULE(NAME, outcome, text) IDENTITY_##NAME,
#include "gateway/identity_rules.def"
#undef IDENTITY_RULE
};

enum identity_outcome {
    IDENTITY_IS_GOOD,
    IDENTITY_IS_INVALID,   /* nothing that the client can do about it */
    IDENTITY_IS_ANONYMOUS, /* well signed, but nobody in particular, where that is not enough */
    IDENTITY_IS_EXPIRED    /* well signed, but not now: another token will do */
};
enum identity_outcome identity_outcome(enum identity_rule rule);
/* The broken rule in words, as close reason ("invalid token: ...") or error message. Static, never
 * NULL, at most LIMIT_CLOSE_REASON_BYTES, no JSON. */
const char *identity_rule_text(enum identity_rule rule);

/* One block; its spans point into it. */
struct identity {
    struct subscriber subscriber;
    int64_t expires_s; /* since 1970, 0: never */
};

/* *out is set on IDENTITY_OK only; free it with identity_destroy. now_s: seconds since 1970. *key,
 * if not NULL, gets the token's key as soon as it is known, and zero before. keys NULL: none. */
enum identity_rule identity_verify(const site_keys_t *keys, struct span token, int64_t now_s,
                                   struct identity **out, struct site_key *key);
/* Sets *self_p to NULL; safe on NULL. */
void identity_destroy(struct identity **self_p);
