/* A file of keys. A set that is accepted obeys the rules of each key, and what a gateway may load
 * `millrace token` may load too. */
#include "common/key_set.h"
#include "fuzz.h"

static void check_key(const struct key *key)
{
    FUZZ_CHECK(key->kid && key->kid[0] && strlen(key->kid) <= KEY_ID_BYTES);
    FUZZ_CHECK(key->algorithm && key->jwk && key->material.size > 0);
    switch (key->algorithm->family) {
    case KEY_HMAC:
        FUZZ_CHECK(key->material.size >= key->algorithm->hash_bytes);
        break;
    case KEY_RSA:
        FUZZ_CHECK(key->signature_bytes >= 256 && !key->can_sign);
        break;
    case KEY_EC:
        FUZZ_CHECK(key->signature_bytes == 2 * key->algorithm->coordinate_bytes && !key->can_sign);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buffer why = {0};
    key_set_t *keys = key_set_parse(span_of(data, size), KEYS_TO_VERIFY, &why);
    FUZZ_CHECK((keys == NULL) == (why.size > 0));
    key_set_t *more = key_set_parse(span_of(data, size), KEYS_TO_SIGN, &why);
    FUZZ_CHECK(more || !keys);
    for (size_t i = 0; keys && i < key_set_count(keys); i++)
        check_key(key_set_at(keys, i));
    key_set_destroy(&keys);
    key_set_destroy(&more);
    buffer_free(&why);
    return 0;
}
