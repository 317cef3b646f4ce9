#pragma once
#include <stdbool.h>

#include "common/key_set.h"
#include "common/options.h"

/* site_keys - the sites of the settings with the keys of their connection tokens.
 *
 * A key belongs to one site: neither a `kid` nor a key may be there twice, in whatever files.
 */
typedef struct site_keys site_keys_t;

struct site {
    struct span name;
    const char *issuer, *audience; /* empty: any */
    bool require_exp;
    bool anonymous; /* a token may lack a `sub`; about those without a token see options.h */
};

struct site_key {
    const struct site *site;
    const struct key *key;
};

/* Loads all key files, for verification. A relative path counts from the settings file that it is
 * in. NULL, and *why then gets one line per error: "file:line: [site "x"] keys: PATH: rule". */
site_keys_t *site_keys_load(const options_t *options, struct buffer *why);

/* An empty one, and one site more with its keys, which are taken over on success. The settings are
 * copied. False, and *why says which rule is broken. */
site_keys_t *site_keys_new(void);
bool site_keys_add(site_keys_t *self, const struct site *site, key_set_t **keys_p,
                   struct buffer *why);
/* Sets *self_p to NULL; safe on NULL. */
void site_keys_destroy(site_keys_t **self_p);

size_t site_keys_count(const site_keys_t *self);
/* The key of this name. An empty kid: the only key, if there is just one. False: none. */
bool site_keys_find(const site_keys_t *self, struct span kid, struct site_key *out);

/* Tells each key that only one of both has. A site's key of the same name that is another one is
 * told twice. */
typedef void site_keys_differ_fn(void *arg, const struct site_key *key, bool is_added);
void site_keys_compare(const site_keys_t *before, const site_keys_t *after,
                       site_keys_differ_fn *differ, void *arg);
