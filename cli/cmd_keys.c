#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/arguments.h"
#include "cli/commands.h"
#include "cli/key_file.h"
#include "common/key_set.h"
#include "proto/json_text.h"

/* --- keys new --- */

static const char *algorithm_name, *kid, *out, *add;

static const struct cli_option new_options[] = {
    {"alg", "ALG", "HS256 (a secret that both sides share), RS256, PS256, ES256, or with 384, 512",
     &algorithm_name, NULL},
    {"kid", "ID", "the key's name, which tokens will say", &kid, NULL},
    {"out", "FILE", "write to this new file (mode 0600) instead of standard output", &out, NULL},
    {"add", "FILE", "add the key to those of this file", &add, NULL},
};

static const struct cli_usage new_usage = {
    .command = "keys new",
    .arguments = "--alg ALG --kid ID",
    .help =
        "Makes a random key for connection tokens and writes it as a JWK Set. Whoever has it can\n"
        "sign tokens. A gateway gets the file itself for HS keys, and for the others what\n"
        "millrace keys public prints.\n\n"
        "  millrace keys new --alg HS256 --kid 2026-a --out acme.keys\n"
        "  millrace keys new --alg ES256 --kid 2026-b --add acme.keys\n",
    .options = new_options,
    .option_count = sizeof new_options / sizeof new_options[0],
};

static key_set_t *load(const struct cli_usage *usage, const char *path, int *status)
{
    struct buffer why = {0};
    key_set_t *keys = key_set_load(path, KEYS_TO_SIGN, &why);
    if (!keys)
        *status = cli_fail(usage, CLI_BAD_DATA, "%s: %.*s", path, SPAN_ARG(buffer_span(&why)));
    buffer_free(&why);
    return keys;
}

/* The keys of the file that is added to, each followed by a comma. */
static int put_others(struct buffer *text)
{
    int status = CLI_OK;
    key_set_t *others = load(&new_usage, add, &status);
    if (!others)
        return status;
    size_t count = key_set_count(others);
    for (size_t i = 0; i < count; i++) {
        const struct key *key = key_set_at(others, i);
        if (strcmp(key->kid, kid) == 0)
            status = cli_misuse(&new_usage, "%s has a key --kid '%s' already", add, kid);
        key_file_put(text, key->jwk, key->algorithm, key->kid, true);
        buffer_put_text(text, ",\n");
    }
    if (count >= KEY_SET_KEYS)
        status = cli_misuse(&new_usage, "%s is full: %d keys", add, KEY_SET_KEYS);
    key_set_destroy(&others);
    return status;
}

static int save(const struct buffer *text)
{
    if (text->failed)
        return cli_fail(&new_usage, CLI_FAILED, "cryptography or memory failed");
    const char *path = out ? out : add;
    if (!path)
        return cli_print(&new_usage, text);
    if (key_file_write(path, buffer_span(text), add != NULL))
        return CLI_OK;
    if (errno == EEXIST)
        return cli_misuse(&new_usage, "%s is there already; to add a key to it: --add", path);
    return cli_fail(&new_usage, CLI_FAILED, "%s: %s", path, strerror(errno));
}

static int make(const struct key_algorithm *algorithm)
{
    struct buffer text = {0};
    key_file_begin(&text);
    int status = add ? put_others(&text) : CLI_OK;
    cjose_jwk_t *jwk = status == CLI_OK ? key_file_random(algorithm) : NULL;
    if (jwk)
        key_file_put(&text, jwk, algorithm, kid, true);
    else
        text.failed = true;
    key_file_end(&text);
    if (status == CLI_OK)
        status = save(&text);
    cjose_jwk_release(jwk);
    key_file_wipe(&text);
    return status;
}

static int keys_new(int argc, char **argv)
{
    int operand, status;
    if (!cli_arguments(&new_usage, argc, argv, &operand, &status))
        return status;
    if (!algorithm_name || !kid)
        return cli_misuse(&new_usage, "--%s is missing", algorithm_name ? "kid" : "alg");
    const struct key_algorithm *algorithm = key_algorithm_find(span_text(algorithm_name));
    if (!algorithm)
        return cli_misuse(&new_usage, "--alg '%s': one of %s is expected", algorithm_name,
                          key_algorithm_names());
    if (!cli_text(&new_usage, "kid", kid, KEY_ID_BYTES))
        return CLI_USAGE;
    if (out && add)
        return cli_misuse(&new_usage, "--out makes a new file, --add changes one: not both");
    const char *path = out ? out : add;
    if (path && path[0] == '\0')
        return cli_misuse(&new_usage, "--%s '': the name of a file is expected",
                          out ? "out" : "add");
    return make(algorithm);
}

/* --- keys public --- */

static const struct cli_usage public_usage = {
    .command = "keys public",
    .arguments = "FILE",
    .help = "Prints the public halves of the keys in FILE, for a gateway: with them tokens can be\n"
            "verified, not signed.\n\n"
            "  millrace keys public acme.keys > acme.public\n",
    .operands_min = 1,
    .operands_max = 1,
};

static int put_public(struct buffer *text, const char *path, const key_set_t *keys)
{
    key_file_begin(text);
    for (size_t i = 0; i < key_set_count(keys); i++) {
        const struct key *key = key_set_at(keys, i);
        if (key->algorithm->family == KEY_HMAC)
            return cli_fail(&public_usage, CLI_BAD_DATA,
                            "%s: key %zu (kid \"%s\"): %s is a shared secret and has no public "
                            "half; a gateway needs the key itself",
                            path, i + 1, key->kid, key->algorithm->name);
        buffer_put_text(text, i ? ",\n" : "");
        key_file_put(text, key->jwk, key->algorithm, key->kid, false);
    }
    key_file_end(text);
    return cli_print(&public_usage, text);
}

static int keys_public(int argc, char **argv)
{
    int operand, status = CLI_OK;
    if (!cli_arguments(&public_usage, argc, argv, &operand, &status))
        return status;
    key_set_t *keys = load(&public_usage, argv[operand], &status);
    if (!keys)
        return status;
    struct buffer text = {0};
    status = put_public(&text, argv[operand], keys);
    buffer_free(&text);
    key_set_destroy(&keys);
    return status;
}

/* --- which one --- */

static const struct cli_usage usage = {
    .command = "keys",
    .arguments = "new|public ...",
    .help = "Keys of connection tokens: millrace keys new makes one, millrace keys public prints\n"
            "what of it a gateway needs. Each has its own --help.\n",
    .operands_min = 1,
    .operands_max = 1,
};

int cmd_keys(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    if (strcmp(name, "new") == 0)
        return keys_new(argc - 1, argv + 1);
    if (strcmp(name, "public") == 0)
        return keys_public(argc - 1, argv + 1);
    int operand, status;
    if (!cli_arguments(&usage, argc, argv, &operand, &status))
        return status;
    return cli_misuse(&usage, "'%s' is neither new nor public", name);
}
