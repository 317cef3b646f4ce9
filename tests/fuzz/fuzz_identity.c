/* A connection token. Input: '.' and the token's text as it is; or a header, a newline and claims,
 * which are signed here, so that the claims are reached too. Only who obeys the rules gets in, and
 * the raw text never does. */
#include <cjose/base64.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "common/address.h"
#include "fuzz.h"
#include "gateway/identity.h"
#include "proto/json_text.h"
#include "proto/limits.h"

#define NOW    1800000000
#define SECRET "0123456789abcdef0123456789abcdef"
#define SET                                                                                        \
    "{\"keys\":[{\"kty\":\"oct\",\"alg\":\"HS256\",\"kid\":\"a\","                                 \
    "\"k\":\"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY\"}]}"

static site_keys_t *make_keys(void)
{
    struct buffer why = {0};
    struct site site = {.name = span_text("acme"), .issuer = "", .audience = "", .anonymous = true};
    site_keys_t *keys = site_keys_new();
    key_set_t *set = key_set_parse(span_text(SET), KEYS_TO_VERIFY, &why);
    FUZZ_CHECK(keys && set && site_keys_add(keys, &site, &set, &why));
    return keys;
}

static void put_base64(struct buffer *to, struct span bytes)
{
    char *text = NULL;
    size_t size = 0;
    if (bytes.size > 0)
        FUZZ_CHECK(cjose_base64url_encode(bytes.data, bytes.size, &text, &size, NULL));
    buffer_put(to, text, size);
    free(text);
}

/* With a signature that is good for nothing but an HMAC. */
static void sign(struct buffer *token, struct span header, struct span claims)
{
    uint8_t mac[EVP_MAX_MD_SIZE];
    unsigned mac_size;
    put_base64(token, header);
    buffer_put_byte(token, '.');
    put_base64(token, claims);
    HMAC(EVP_sha256(), SECRET, sizeof SECRET - 1, token->data, token->size, mac, &mac_size);
    buffer_put_byte(token, '.');
    put_base64(token, span_of(mac, mac_size));
}

static void check_good(const struct identity *identity)
{
    const struct subscriber *who = &identity->subscriber;
    FUZZ_CHECK(span_is(who->site, "acme"));
    FUZZ_CHECK(who->app.size == 0 || address_is_id(who->app));
    FUZZ_CHECK(who->id.size <= LIMIT_SUBSCRIBER_BYTES && utf8_valid(who->id, NULL));
    FUZZ_CHECK(who->id.size > 0 || who->type == SUBSCRIBER_VISITOR);
    FUZZ_CHECK(who->view == VIEW_LIVE || who->view == VIEW_PREVIEW);
    FUZZ_CHECK(identity->expires_s == 0 || identity->expires_s > NOW - IDENTITY_LEEWAY_S);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static site_keys_t *keys;
    if (!keys)
        keys = make_keys();
    struct buffer token = {0};
    bool is_raw = size > 0 && data[0] == '.';
    const uint8_t *end = size ? memchr(data, '\n', size) : NULL;
    if (is_raw)
        buffer_put(&token, data + 1, size - 1);
    else if (end)
        sign(&token, span_of(data, (size_t)(end - data)),
             span_of(end + 1, size - (size_t)(end + 1 - data)));
    struct identity *identity;
    enum identity_rule rule = identity_verify(keys, buffer_span(&token), NOW, &identity, NULL);
    FUZZ_CHECK((rule == IDENTITY_OK) == (identity != NULL));
    FUZZ_CHECK(identity_rule_text(rule)[0]);
    if (identity) {
        FUZZ_CHECK(token.size <= LIMIT_TOKEN_BYTES && !is_raw);
        check_good(identity);
    }
    identity_destroy(&identity);
    buffer_free(&token);
    return 0;
}
