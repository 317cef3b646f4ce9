#include "common/key_set.h"

#include <cjose/base64.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/options_priv.h"
#include "proto/json_doc.h"

#define JSON_DEPTH       8
#define RSA_BYTES_MIN    256 /* 2048 bits */
#define RSA_BYTES_MAX    1024
#define RSA_EXPONENT_MIN 65537
#define SECRET_BYTES_MAX 1024

struct key_set {
    size_t count;
    bool has_secret;
    struct key keys[KEY_SET_KEYS];
};

/* --- algorithms --- */

static const struct key_algorithm algorithms[] = {
#define KEY_ALGORITHM(NAME, family, hash, curve, size) {#NAME, KEY_##family, hash, curve, size},
#include "common/key_algorithms.def"
#undef KEY_ALGORITHM
};

const struct key_algorithm *key_algorithm_find(struct span name)
{
    for (size_t i = 0; i < sizeof algorithms / sizeof *algorithms; i++)
        if (span_is(name, algorithms[i].name))
            return &algorithms[i];
    return NULL;
}

const char *key_algorithm_names(void)
{
    static const char names[] =
#define KEY_ALGORITHM(NAME, family, hash, curve, size) " " #NAME
#include "common/key_algorithms.def"
#undef KEY_ALGORITHM
        ;
    return names + 1; /* without the first space */
}

/* --- the members of one key --- */

/* One key being read. Reading goes on after a broken rule; the first one is kept. */
struct reading {
    const struct json_value *object;
    struct key *key;
    enum key_use use;
    const char *rule;
};

static void refuse(struct reading *self, const char *rule)
{
    if (!self->rule)
        self->rule = rule;
}

static struct span text_of(const struct reading *self, const char *name)
{
    const struct json_value *value = json_member(self->object, name);
    return value && json_type_of(value) == JSON_TYPE_STRING ? json_string_of(value)
                                                            : span_of(NULL, 0);
}

static bool is_base64url(struct span text)
{
    for (size_t i = 0; i < text.size; i++) {
        uint8_t byte = text.data[i] | 0x20;
        if (!(byte >= 'a' && byte <= 'z') && !(text.data[i] >= '0' && text.data[i] <= '9') &&
            text.data[i] != '-' && text.data[i] != '_')
            return false;
    }
    return text.size % 4 != 1;
}

/* Bytes of a member in base64url, in memory of their own: a span that wipe() takes back. Empty when
 * it is absent or no base64url. */
static struct span bytes_of(struct reading *self, const char *name, const char *rule)
{
    struct span text = text_of(self, name);
    uint8_t *data = NULL;
    size_t size = 0;
    if (text.size > 0 && is_base64url(text))
        cjose_base64url_decode((const char *)text.data, text.size, &data, &size, NULL);
    if (rule && size == 0)
        refuse(self, rule);
    return span_of(data, size);
}

static void wipe(struct span *bytes)
{
    if (bytes->data)
        explicit_bzero((void *)(uintptr_t)bytes->data, bytes->size);
    free((void *)(uintptr_t)bytes->data);
    *bytes = (struct span){0};
}

static uint8_t *writable(struct span bytes)
{
    return (uint8_t *)(uintptr_t)bytes.data;
}

/* --- the three families --- */

static void read_hmac(struct reading *self)
{
    struct span secret = bytes_of(self, "k", "`k` must be the secret in base64url");
    if (secret.size > 0 && secret.size < self->key->algorithm->hash_bytes)
        refuse(self, "`k` is shorter than the hash of its `alg`");
    if (secret.size > SECRET_BYTES_MAX)
        refuse(self, "`k` is longer than 1024 bytes");
    if (!self->rule) {
        self->key->jwk = cjose_jwk_create_oct_spec(secret.data, secret.size, NULL);
        buffer_put_span(&self->key->material, secret);
    }
    self->key->signature_bytes = self->key->algorithm->hash_bytes;
    self->key->can_sign = true;
    wipe(&secret);
}

static struct span strip_zeros(struct span number)
{
    while (number.size > 0 && number.data[0] == 0)
        number = span_of(number.data + 1, number.size - 1);
    return number;
}

static bool is_good_exponent(struct span exponent)
{
    struct span e = strip_zeros(exponent);
    uint64_t number = 0;
    for (size_t i = 0; i < e.size && i < 8; i++)
        number = number << 8 | e.data[i];
    return e.size <= 8 && number >= RSA_EXPONENT_MIN && number % 2 == 1;
}

enum { RSA_N, RSA_E, RSA_D, RSA_P, RSA_Q, RSA_DP, RSA_DQ, RSA_QI, RSA_MEMBERS };

