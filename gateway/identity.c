#include "gateway/identity.h"

#include <assert.h>
#include <cjose/base64.h>
#include <cjose/jws.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "proto/json_doc.h"
#include "proto/limits.h"

#define NUMERIC_DATE_MAX (INT64_C(1) << 53)

enum identity_outcome identity_outcome(enum identity_rule rule)
{
    switch (rule) {
    case IDENTITY_OK:
        break;
#define IDENTITY_RULE(NAME, outcome, text)                                                         \
    case IDENTITY_##NAME:                                                                          \
        return IDENTITY_IS_##outcome;
#include "gateway/identity_rules.def"
#undef IDENTITY_RULE
    }
    return IDENTITY_IS_GOOD;
}

#define PREFIX_INVALID   "invalid token: "
#define PREFIX_EXPIRED   ""
#define PREFIX_ANONYMOUS ""

#define IDENTITY_RULE(NAME, outcome, text)                                                         \
    static_assert(sizeof PREFIX_##outcome text <= LIMIT_CLOSE_REASON_BYTES + 1,                    \
                  "a close frame has room for it");
#include "gateway/identity_rules.def"
#undef IDENTITY_RULE

const char *identity_rule_text(enum identity_rule rule)
{
    switch (rule) {
    case IDENTITY_OK:
        break;
#define IDENTITY_RULE(NAME, outcome, text)                                                         \
    case IDENTITY_##NAME:                                                                          \
        return PREFIX_##outcome text;
#include "gateway/identity_rules.def"
#undef IDENTITY_RULE
    }
    return "ok";
}

/* --- the form: HEADER.CLAIMS.SIGNATURE --- */

struct parts {
    struct span header, claims, signature;
};

static bool is_base64url(uint8_t byte)
{
    return (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z') ||
           (byte >= '0' && byte <= '9') || byte == '-' || byte == '_';
}

/* Up to the next dot or the end; what is behind goes to *rest. */
static bool next_part(struct span *rest, struct span *part)
{
    size_t size = 0;
    while (size < rest->size && is_base64url(rest->data[size]))
        size++;
    bool is_last = size == rest->size;
    if (!is_last && rest->data[size] != '.')
        return false;
    *part = span_of(rest->data, size);
    size_t used = is_last ? size : size + 1;
    *rest = is_last ? span_of(NULL, 0) : span_of(rest->data + used, rest->size - used);
    return size % 4 != 1;
}

static enum identity_rule split(struct span token, struct parts *out)
{
    if (token.size > LIMIT_TOKEN_BYTES)
        return IDENTITY_TOO_LONG;
    struct span rest = token;
    if (!next_part(&rest, &out->header) || !rest.data || !next_part(&rest, &out->claims) ||
        !rest.data || !next_part(&rest, &out->signature) || rest.data)
        return IDENTITY_FORM;
    if (out->header.size == 0 || out->claims.size == 0)
        return IDENTITY_FORM;
    return out->signature.size == 0 ? IDENTITY_NO_SIGNATURE : IDENTITY_OK;
}

static json_doc_t *parse_object(struct span text)
{
    struct buffer why = {0}; /* would quote the token */
    json_doc_t *doc = json_doc_parse(text, LIMIT_TOKEN_DEPTH, &why);
    buffer_free(&why);
    if (doc && json_type_of(json_doc_root(doc)) != JSON_TYPE_OBJECT)
        json_doc_destroy(&doc);
    return doc;
}

/* --- the header --- */

/* Members by which a token would choose its key, or demand what we do not know (RFC 7515, 4.1). */
static const char *const refused_members[] = {"jwk",  "jku", "x5u", "x5c",
                                              "crit", "b64", "zip", "enc"};

/* An absent member is an empty span. */
static bool get_text(const struct json_value *object, const char *name, struct span *out)
{
    const struct json_value *value = json_member(object, name);
    *out = span_of(NULL, 0);
    if (!value)
        return true;
    if (json_type_of(value) != JSON_TYPE_STRING)
        return false;
    *out = json_string_of(value);
    return true;
}

static enum identity_rule judge_header(const struct json_value *header, const site_keys_t *keys,
                                       struct span signature, struct site_key *key)
{
    struct span alg, kid, typ;
    if (!get_text(header, "alg", &alg) || !get_text(header, "kid", &kid) ||
        !get_text(header, "typ", &typ) || alg.size == 0 ||
        (kid.size == 0 && json_member(header, "kid")))
        return IDENTITY_HEADER_TYPE;
    if (json_member(header, "typ") &&
        (typ.size != 3 || strncasecmp((const char *)typ.data, "JWT", 3) != 0))
        return IDENTITY_HEADER_TYPE;
    for (size_t i = 0; i < sizeof refused_members / sizeof *refused_members; i++)
        if (json_member(header, refused_members[i]))
            return IDENTITY_HEADER_KEY;
    struct site_key found;
    if (!site_keys_find(keys, kid, &found))
        return IDENTITY_KID;
    *key = found;
    if (!span_is(alg, key->key->algorithm->name))
        return IDENTITY_ALG;
    return signature.size * 3 / 4 == key->key->signature_bytes ? IDENTITY_OK : IDENTITY_SIGNATURE;
}

static enum identity_rule read_header(const struct parts *parts, const site_keys_t *keys,
                                      struct site_key *key)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    if (!cjose_base64url_decode((const char *)parts->header.data, parts->header.size, &bytes, &size,
                                NULL))
        return IDENTITY_FORM;
    json_doc_t *doc = parse_object(span_of(bytes, size));
    enum identity_rule rule =
        doc ? judge_header(json_doc_root(doc), keys, parts->signature, key) : IDENTITY_HEADER;
    json_doc_destroy(&doc);
    free(bytes);
    return rule;
}

