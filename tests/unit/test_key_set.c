#include "common/key_set.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bytes.h"
#include "token_maker.h"
#include "unit.h"

#define K32  TOKEN_SECRET_64
#define HMAC "\"kty\":\"oct\",\"alg\":\"HS256\",\"kid\":\"a\",\"k\":\"" K32 "\""
/* RFC 7515, A.3: a point on P-256. */
#define EC_X "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"
#define EC_Y "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
#define EC_D "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"
#define EC   "\"kty\":\"EC\",\"alg\":\"ES256\",\"kid\":\"e\",\"crv\":\"P-256\""
#define ALG_RULE                                                                                   \
    "`alg` must be there and be one of those for signatures: HS, RS, PS or ES with 256, 384 or "   \
    "512"
#define KID_RULE "`kid` must be there: a text of 1 to 128 bytes that names the key"
#define KTY_RULE "`kty` is not the one of its `alg` (oct for HS, RSA for RS and PS, EC for ES)"
#define EC_RULE                                                                                    \
    "`x` and `y`, and `d` where it is there, must be as long as the curve says, in base64url"

static struct buffer why;

static key_set_t *parse(const char *text, enum key_use use)
{
    buffer_reset(&why);
    struct span copy = exact_copy(span_text(text));
    key_set_t *keys = key_set_parse(copy, use, &why);
    free_copy(copy);
    return keys;
}

static void teardown(void)
{
    buffer_free(&why);
}

START_TEST(reads_keys)
{
    key_set_t *keys =
        parse("{\"keys\":[{" HMAC "},{" EC ",\"x\":\"" EC_X "\",\"y\":\"" EC_Y
              "\",\"use\":\"sig\",\"key_ops\":[\"verify\"],\"x5t\":\"?\"}],\"more\":1}",
              KEYS_TO_VERIFY);
    ck_assert_msg(keys != NULL, "%.*s", SPAN_ARG(buffer_span(&why)));
    ck_assert_uint_eq(key_set_count(keys), 2);
    const struct key *first = key_set_at(keys, 0), *second = key_set_at(keys, 1);
    ck_assert_str_eq(first->kid, "a");
    ck_assert_str_eq(first->algorithm->name, "HS256");
    ck_assert_uint_eq(first->signature_bytes, 32);
    ck_assert(first->can_sign);
    assert_text(buffer_span(&first->material), TOKEN_SECRET);
    ck_assert_str_eq(second->kid, "e");
    ck_assert_uint_eq(second->signature_bytes, 64);
    ck_assert(!second->can_sign);
    key_set_destroy(&keys);
    ck_assert_ptr_null(keys);
    key_set_destroy(&keys);
}
END_TEST

START_TEST(private_keys_only_sign)
{
    static const char text[] =
        "{\"keys\":[{" EC ",\"x\":\"" EC_X "\",\"y\":\"" EC_Y "\",\"d\":\"" EC_D "\"}]}";
    ck_assert_ptr_null(parse(text, KEYS_TO_VERIFY));
    assert_text(buffer_span(&why), "key 1 (kid \"e\"): it is private (`d`); what is needed here is "
                                   "its public half: millrace keys public FILE");
    key_set_t *keys = parse(text, KEYS_TO_SIGN);
    ck_assert_ptr_nonnull(keys);
    ck_assert(key_set_at(keys, 0)->can_sign);
    key_set_destroy(&keys);
}
END_TEST

