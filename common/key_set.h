#pragma once
#include <cjose/jwk.h>
#include <stdbool.h>
#include <stddef.h>

#include "proto/buffer.h"
#include "proto/span.h"

/* key_set - the keys of connection tokens from one file: a JWK Set (RFC 7517), read strictly.
 *
 * Every key must say its `kid` and its `alg`, so that a token can choose neither; both are only
 * ever compared. Weak keys are refused: an HMAC secret shorter than its hash, RSA below 2048 bits
 * or with an exponent below 65537, an elliptic curve other than the algorithm's.
 */

#define KEY_SET_BYTES 65536 /* of a file */
#define KEY_SET_KEYS  64
#define KEY_ID_BYTES  128

enum key_family { KEY_HMAC, KEY_RSA, KEY_EC };

struct key_algorithm {
    const char *name; /* "RS256" */
    enum key_family family;
    size_t hash_bytes;
    const char *curve;
    size_t coordinate_bytes;
};

/* NULL when there is none of this name. */
const struct key_algorithm *key_algorithm_find(struct span name);
/* All names, separated by spaces. */
const char *key_algorithm_names(void);

struct key {
    char *kid;
    const struct key_algorithm *algorithm;
    cjose_jwk_t *jwk;
    size_t signature_bytes;
    bool can_sign;
    struct buffer material; /* what makes it this key, whatever it is called: secret, n, or x and y
                             */
};

typedef struct key_set key_set_t;

enum key_use {
    KEYS_TO_VERIFY, /* private halves of RSA and EC keys are refused: a gateway signs nothing */
    KEYS_TO_SIGN    /* all are welcome */
};

/* NULL, and *why says which key and which rule; it never quotes a key. */
key_set_t *key_set_parse(struct span text, enum key_use use, struct buffer *why);
/* The same of a file, which others must not be able to write, nor to read when a secret is in it.
 */
key_set_t *key_set_load(const char *path, enum key_use use, struct buffer *why);
/* Wipes and frees all keys; sets *self_p to NULL; safe on NULL. */
void key_set_destroy(key_set_t **self_p);

size_t key_set_count(const key_set_t *self);
const struct key *key_set_at(const key_set_t *self, size_t index);
