#pragma once
#include "common/site_keys.h"
#include "proto/span.h"

/* token_maker - tokens for tests, also such as no library would make. */

#define TOKEN_SECRET          "0123456789abcdef0123456789abcdef" /* 32 bytes */
#define TOKEN_SECRET_64       "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"
#define TOKEN_OTHER_SECRET    "abcdef0123456789abcdef0123456789"
#define TOKEN_OTHER_SECRET_64 "YWJjZGVmMDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODk"

/* header "." claims "." HMAC with SHA-256, each in base64url; free it. */
char *token_make(const char *header, const char *claims, const char *secret);
/* Bytes in base64url; free it. */
char *token_base64(struct span bytes);

/* Site "acme" with key "a" (TOKEN_SECRET), site "other" with key "b" (TOKEN_OTHER_SECRET) that
 * demands iss "https://issuer", aud "millrace" and a sub, and does not demand exp. */
site_keys_t *token_two_sites(void);
/* Site "acme" alone. */
site_keys_t *token_one_site(void);