static const char *const refused[][2] = {
    {"", "not JSON, or a name is there twice: line 1, column 1"},
    {"{\"keys\":[{\"k\":\"secret\" secret]}",
     "not JSON, or a name is there twice: line 1, column 29"},
    {"{\"keys\":[],\"keys\":[]}", "not JSON, or a name is there twice: line 1, column 17"},
    {"[]", "must be a JWK Set: an object with an array `keys`"},
    {"{" HMAC "}", "must be a JWK Set: an object with an array `keys`"},
    {"{\"keys\":{}}", "must be a JWK Set: an object with an array `keys`"},
    {"{\"keys\":[]}", "there is no key in it"},
    {"{\"keys\":[7]}", "key 1: must be an object"},
    {"{\"keys\":[{" HMAC "},{" HMAC "}]}", "key 2 (kid \"a\"): another key has this `kid`"},
    {"{\"keys\":[{\"kty\":\"oct\",\"alg\":\"HS256\",\"k\":\"" K32 "\"}]}", "key 1: " KID_RULE},
    {"{\"keys\":[{\"kid\":\"\",\"alg\":\"HS256\"}]}", "key 1: " KID_RULE},
    {"{\"keys\":[{\"kid\":1,\"alg\":\"HS256\"}]}", "key 1: " KID_RULE},
    {"{\"keys\":[{\"kid\":\"a\\u0000\",\"alg\":\"HS256\"}]}", "key 1: " KID_RULE},
    {"{\"keys\":[{\"kid\":\"a\",\"kty\":\"oct\",\"k\":\"" K32 "\"}]}",
     "key 1 (kid \"a\"): " ALG_RULE},
    {"{\"keys\":[{\"kid\":\"a\",\"alg\":\"none\"}]}", "key 1 (kid \"a\"): " ALG_RULE},
    {"{\"keys\":[{\"kid\":\"a\",\"alg\":\"A128KW\"}]}", "key 1 (kid \"a\"): " ALG_RULE},
    {"{\"keys\":[{\"kid\":\"a\",\"alg\":\"EdDSA\"}]}", "key 1 (kid \"a\"): " ALG_RULE},
    {"{\"keys\":[{\"kid\":\"a\",\"alg\":\"RS256\",\"kty\":\"oct\"}]}",
     "key 1 (kid \"a\"): " KTY_RULE},
    {"{\"keys\":[{" HMAC ",\"use\":\"enc\"}]}",
     "key 1 (kid \"a\"): `use` must be \"sig\" or absent"},
    {"{\"keys\":[{" HMAC ",\"key_ops\":[\"encrypt\"]}]}",
     "key 1 (kid \"a\"): `key_ops` must list \"verify\" or \"sign\", or be absent"},
    {"{\"keys\":[{\"kty\":\"oct\",\"alg\":\"HS512\",\"kid\":\"a\",\"k\":\"" K32 "\"}]}",
     "key 1 (kid \"a\"): `k` is shorter than the hash of its `alg`"},
    {"{\"keys\":[{\"kty\":\"oct\",\"alg\":\"HS256\",\"kid\":\"a\",\"k\":\"%%%\"}]}",
     "key 1 (kid \"a\"): `k` must be the secret in base64url"},
    {"{\"keys\":[{\"kty\":\"oct\",\"alg\":\"HS256\",\"kid\":\"a\"}]}",
     "key 1 (kid \"a\"): `k` must be the secret in base64url"},
    {"{\"keys\":[{\"kty\":\"RSA\",\"alg\":\"RS256\",\"kid\":\"a\"}]}",
     "key 1 (kid \"a\"): `n` and `e`, and with `d` also `p`, `q`, `dp`, `dq` and `qi`, must be "
     "numbers in base64url"},
    {"{\"keys\":[{\"kty\":\"RSA\",\"alg\":\"RS256\",\"kid\":\"a\",\"n\":\"" K32
     "\",\"e\":\"AQAB\"}]}",
     "key 1 (kid \"a\"): an RSA key must have at least 2048 bits"},
    {"{\"keys\":[{" EC ",\"x\":\"" EC_X "\",\"y\":\"" EC_X "\"}]}",
     "key 1 (kid \"e\"): its numbers are no key (a point that is not on the curve?)"},
    {"{\"keys\":[{" EC ",\"x\":\"" EC_X "\",\"y\":\"AQAB\"}]}", "key 1 (kid \"e\"): " EC_RULE},
    {"{\"keys\":[{" EC ",\"x\":\"" EC_X "\"}]}", "key 1 (kid \"e\"): " EC_RULE},
    {"{\"keys\":[{\"kty\":\"EC\",\"alg\":\"ES384\",\"kid\":\"e\",\"crv\":\"P-256\",\"x\":\"" EC_X
     "\",\"y\":\"" EC_Y "\"}]}",
     "key 1 (kid \"e\"): `crv` is not the curve of its `alg`"},
};

START_TEST(refuses)
{
    key_set_t *keys = parse(refused[_i][0], KEYS_TO_VERIFY);
    ck_assert_ptr_null(keys);
    assert_text(buffer_span(&why), refused[_i][1]);
}
END_TEST

