#include "token_maker.h"
#include "asserts.h"

#include <cjose/base64.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>

char *token_base64(struct span bytes)
{
    char *text = NULL;
    size_t size;
    if (bytes.size == 0)
        return strdup("");
    ck_assert(cjose_base64url_encode(bytes.data, bytes.size, &text, &size, NULL));
    return text;
}

char *token_make(const char *header, const char *claims, const char *secret)
{
    char *first = token_base64(span_text(header)), *second = token_base64(span_text(claims));
    char *token = NULL, *text = NULL;
    int size = asprintf(&text, "%s.%s", first, second);
    ck_assert_int_gt(size, 0);
    uint8_t mac[EVP_MAX_MD_SIZE];
    unsigned mac_size;
    HMAC(EVP_sha256(), secret, (int)strlen(secret), (const uint8_t *)text, (size_t)size, mac,
         &mac_size);
    char *third = token_base64(span_of(mac, mac_size));
    ck_assert_int_gt(asprintf(&token, "%s.%s", text, third), 0);
    free(first);
    free(second);
    free(third);
    free(text);
    return token;
}

static void add(site_keys_t *keys, const struct site *site, const char *set)
{
    struct buffer why = {0};
    key_set_t *own = key_set_parse(span_text(set), KEYS_TO_VERIFY, &why);
    ck_assert_msg(own != NULL, "%.*s", SPAN_ARG(buffer_span(&why)));
    ck_assert_msg(site_keys_add(keys, site, &own, &why), "%.*s", SPAN_ARG(buffer_span(&why)));
    ck_assert_ptr_null(own);
    buffer_free(&why);
}

#define KEY(kid, k)                                                                                \
    "{\"keys\":[{\"kty\":\"oct\",\"alg\":\"HS256\",\"kid\":\"" kid "\",\"k\":\"" k "\"}]}"

site_keys_t *token_one_site(void)
{
    site_keys_t *keys = site_keys_new();
    struct site acme = {.name = span_text("acme"),
                        .issuer = "",
                        .audience = "",
                        .require_exp = true,
                        .anonymous = true};
    add(keys, &acme, KEY("a", TOKEN_SECRET_64));
    return keys;
}

site_keys_t *token_two_sites(void)
{
    site_keys_t *keys = token_one_site();
    struct site other = {
        .name = span_text("other"), .issuer = "https://issuer", .audience = "millrace"};
    add(keys, &other, KEY("b", TOKEN_OTHER_SECRET_64));
    return keys;
}