/* --- the claims --- */

struct claims {
    const struct json_value *object;
    struct span site, issuer, type, subject, app, view;
    const struct json_value *audience;
    int64_t expires_s, not_before_s; /* -1: absent */
};

/* A NumericDate: seconds since 1970, a fraction is cut off. */
static bool get_date(const struct json_value *object, const char *name, int64_t *out)
{
    const struct json_value *value = json_member(object, name);
    *out = -1;
    if (!value)
        return true;
    if (json_type_of(value) == JSON_TYPE_INT)
        *out = json_int_of(value);
    else if (json_type_of(value) == JSON_TYPE_REAL && json_real_of(value) >= 0 &&
             json_real_of(value) <= (double)NUMERIC_DATE_MAX)
        *out = (int64_t)json_real_of(value);
    return *out >= 0 && *out <= NUMERIC_DATE_MAX;
}

/* A text, or an array of texts. */
static bool is_audience(const struct json_value *value)
{
    if (!value || json_type_of(value) == JSON_TYPE_STRING)
        return true;
    const struct json_value *at;
    for (size_t i = 0; (at = json_at(value, i)); i++)
        if (json_type_of(at) != JSON_TYPE_STRING)
            return false;
    return json_type_of(value) == JSON_TYPE_ARRAY;
}

static bool names(const struct json_value *audience, const char *wanted)
{
    if (audience && json_type_of(audience) == JSON_TYPE_STRING)
        return span_is(json_string_of(audience), wanted);
    const struct json_value *at;
    for (size_t i = 0; (at = json_at(audience, i)); i++)
        if (span_is(json_string_of(at), wanted))
            return true;
    return false;
}

static bool get_claims(const struct json_value *object, struct claims *out)
{
    int64_t issued_s;
    struct span ignored;
    out->object = object;
    out->audience = json_member(object, "aud");
    return get_text(object, "site", &out->site) && get_text(object, "iss", &out->issuer) &&
           get_text(object, "type", &out->type) && get_text(object, "sub", &out->subject) &&
           get_text(object, "app", &out->app) && get_text(object, "view", &out->view) &&
           get_text(object, "jti", &ignored) && get_date(object, "exp", &out->expires_s) &&
           get_date(object, "nbf", &out->not_before_s) && get_date(object, "iat", &issued_s) &&
           is_audience(out->audience) && out->subject.size <= LIMIT_SUBSCRIBER_BYTES &&
           !(out->subject.size && memchr(out->subject.data, 0, out->subject.size));
}

static bool read_type(struct span text, enum subscriber_type *out)
{
    static const enum subscriber_type types[] = {SUBSCRIBER_VISITOR, SUBSCRIBER_MEMBER,
                                                 SUBSCRIBER_ADMIN};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        *out = types[i];
        if (span_is(text, subscriber_type_text(types[i])))
            return true;
    }
    return false;
}