/* An RSA key whose modulus has `size` bytes: 0xff or 0x7f, then ones, but the last byte. */
static void expect_rsa(size_t size, uint8_t first, uint8_t last, const char *exponent,
                       const char *rule)
{
    uint8_t *n = malloc(size);
    memset(n, 0xff, size);
    n[0] = first;
    n[size - 1] = last;
    char *number = token_base64(span_of(n, size)), *text = NULL;
    ck_assert_int_gt(asprintf(&text,
                              "{\"keys\":[{\"kty\":\"RSA\",\"alg\":\"PS256\",\"kid\":\"r\","
                              "\"n\":\"%s\",\"e\":\"%s\"}]}",
                              number, exponent),
                     0);
    key_set_t *keys = parse(text, KEYS_TO_VERIFY);
    if (rule) {
        ck_assert_ptr_null(keys);
        assert_text(buffer_span(&why), rule);
    } else {
        ck_assert_msg(keys != NULL, "%.*s", SPAN_ARG(buffer_span(&why)));
        ck_assert_uint_eq(key_set_at(keys, 0)->signature_bytes, size);
    }
    key_set_destroy(&keys);
    free(number);
    free(text);
    free(n);
}

START_TEST(weak_rsa_keys_are_refused)
{
    expect_rsa(256, 0xff, 0xff, "AQAB", NULL);
    expect_rsa(1024, 0xff, 0xff, "AQAB", NULL);
    expect_rsa(256, 0x7f, 0xff, "AQAB",
               "key 1 (kid \"r\"): an RSA key must have at least 2048 bits");
    expect_rsa(1025, 0xff, 0xff, "AQAB",
               "key 1 (kid \"r\"): an RSA key must have at most 8192 bits");
    expect_rsa(256, 0xff, 0xfe, "AQAB", "key 1 (kid \"r\"): `n` is even");
    static const char *const exponents[] = {"AQ", "Aw", "AAAD", "AQAA"}; /* 1, 3, 3, 65536 */
    for (size_t i = 0; i < 4; i++)
        expect_rsa(256, 0xff, 0xff, exponents[i],
                   "key 1 (kid \"r\"): `e` must be odd and at least 65537");
}
END_TEST

START_TEST(keys_are_counted)
{
    struct buffer text = {0};
    for (int more = 0; more < 2; more++) {
        buffer_reset(&text);
        for (int i = 0; i < KEY_SET_KEYS + more; i++)
            buffer_printf(&text,
                          "%s{\"kty\":\"oct\",\"alg\":\"HS256\",\"kid\":\"%d\",\"k\":\"" K32 "\"}",
                          i ? "," : "{\"keys\":[", i);
        buffer_put(&text, "]}", 3);
        key_set_t *keys = parse((const char *)text.data, KEYS_TO_VERIFY);
        ck_assert_int_eq(keys == NULL, more);
        if (more)
            assert_text(buffer_span(&why), "there are more than 64 keys in it");
        key_set_destroy(&keys);
    }
    buffer_free(&text);
}
END_TEST

static void expect_file(const char *path, mode_t mode, const char *rule)
{
    ck_assert_int_eq(chmod(path, mode), 0);
    buffer_reset(&why);
    key_set_t *keys = key_set_load(path, KEYS_TO_VERIFY, &why);
    ck_assert_int_eq(keys == NULL, rule != NULL);
    if (rule)
        assert_text(buffer_span(&why), rule);
    key_set_destroy(&keys);
}

static void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(fputs(text, file), 0);
    ck_assert_int_eq(fclose(file), 0);
}

START_TEST(files_with_secrets_are_not_for_everybody)
{
    char path[] = "/tmp/millrace-keys-XXXXXX";
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    close(fd);
    write_text(path, "{\"keys\":[{" HMAC "}]}");
    expect_file(path, 0600, NULL);
    expect_file(path, 0640, NULL);
    expect_file(path, 0644,
                "it holds a secret and everybody may read it; take that right away "
                "(chmod o-r)");
    write_text(path, "{\"keys\":[{" EC ",\"x\":\"" EC_X "\",\"y\":\"" EC_Y "\"}]}");
    expect_file(path, 0644, NULL);
    expect_file(path, 0666, "everybody may write it; take that right away (chmod o-w)");
    unlink(path);
    ck_assert_ptr_null(key_set_load(path, KEYS_TO_VERIFY, &why));
    ck_assert_ptr_null(key_set_load("/tmp", KEYS_TO_VERIFY, &why));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("key_set");
    TCase *tests = tcase_create("key_set");
    tcase_add_checked_fixture(tests, NULL, teardown);
    tcase_add_test(tests, reads_keys);
    tcase_add_test(tests, private_keys_only_sign);
    tcase_add_loop_test(tests, refuses, 0, sizeof refused / sizeof *refused);
    tcase_add_test(tests, weak_rsa_keys_are_refused);
    tcase_add_test(tests, keys_are_counted);
    tcase_add_test(tests, files_with_secrets_are_not_for_everybody);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
