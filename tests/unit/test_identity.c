#include "gateway/identity.h"

#include <stdio.h>

#include "bytes.h"
#include "proto/limits.h"
#include "token_maker.h"
#include "unit.h"

#define NOW    1800000000
#define HEADER "{\"alg\":\"HS256\",\"kid\":\"a\"}"
#define OTHER  "{\"alg\":\"HS256\",\"kid\":\"b\"}"
#define EXP    "\"exp\":1800000100,"
#define MEMBER "\"type\":\"MEMBER\",\"sub\":\"u1\""
#define GOOD   "{" EXP MEMBER "}"
#define THEIRS "\"iss\":\"https://issuer\",\"aud\":\"millrace\","

static site_keys_t *keys;
static struct identity *identity;
static struct site_key key;

static void setup(void)
{
    keys = token_two_sites();
    identity = NULL;
}

static void teardown(void)
{
    identity_destroy(&identity);
    site_keys_destroy(&keys);
}

/* In memory of its exact size. */
static enum identity_rule verify_text(const char *token)
{
    identity_destroy(&identity);
    struct span copy = exact_copy(span_text(token));
    enum identity_rule rule = identity_verify(keys, copy, NOW, &identity, &key);
    free_copy(copy);
    ck_assert_int_eq(rule == IDENTITY_OK, identity != NULL);
    return rule;
}

static enum identity_rule verify(const char *header, const char *claims, const char *secret)
{
    char *token = token_make(header, claims, secret);
    enum identity_rule rule = verify_text(token);
    free(token);
    return rule;
}

static void expect(enum identity_rule rule, const char *header, const char *claims,
                   const char *secret)
{
    enum identity_rule got = verify(header, claims, secret);
    ck_assert_msg(got == rule, "%s %s: '%s', expected '%s'", header, claims,
                  identity_rule_text(got), identity_rule_text(rule));
}

START_TEST(a_good_token_says_who_it_is)
{
    expect(IDENTITY_OK, HEADER, GOOD, TOKEN_SECRET);
    assert_text(identity->subscriber.site, "acme");
    assert_text(identity->subscriber.id, "u1");
    assert_text(identity->subscriber.app, "");
    ck_assert_int_eq(identity->subscriber.type, SUBSCRIBER_MEMBER);
    ck_assert_int_eq(identity->subscriber.view, VIEW_LIVE);
    ck_assert_int_eq(identity->expires_s, 1800000100);
    assert_text(key.site->name, "acme");

    expect(IDENTITY_OK, "{\"typ\":\"jwt\",\"alg\":\"HS256\",\"kid\":\"b\",\"x5t\":\"ignored\"}",
           "{" THEIRS "\"type\":\"ADMIN\",\"sub\":\"\u00e9\",\"app\":\"13d2-app\",\"view\":"
           "\"preview\",\"site\":\"other\",\"role\":{\"more\":[1]}}",
           TOKEN_OTHER_SECRET);
    assert_text(identity->subscriber.site, "other");
    assert_text(identity->subscriber.id, "\u00e9");
    assert_text(identity->subscriber.app, "13d2-app");
    ck_assert_int_eq(identity->subscriber.type, SUBSCRIBER_ADMIN);
    ck_assert_int_eq(identity->subscriber.view, VIEW_PREVIEW);
    ck_assert_int_eq(identity->expires_s, 0);

    expect(IDENTITY_OK, HEADER, "{" EXP "\"type\":\"VISITOR\"}", TOKEN_SECRET);
    assert_text(identity->subscriber.id, "");
    ck_assert_int_eq(identity->subscriber.type, SUBSCRIBER_VISITOR);
}
END_TEST