static void read_rsa(struct reading *self)
{
    static const char *const names[RSA_MEMBERS] = {"n", "e", "d", "p", "q", "dp", "dq", "qi"};
    struct span part[RSA_MEMBERS];
    bool can_sign = self->key->can_sign;
    for (size_t i = 0; i < RSA_MEMBERS; i++)
        part[i] = bytes_of(self, names[i],
                           i <= RSA_E || can_sign
                               ? "`n` and `e`, and with `d` also `p`, `q`, `dp`, `dq` and `qi`, "
                                 "must be numbers in base64url"
                               : NULL);
    struct span n = strip_zeros(part[RSA_N]);
    if (n.size < RSA_BYTES_MIN || (n.size == RSA_BYTES_MIN && n.data[0] < 0x80))
        refuse(self, "an RSA key must have at least 2048 bits");
    if (n.size > RSA_BYTES_MAX)
        refuse(self, "an RSA key must have at most 8192 bits");
    if (n.size > 0 && n.data[n.size - 1] % 2 == 0)
        refuse(self, "`n` is even");
    if (!is_good_exponent(part[RSA_E]))
        refuse(self, "`e` must be odd and at least 65537");
    if (!self->rule) {
        cjose_jwk_rsa_keyspec spec = {
            .n = writable(part[RSA_N]),
            .nlen = part[RSA_N].size,
            .e = writable(part[RSA_E]),
            .elen = part[RSA_E].size,
            .d = writable(part[RSA_D]),
            .dlen = part[RSA_D].size,
            .p = writable(part[RSA_P]),
            .plen = part[RSA_P].size,
            .q = writable(part[RSA_Q]),
            .qlen = part[RSA_Q].size,
            .dp = writable(part[RSA_DP]),
            .dplen = part[RSA_DP].size,
            .dq = writable(part[RSA_DQ]),
            .dqlen = part[RSA_DQ].size,
            .qi = writable(part[RSA_QI]),
            .qilen = part[RSA_QI].size,
        };
        self->key->jwk = cjose_jwk_create_RSA_spec(&spec, NULL);
        buffer_put_span(&self->key->material, n);
        self->key->signature_bytes = n.size;
    }
    for (size_t i = 0; i < RSA_MEMBERS; i++)
        wipe(&part[i]);
}

static cjose_jwk_ec_curve curve_of(const struct key_algorithm *algorithm)
{
    switch (algorithm->hash_bytes) {
    case 32:
        return CJOSE_JWK_EC_P_256;
    case 48:
        return CJOSE_JWK_EC_P_384;
    default:
        return CJOSE_JWK_EC_P_521;
    }
}

static void read_ec(struct reading *self)
{
    const struct key_algorithm *algorithm = self->key->algorithm;
    size_t size = algorithm->coordinate_bytes;
    if (!span_is(text_of(self, "crv"), algorithm->curve))
        refuse(self, "`crv` is not the curve of its `alg`");
    struct span x = bytes_of(self, "x", NULL), y = bytes_of(self, "y", NULL);
    struct span d = bytes_of(self, "d", NULL);
    if (x.size != size || y.size != size || (self->key->can_sign && d.size != size))
        refuse(self,
               "`x` and `y`, and `d` where it is there, must be as long as the curve says, in "
               "base64url");
    if (!self->rule) {
        cjose_jwk_ec_keyspec spec = {.crv = curve_of(algorithm),
                                     .x = writable(x),
                                     .xlen = x.size,
                                     .y = writable(y),
                                     .ylen = y.size,
                                     .d = writable(d),
                                     .dlen = d.size};
        self->key->jwk = cjose_jwk_create_EC_spec(&spec, NULL);
        buffer_put_span(&self->key->material, x);
        buffer_put_span(&self->key->material, y);
    }
    self->key->signature_bytes = 2 * size;
    wipe(&x);
    wipe(&y);
    wipe(&d);
}

/* --- one key --- */

static void read_kid(struct reading *self)
{
    struct span kid = text_of(self, "kid");
    if (kid.size == 0 || kid.size > KEY_ID_BYTES || memchr(kid.data, 0, kid.size)) {
        refuse(self, "`kid` must be there: a text of 1 to 128 bytes that names the key");
        return;
    }
    self->key->kid = strndup((const char *)kid.data, kid.size);
    if (!self->key->kid)
        refuse(self, "out of memory");
}

/* `key_ops`, where it is there, must list what the key is for. */
static bool allows(const struct json_value *operations, const char *wanted)
{
    const struct json_value *at;
    for (size_t i = 0; (at = json_at(operations, i)); i++)
        if (json_type_of(at) == JSON_TYPE_STRING && span_is(json_string_of(at), wanted))
            return true;
    return false;
}

static void read_use(struct reading *self)
{
    if (json_member(self->object, "use") && !span_is(text_of(self, "use"), "sig"))
        refuse(self, "`use` must be \"sig\" or absent");
    const struct json_value *operations = json_member(self->object, "key_ops");
    if (operations && !allows(operations, "verify") && !allows(operations, "sign"))
        refuse(self, "`key_ops` must list \"verify\" or \"sign\", or be absent");
}

static const char *family_kty(enum key_family family)
{
    return family == KEY_HMAC ? "oct" : family == KEY_RSA ? "RSA" : "EC";
}

