#include <cjose/header.h>
#include <cjose/jws.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/arguments.h"
#include "cli/commands.h"
#include "common/address.h"
#include "common/clock.h"
#include "common/key_set.h"
#include "proto/json_text.h"
#include "proto/limits.h"

#define SECONDS_MAX INT64_C(3155760000) /* a century */

static const char *key_file, *kid, *subject, *site, *app, *view, *issuer, *audience, *not_before;
static const char *type = "VISITOR", *expires = "3600";

static const struct cli_option options[] = {
    {"key", "FILE", "the keys to sign with (millrace keys new)", &key_file, NULL},
    {"kid", "ID", "which of them, where FILE has several", &kid, NULL},
    {"type", "TYPE", "ADMIN, MEMBER or VISITOR (VISITOR)", &type, NULL},
    {"subject", "ID", "who it is; visitors may be nobody in particular", &subject, NULL},
    {"site", "SITE", "the site that the key belongs to; need not be said", &site, NULL},
    {"app", "APP", "the app whose code opens the connection; without: the site's own", &app, NULL},
    {"view", "preview", "the preview, not live", &view, NULL},
    {"expires", "SECONDS", "from now (3600); below 0: it has expired; never: it does not", &expires,
     NULL},
    {"not-before", "SECONDS", "from now, when it begins to be valid", &not_before, NULL},
    {"issuer", "TEXT", "its iss, where the site demands one", &issuer, NULL},
    {"audience", "TEXT", "its aud, where the site demands one", &audience, NULL},
};

static const struct cli_usage usage = {
    .command = "token",
    .arguments = "--key FILE",
    .help = "Prints a connection token, signed with a key of FILE: for tests and demonstrations.\n"
            "In earnest the site's own backend signs them, with any JWT library.\n\n"
            "  millrace token --key acme.keys --type MEMBER --subject user-7\n",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
};

/* --- arguments --- */

/* Seconds from now, or false after telling what is wrong with `name`. */
static bool seconds(const char *name, const char *text, int64_t *out)
{
    char *end = NULL;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    const char *digits = text[0] == '-' ? text + 1 : text;
    if (digits[0] != '\0' && strspn(digits, "0123456789") == strlen(digits) && errno == 0 &&
        value >= -SECONDS_MAX && value <= SECONDS_MAX) {
        *out = value;
        return true;
    }
    cli_misuse(&usage, "--%s '%s': whole seconds from now are expected, at most %" PRId64, name,
               text, SECONDS_MAX);
    return false;
}

static bool check(void)
{
    bool is_visitor = strcmp(type, "VISITOR") == 0;
    if (!key_file)
        cli_misuse(&usage, "--key is missing");
    else if (!is_visitor && strcmp(type, "MEMBER") != 0 && strcmp(type, "ADMIN") != 0)
        cli_misuse(&usage, "--type '%s': ADMIN, MEMBER or VISITOR is expected", type);
    else if (!is_visitor && !subject)
        cli_misuse(&usage, "--type %s needs a --subject", type);
    else if (view && strcmp(view, "preview") != 0)
        cli_misuse(&usage, "--view '%s': preview is expected; without --view it is live", view);
    else
        return cli_text(&usage, "kid", kid, KEY_ID_BYTES) &&
               cli_text(&usage, "subject", subject, LIMIT_SUBSCRIBER_BYTES) &&
               cli_id(&usage, "site", site) && cli_id(&usage, "app", app) &&
               cli_text(&usage, "issuer", issuer, 1024) &&
               cli_text(&usage, "audience", audience, 1024);
    return false;
}

/* --- the token --- */

static void put_claim(struct buffer *to, const char *name, const char *value)
{
    if (!value)
        return;
    buffer_printf(to, ",\"%s\":", name);
    if (!json_text_string(to, span_text(value)))
        to->failed = true;
}

/* False after a wrong time was told. */
static bool put_claims(struct buffer *to, int64_t now_s)
{
    int64_t from_now;
    buffer_printf(to, "{\"iat\":%" PRId64, now_s);
    if (strcmp(expires, "never") != 0) {
        if (!seconds("expires", expires, &from_now))
            return false;
        buffer_printf(to, ",\"exp\":%" PRId64, now_s + from_now);
    }
    if (not_before) {
        if (!seconds("not-before", not_before, &from_now))
            return false;
        buffer_printf(to, ",\"nbf\":%" PRId64, now_s + from_now);
    }
    put_claim(to, "type", type);
    put_claim(to, "sub", subject);
    put_claim(to, "site", site);
    put_claim(to, "app", app);
    put_claim(to, "view", view);
    put_claim(to, "iss", issuer);
    put_claim(to, "aud", audience);
    buffer_put_byte(to, '}');
    return true;
}

/* The key that signs; NULL after telling why there is none. */
static const struct key *choose(const key_set_t *keys)
{
    const struct key *found = NULL;
    size_t count = key_set_count(keys);
    for (size_t i = 0; i < count; i++)
        if (!kid || strcmp(key_set_at(keys, i)->kid, kid) == 0)
            found = key_set_at(keys, i);
    if (!found)
        cli_misuse(&usage, "--kid '%s': %s has no such key", kid, key_file);
    else if (!kid && count > 1)
        cli_misuse(&usage, "%s has %zu keys: --kid must say which one signs", key_file, count);
    else if (!found->can_sign)
        cli_misuse(&usage, "%s has only the public half of key \"%s\", which cannot sign", key_file,
                   found->kid);
    else
        return found;
    return NULL;
}

static int sign(const struct key *key, const struct buffer *claims)
{
    const char *token = NULL;
    cjose_jws_t *jws = NULL;
    cjose_header_t *header = cjose_header_new(NULL);
    bool done = !claims->failed && header &&
                cjose_header_set(header, CJOSE_HDR_ALG, key->algorithm->name, NULL) &&
                cjose_header_set(header, CJOSE_HDR_KID, key->kid, NULL) &&
                cjose_header_set(header, "typ", "JWT", NULL);
    if (done)
        jws = cjose_jws_sign(key->jwk, header, claims->data, claims->size, NULL);
    done = jws && cjose_jws_export(jws, &token, NULL) && puts(token) >= 0 && fflush(stdout) == 0;
    cjose_jws_release(jws);
    cjose_header_release(header);
    return done ? CLI_OK : cli_fail(&usage, CLI_FAILED, "the token could not be signed");
}

int cmd_token(int argc, char **argv)
{
    int operand, status;
    if (!cli_arguments(&usage, argc, argv, &operand, &status))
        return status;
    if (!check())
        return CLI_USAGE;
    struct buffer claims = {0}, why = {0};
    key_set_t *keys = NULL;
    const struct key *key;
    status = CLI_USAGE;
    if (put_claims(&claims, clock_wall_ms() / 1000)) {
        keys = key_set_load(key_file, KEYS_TO_SIGN, &why);
        if (!keys)
            status =
                cli_fail(&usage, CLI_BAD_DATA, "%s: %.*s", key_file, SPAN_ARG(buffer_span(&why)));
        else if ((key = choose(keys)))
            status = sign(key, &claims);
    }
    key_set_destroy(&keys);
    buffer_free(&claims);
    buffer_free(&why);
    return status;
}