/* The claims are good everywhere. */
static const struct {
    enum identity_rule rule;
    const char *header;
} headers[] = {
    {IDENTITY_HEADER, "[]"},
    {IDENTITY_HEADER, "{\"alg\":\"HS256\",\"kid\":\"a\""},
    {IDENTITY_HEADER, "{\"alg\":\"HS256\",\"kid\":\"a\"} x"},
    {IDENTITY_HEADER, "{\"alg\":\"none\",\"alg\":\"HS256\",\"kid\":\"a\"}"},
    {IDENTITY_HEADER, "{\"alg\":\"HS256\",\"alg\":\"HS256\",\"kid\":\"a\"}"},
    {IDENTITY_HEADER, "{\"alg\":\"HS256\",\"al\\u0067\":\"none\",\"kid\":\"a\"}"},
    {IDENTITY_HEADER, "{\"alg\":\"HS256\",\"kid\":\"a\",\"kid\":\"b\"}"},
    {IDENTITY_HEADER, "{\"alg\":\"HS256\",\"kid\":\"\xff\"}"},
    {IDENTITY_HEADER_TYPE, "{}"},
    {IDENTITY_HEADER_TYPE, "{\"kid\":\"a\"}"},
    {IDENTITY_HEADER_TYPE, "{\"alg\":null,\"kid\":\"a\"}"},
    {IDENTITY_HEADER_TYPE, "{\"alg\":[\"HS256\"],\"kid\":\"a\"}"},
    {IDENTITY_HEADER_TYPE, "{\"alg\":\"\",\"kid\":\"a\"}"},
    {IDENTITY_HEADER_TYPE, "{\"alg\":\"HS256\",\"kid\":1}"},
    {IDENTITY_HEADER_TYPE, "{\"alg\":\"HS256\",\"kid\":null}"},
    {IDENTITY_HEADER_TYPE, "{\"alg\":\"HS256\",\"kid\":\"\"}"},
    {IDENTITY_HEADER_TYPE, "{\"alg\":\"HS256\",\"kid\":[\"a\"]}"},
    {IDENTITY_HEADER_TYPE, "{\"alg\":\"HS256\",\"kid\":\"a\",\"typ\":\"JWE\"}"},
    {IDENTITY_HEADER_TYPE, "{\"alg\":\"HS256\",\"kid\":\"a\",\"typ\":7}"},
    {IDENTITY_HEADER_KEY, "{\"alg\":\"HS256\",\"kid\":\"a\",\"crit\":[\"exp\"]}"},
    {IDENTITY_HEADER_KEY, "{\"alg\":\"HS256\",\"kid\":\"a\",\"jku\":\"https://evil\"}"},
    {IDENTITY_HEADER_KEY, "{\"alg\":\"HS256\",\"kid\":\"a\",\"x5u\":\"https://evil\"}"},
    {IDENTITY_HEADER_KEY, "{\"alg\":\"HS256\",\"kid\":\"a\",\"b64\":false}"},
    {IDENTITY_HEADER_KEY,
     "{\"alg\":\"HS256\",\"kid\":\"a\",\"jwk\":{\"kty\":\"oct\",\"k\":\"AAAA\"}}"},
    {IDENTITY_KID, "{\"alg\":\"HS256\"}"}, /* there are two */
    {IDENTITY_KID, "{\"alg\":\"HS256\",\"kid\":\"c\"}"},
    {IDENTITY_KID, "{\"alg\":\"HS256\",\"kid\":\"A\"}"},
    {IDENTITY_KID, "{\"alg\":\"HS256\",\"kid\":\"a\\u0000\"}"},
    {IDENTITY_KID, "{\"alg\":\"HS256\",\"kid\":\"a \"}"},
    {IDENTITY_KID, "{\"alg\":\"HS256\",\"kid\":\"../../../../dev/null\"}"},
    {IDENTITY_KID, "{\"alg\":\"HS256\",\"kid\":\"a' or '1'='1\"}"},
    {IDENTITY_ALG, "{\"alg\":\"none\",\"kid\":\"a\"}"},
    {IDENTITY_ALG, "{\"alg\":\"None\",\"kid\":\"a\"}"},
    {IDENTITY_ALG, "{\"alg\":\"nOnE\",\"kid\":\"a\"}"},
    {IDENTITY_ALG, "{\"alg\":\"hs256\",\"kid\":\"a\"}"},
    {IDENTITY_ALG, "{\"alg\":\"HS512\",\"kid\":\"a\"}"},
    {IDENTITY_ALG, "{\"alg\":\"RS256\",\"kid\":\"a\"}"},
    {IDENTITY_ALG, "{\"alg\":\"HS256\\u0000\",\"kid\":\"a\"}"},
    {IDENTITY_SIGNATURE, OTHER}, /* signed with the key of a */
};

START_TEST(headers_that_are_refused)
{
    expect(headers[_i].rule, headers[_i].header, "{" THEIRS EXP MEMBER "}", TOKEN_SECRET);
}
END_TEST