static void read_key(struct reading *self)
{
    struct key *key = self->key;
    if (json_type_of(self->object) != JSON_TYPE_OBJECT) {
        refuse(self, "must be an object");
        return;
    }
    read_kid(self);
    read_use(self);
    key->algorithm = key_algorithm_find(text_of(self, "alg"));
    if (!key->algorithm) {
        refuse(self,
               "`alg` must be there and be one of those for signatures: HS, RS, PS or ES with "
               "256, 384 or 512");
        return;
    }
    if (!span_is(text_of(self, "kty"), family_kty(key->algorithm->family))) {
        refuse(self,
               "`kty` is not the one of its `alg` (oct for HS, RSA for RS and PS, EC for ES)");
        return;
    }
    key->can_sign = json_member(self->object, "d") != NULL;
    if (key->can_sign && self->use == KEYS_TO_VERIFY) {
        refuse(self, "it is private (`d`); what is needed here is its public half: "
                     "millrace keys public FILE");
        return;
    }
    if (key->algorithm->family == KEY_HMAC)
        read_hmac(self);
    else if (key->algorithm->family == KEY_RSA)
        read_rsa(self);
    else
        read_ec(self);
    if (!self->rule && (!key->jwk || key->material.failed))
        refuse(self, "its numbers are no key (a point that is not on the curve?)");
}

static void key_free(struct key *key)
{
    cjose_jwk_release(key->jwk);
    if (key->material.data)
        explicit_bzero(key->material.data, key->material.size);
    buffer_free(&key->material);
    free(key->kid);
    *key = (struct key){0};
}

/* --- the set --- */

static const char *check_set(const struct json_value *root)
{
    const struct json_value *keys = json_member(root, "keys");
    if (!keys || json_type_of(keys) != JSON_TYPE_ARRAY)
        return "must be a JWK Set: an object with an array `keys`";
    if (!json_at(keys, 0))
        return "there is no key in it";
    if (json_at(keys, KEY_SET_KEYS))
        return "there are more than 64 keys in it";
    return NULL;
}

/* Appends one key; false, and why says what is wrong with it. */
static bool add_key(key_set_t *self, const struct json_value *object, enum key_use use,
                    struct buffer *why)
{
    struct key *key = &self->keys[self->count++];
    struct reading reading = {.object = object, .key = key, .use = use};
    read_key(&reading);
    for (size_t i = 0; key->kid && i + 1 < self->count; i++)
        if (strcmp(self->keys[i].kid, key->kid) == 0)
            refuse(&reading, "another key has this `kid`");
    if (key->can_sign)
        self->has_secret = true;
    if (!reading.rule)
        return true;
    buffer_printf(why, "key %zu", self->count);
    if (key->kid)
        buffer_printf(why, " (kid \"%s\")", key->kid);
    buffer_printf(why, ": %s", reading.rule);
    return false;
}

/* Where the text is no JSON, without the parser's words: they quote the text. */
static void say_where(struct buffer *why, const struct buffer *full)
{
    const uint8_t *end = full->size ? memchr(full->data, ':', full->size) : NULL;
    buffer_put_text(why, "not JSON, or a name is there twice: ");
    buffer_put_span(why, span_of(full->data, end ? (size_t)(end - full->data) : 0));
}

key_set_t *key_set_parse(struct span text, enum key_use use, struct buffer *why)
{
    struct buffer full = {0};
    json_doc_t *doc = json_doc_parse(text, JSON_DEPTH, &full);
    key_set_t *self = calloc(1, sizeof *self);
    bool is_good = doc && self;
    const char *rule = is_good ? check_set(json_doc_root(doc)) : NULL;
    if (!doc)
        say_where(why, &full);
    else if (!self)
        buffer_put_text(why, "out of memory");
    else if (rule)
        buffer_put_text(why, rule);
    const struct json_value *keys =
        is_good && !rule ? json_member(json_doc_root(doc), "keys") : NULL;
    is_good = keys;
    for (size_t i = 0; is_good && json_at(keys, i); i++)
        is_good = add_key(self, json_at(keys, i), use, why);
    if (!is_good)
        key_set_destroy(&self);
    json_doc_destroy(&doc);
    buffer_free(&full);
    return self;
}

key_set_t *key_set_load(const char *path, enum key_use use, struct buffer *why)
{
    const char *rule = NULL;
    struct stat about;
    char *text = options_read_text(path, KEY_SET_BYTES, &rule);
    if (!text || stat(path, &about) != 0) {
        buffer_printf(why, "cannot be read: %s", rule ? rule : strerror(errno));
        free(text);
        return NULL;
    }
    key_set_t *self = key_set_parse(span_text(text), use, why);
    explicit_bzero(text, strlen(text));
    free(text);
    if (self && about.st_mode & S_IWOTH)
        rule = "everybody may write it; take that right away (chmod o-w)";
    else if (self && self->has_secret && about.st_mode & S_IROTH)
        rule = "it holds a secret and everybody may read it; take that right away (chmod o-r)";
    if (rule) {
        buffer_put_text(why, rule);
        key_set_destroy(&self);
    }
    return self;
}

void key_set_destroy(key_set_t **self_p)
{
    key_set_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    for (size_t i = 0; i < self->count; i++)
        key_free(&self->keys[i]);
    free(self);
}

size_t key_set_count(const key_set_t *self)
{
    return self->count;
}

const struct key *key_set_at(const key_set_t *self, size_t index)
{
    return &self->keys[index];
}