/* Who it is; everything but the time. */
static enum identity_rule judge_claims(const struct claims *claims, const struct site *site,
                                       struct subscriber *out)
{
    if (json_member(claims->object, "site") && !span_equal(claims->site, site->name))
        return IDENTITY_SITE;
    if (site->issuer[0] && !span_is(claims->issuer, site->issuer))
        return IDENTITY_ISSUER;
    if (site->audience[0] && !names(claims->audience, site->audience))
        return IDENTITY_AUDIENCE;
    if (json_member(claims->object, "channel"))
        return IDENTITY_CHANNEL;
    *out = (struct subscriber){.view = VIEW_LIVE, .site = site->name};
    if (!read_type(claims->type, &out->type))
        return IDENTITY_TYPE;
    if (out->type != SUBSCRIBER_VISITOR && claims->subject.size == 0)
        return IDENTITY_SUB;
    out->id = claims->subject;
    if (json_member(claims->object, "app") && !address_is_id(claims->app))
        return IDENTITY_APP;
    out->app = claims->app;
    if (json_member(claims->object, "view")) {
        if (!span_is(claims->view, "preview"))
            return IDENTITY_VIEW;
        out->view = VIEW_PREVIEW;
    }
    if (site->require_exp && claims->expires_s < 0)
        return IDENTITY_NO_EXP;
    return !site->anonymous && out->id.size == 0 ? IDENTITY_ANONYMOUS : IDENTITY_OK;
}

static enum identity_rule judge_time(const struct claims *claims, int64_t now_s)
{
    if (claims->expires_s >= 0 && now_s >= claims->expires_s + IDENTITY_LEEWAY_S)
        return IDENTITY_EXPIRED;
    if (claims->not_before_s >= 0 && now_s + IDENTITY_LEEWAY_S < claims->not_before_s)
        return IDENTITY_TOO_EARLY;
    return IDENTITY_OK;
}

static struct span copy(uint8_t **to, struct span from)
{
    uint8_t *start = *to;
    if (from.size > 0)
        memcpy(start, from.data, from.size);
    *to += from.size;
    return span_of(start, from.size);
}

static struct identity *identity_new(const struct subscriber *subscriber)
{
    struct identity *self =
        malloc(sizeof *self + subscriber->site.size + subscriber->app.size + subscriber->id.size);
    if (!self)
        return NULL;
    uint8_t *to = (uint8_t *)(self + 1);
    self->subscriber = *subscriber;
    self->subscriber.site = copy(&to, subscriber->site);
    self->subscriber.app = copy(&to, subscriber->app);
    self->subscriber.id = copy(&to, subscriber->id);
    return self;
}

void identity_destroy(struct identity **self_p)
{
    free(*self_p);
    *self_p = NULL;
}

static enum identity_rule read_claims(struct span text, const struct site *site, int64_t now_s,
                                      struct identity **out)
{
    json_doc_t *doc = parse_object(text);
    if (!doc)
        return IDENTITY_CLAIMS;
    struct claims claims;
    struct subscriber subscriber;
    enum identity_rule rule = IDENTITY_CLAIM_TYPE;
    if (get_claims(json_doc_root(doc), &claims))
        rule = judge_claims(&claims, site, &subscriber);
    if (rule == IDENTITY_OK)
        rule = judge_time(&claims, now_s);
    if (rule == IDENTITY_OK) {
        *out = identity_new(&subscriber);
        if (*out)
            (*out)->expires_s = claims.expires_s < 0 ? 0 : claims.expires_s;
        else
            rule = IDENTITY_NO_MEMORY;
    }
    json_doc_destroy(&doc);
    return rule;
}

/* --- the whole --- */

/* Only cjose knows whether the signature is the key's; what it says was signed is what is read. */
static enum identity_rule read_signed(struct span token, const struct site_key *key, int64_t now_s,
                                      struct identity **out)
{
    cjose_jws_t *jws = cjose_jws_import((const char *)token.data, token.size, NULL);
    uint8_t *text;
    size_t size;
    enum identity_rule rule = IDENTITY_SIGNATURE;
    if (jws && cjose_jws_verify(jws, key->key->jwk, NULL) &&
        cjose_jws_get_plaintext(jws, &text, &size, NULL))
        rule = read_claims(span_of(text, size), key->site, now_s, out);
    cjose_jws_release(jws);
    return rule;
}

enum identity_rule identity_verify(const site_keys_t *keys, struct span token, int64_t now_s,
                                   struct identity **out, struct site_key *key)
{
    struct site_key found = {0};
    struct parts parts;
    *out = NULL;
    if (key)
        *key = found;
    if (!keys || site_keys_count(keys) == 0)
        return IDENTITY_NO_KEYS;
    enum identity_rule rule = split(token, &parts);
    if (rule == IDENTITY_OK)
        rule = read_header(&parts, keys, &found);
    if (key)
        *key = found;
    return rule == IDENTITY_OK ? read_signed(token, &found, now_s, out) : rule;
}