static const struct {
    enum identity_rule rule;
    const char *claims;
} claims[] = {
    {IDENTITY_CLAIMS, "[]"},
    {IDENTITY_CLAIMS, "\"x\""},
    {IDENTITY_CLAIMS, "not json"},
    {IDENTITY_CLAIMS, "{" EXP EXP MEMBER "}"},
    {IDENTITY_CLAIMS, "{" EXP MEMBER ",\"sub\":\"u2\"}"},
    {IDENTITY_CLAIMS, "{" EXP MEMBER ",\"site\":\"acme\",\"s\\u0069te\":\"other\"}"},
    {IDENTITY_CLAIMS, "{" EXP MEMBER ",\"x\":[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]}"},
    {IDENTITY_CLAIM_TYPE, "{\"exp\":\"1800000100\"," MEMBER "}"},
    {IDENTITY_CLAIM_TYPE, "{\"exp\":null," MEMBER "}"},
    {IDENTITY_CLAIM_TYPE, "{\"exp\":true," MEMBER "}"},
    {IDENTITY_CLAIM_TYPE, "{\"exp\":-1," MEMBER "}"},
    {IDENTITY_CLAIM_TYPE, "{\"exp\":1e300," MEMBER "}"},
    {IDENTITY_CLAIM_TYPE, "{\"exp\":9223372036854775807," MEMBER "}"},
    {IDENTITY_CLAIM_TYPE, "{" EXP "\"nbf\":\"0\"," MEMBER "}"},
    {IDENTITY_CLAIM_TYPE, "{" EXP "\"iat\":{}," MEMBER "}"},
    {IDENTITY_CLAIM_TYPE, "{" EXP "\"type\":\"MEMBER\",\"sub\":7}"},
    {IDENTITY_CLAIM_TYPE, "{" EXP "\"type\":\"VISITOR\",\"sub\":null}"},
    {IDENTITY_CLAIM_TYPE, "{" EXP "\"type\":\"VISITOR\",\"sub\":\"a\\u0000b\"}"},
    {IDENTITY_CLAIM_TYPE, "{" EXP "\"type\":[\"MEMBER\"],\"sub\":\"u1\"}"},
    {IDENTITY_CLAIM_TYPE, "{" EXP MEMBER ",\"site\":[\"acme\"]}"},
    {IDENTITY_CLAIM_TYPE, "{" EXP MEMBER ",\"app\":1}"},
    {IDENTITY_CLAIM_TYPE, "{" EXP MEMBER ",\"view\":false}"},
    {IDENTITY_CLAIM_TYPE, "{" EXP MEMBER ",\"iss\":[]}"},
    {IDENTITY_CLAIM_TYPE, "{" EXP MEMBER ",\"aud\":{}}"},
    {IDENTITY_CLAIM_TYPE, "{" EXP MEMBER ",\"aud\":[\"a\",1]}"},
    {IDENTITY_SITE, "{" EXP MEMBER ",\"site\":\"other\"}"},
    {IDENTITY_SITE, "{" EXP MEMBER ",\"site\":\"\"}"},
    {IDENTITY_SITE, "{" EXP MEMBER ",\"site\":\"Acme\"}"},
    {IDENTITY_CHANNEL, "{" EXP MEMBER ",\"channel\":\"chat\"}"},
    {IDENTITY_TYPE, "{" EXP "\"sub\":\"u1\"}"},
    {IDENTITY_TYPE, "{" EXP "\"type\":\"\",\"sub\":\"u1\"}"},
    {IDENTITY_TYPE, "{" EXP "\"type\":\"member\",\"sub\":\"u1\"}"},
    {IDENTITY_TYPE, "{" EXP "\"type\":\"MEMBER \",\"sub\":\"u1\"}"},
    {IDENTITY_TYPE, "{" EXP "\"type\":\"OWNER\",\"sub\":\"u1\"}"},
    {IDENTITY_SUB, "{" EXP "\"type\":\"MEMBER\"}"},
    {IDENTITY_SUB, "{" EXP "\"type\":\"ADMIN\"}"},
    {IDENTITY_SUB, "{" EXP "\"type\":\"ADMIN\",\"sub\":\"\"}"},
    {IDENTITY_APP, "{" EXP MEMBER ",\"app\":\"\"}"},
    {IDENTITY_APP, "{" EXP MEMBER ",\"app\":\"a/b\"}"},
    {IDENTITY_VIEW, "{" EXP MEMBER ",\"view\":\"live\"}"},
    {IDENTITY_VIEW, "{" EXP MEMBER ",\"view\":\"\"}"},
    {IDENTITY_NO_EXP, "{" MEMBER "}"},
    {IDENTITY_OK, "{\"exp\":1800000000," MEMBER "}"}, /* the leeway, on both sides */
    {IDENTITY_OK, "{\"exp\":1799999941," MEMBER "}"},
    {IDENTITY_OK, "{\"exp\":1799999941.9," MEMBER "}"},
    {IDENTITY_EXPIRED, "{\"exp\":1799999940," MEMBER "}"},
    {IDENTITY_EXPIRED, "{\"exp\":1799999940.9," MEMBER "}"},
    {IDENTITY_EXPIRED, "{\"exp\":0," MEMBER "}"},
    {IDENTITY_OK, "{" EXP "\"nbf\":1800000060," MEMBER "}"},
    {IDENTITY_TOO_EARLY, "{" EXP "\"nbf\":1800000061," MEMBER "}"},
    /* Who somebody is comes before when: only a token that would be good is called expired. */
    {IDENTITY_SITE, "{\"exp\":1," MEMBER ",\"site\":\"other\"}"},
    {IDENTITY_SUB, "{\"exp\":1,\"type\":\"MEMBER\"}"},
};

START_TEST(claims_that_are_refused)
{
    expect(claims[_i].rule, HEADER, claims[_i].claims, TOKEN_SECRET);
}
END_TEST

START_TEST(what_a_site_demands)
{
    static const struct {
        enum identity_rule rule;
        const char *claims;
    } cases[] = {
        {IDENTITY_OK, "{" THEIRS MEMBER "}"},
        {IDENTITY_OK, "{\"iss\":\"https://issuer\",\"aud\":[\"x\",\"millrace\"]," MEMBER "}"},
        {IDENTITY_ISSUER, "{\"aud\":\"millrace\"," MEMBER "}"},
        {IDENTITY_ISSUER, "{\"iss\":\"https://issuer/\",\"aud\":\"millrace\"," MEMBER "}"},
        {IDENTITY_AUDIENCE, "{\"iss\":\"https://issuer\"," MEMBER "}"},
        {IDENTITY_AUDIENCE, "{\"iss\":\"https://issuer\",\"aud\":[]," MEMBER "}"},
        {IDENTITY_AUDIENCE, "{\"iss\":\"https://issuer\",\"aud\":\"mill\"," MEMBER "}"},
        {IDENTITY_ANONYMOUS, "{" THEIRS "\"type\":\"VISITOR\"}"},
        {IDENTITY_OK, "{" THEIRS "\"type\":\"VISITOR\",\"sub\":\"v\"}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect(cases[i].rule, OTHER, cases[i].claims, TOKEN_OTHER_SECRET);
    ck_assert_int_eq(identity_outcome(IDENTITY_ANONYMOUS), IDENTITY_IS_ANONYMOUS);
}
END_TEST

START_TEST(tokens_of_another_form)
{
    static const struct {
        enum identity_rule rule;
        const char *token;
    } cases[] = {
        {IDENTITY_FORM, ""},
        {IDENTITY_FORM, "a"},
        {IDENTITY_FORM, "a.b"},
        {IDENTITY_FORM, "a.b.c"},
        {IDENTITY_FORM, ".."},
        {IDENTITY_FORM, "eyJh.eyJh"},
        {IDENTITY_FORM, "eyJh.eyJh.eyJh.eyJh"},
        {IDENTITY_FORM, "eyJh.eyJh.eyJh.eyJh.eyJh"}, /* JWE */
        {IDENTITY_FORM, "eyJh=.eyJh.eyJh"},
        {IDENTITY_FORM, "ey+h.eyJh.eyJh"},
        {IDENTITY_FORM, " eyJh.eyJh.eyJh"},
        {IDENTITY_FORM, "eyJh.eyJh.eyJh\n"},
        {IDENTITY_NO_SIGNATURE, "eyJh.eyJh."},
        {IDENTITY_HEADER, "eyJh.eyJh.eyJh"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        ck_assert_msg(verify_text(cases[i].token) == cases[i].rule, "%s", cases[i].token);
}
END_TEST

START_TEST(every_changed_byte_is_noticed)
{
    char *token = token_make(HEADER, GOOD, TOKEN_SECRET);
    size_t size = strlen(token);
    ck_assert_int_eq(verify_text(token), IDENTITY_OK);
    /* The last letter carries bits that stand for nothing. */
    for (size_t i = 0; i + 1 < size; i++) {
        char before = token[i];
        token[i] = before == 'A' ? 'B' : 'A';
        ck_assert_msg(verify_text(token) != IDENTITY_OK, "byte %zu", i);
        token[i] = before;
    }
    for (size_t cut = 0; cut < size; cut++) {
        char before = token[cut];
        token[cut] = '\0';
        ck_assert_msg(verify_text(token) != IDENTITY_OK, "%zu bytes", cut);
        token[cut] = before;
    }
    free(token);
}
END_TEST

START_TEST(long_tokens_are_not_even_read)
{
    char *token = malloc(LIMIT_TOKEN_BYTES + 2);
    memset(token, 'A', LIMIT_TOKEN_BYTES + 1);
    token[LIMIT_TOKEN_BYTES + 1] = '\0';
    ck_assert_int_eq(verify_text(token), IDENTITY_TOO_LONG);
    token[LIMIT_TOKEN_BYTES] = '\0';
    ck_assert_int_eq(verify_text(token), IDENTITY_FORM);
    free(token);

    char text[512];
    for (size_t size = LIMIT_SUBSCRIBER_BYTES; size <= LIMIT_SUBSCRIBER_BYTES + 1; size++) {
        snprintf(text, sizeof text, "{" EXP "\"type\":\"MEMBER\",\"sub\":\"%0*d\"}", (int)size, 0);
        expect(size > LIMIT_SUBSCRIBER_BYTES ? IDENTITY_CLAIM_TYPE : IDENTITY_OK, HEADER, text,
               TOKEN_SECRET);
    }
}
END_TEST

START_TEST(a_kid_may_be_missing_where_there_is_one_key)
{
    site_keys_destroy(&keys);
    keys = token_one_site();
    expect(IDENTITY_OK, "{\"alg\":\"HS256\"}", GOOD, TOKEN_SECRET);
    expect(IDENTITY_SIGNATURE, "{\"alg\":\"HS256\"}", GOOD, TOKEN_OTHER_SECRET);
    expect(IDENTITY_KID, "{\"alg\":\"HS256\",\"kid\":\"b\"}", GOOD, TOKEN_SECRET);
}
END_TEST

START_TEST(without_keys_nothing_is_good)
{
    site_keys_destroy(&keys);
    expect(IDENTITY_NO_KEYS, HEADER, GOOD, TOKEN_SECRET);
    keys = site_keys_new();
    expect(IDENTITY_NO_KEYS, HEADER, GOOD, TOKEN_SECRET);
}
END_TEST

/* A public key that is known to everybody must not do as the secret of an HMAC. */
START_TEST(a_public_key_is_no_secret)
{
    struct buffer why = {0};
    char modulus[343], set[600];
    memset(modulus, '_', sizeof modulus - 1); /* 256 bytes of ones: odd, 2048 bits */
    modulus[sizeof modulus - 1] = '\0';
    modulus[sizeof modulus - 2] = 'w';
    snprintf(set, sizeof set,
             "{\"keys\":[{\"kty\":\"RSA\",\"alg\":\"RS256\",\"kid\":\"r\",\"e\":\"AQAB\",\"n\":\"%"
             "s\"}]}",
             modulus);
    key_set_t *rsa = key_set_parse(span_text(set), KEYS_TO_VERIFY, &why);
    ck_assert_msg(rsa != NULL, "%.*s", SPAN_ARG(buffer_span(&why)));
    struct site site = {.name = span_text("rsa"), .issuer = "", .audience = "", .anonymous = true};
    ck_assert(site_keys_add(keys, &site, &rsa, &why));
    expect(IDENTITY_ALG, "{\"alg\":\"HS256\",\"kid\":\"r\"}", GOOD, modulus);
    expect(IDENTITY_SIGNATURE, "{\"alg\":\"RS256\",\"kid\":\"r\"}", GOOD, modulus);
    buffer_free(&why);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("identity");
    TCase *tests = tcase_create("identity");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, a_good_token_says_who_it_is);
    tcase_add_loop_test(tests, headers_that_are_refused, 0, sizeof headers / sizeof *headers);
    tcase_add_loop_test(tests, claims_that_are_refused, 0, sizeof claims / sizeof *claims);
    tcase_add_test(tests, what_a_site_demands);
    tcase_add_test(tests, tokens_of_another_form);
    tcase_add_test(tests, every_changed_byte_is_noticed);
    tcase_add_test(tests, long_tokens_are_not_even_read);
    tcase_add_test(tests, a_kid_may_be_missing_where_there_is_one_key);
    tcase_add_test(tests, without_keys_nothing_is_good);
    tcase_add_test(tests, a_public_key_is_no_secret);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
