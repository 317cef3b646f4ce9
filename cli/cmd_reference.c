#include <stdio.h>
#include <string.h>

#include "cli/arguments.h"
#include "cli/commands.h"
#include "common/key_set.h"
#include "proto/figures.h"

static const struct cli_usage usage = {
    .command = "reference",
    .arguments = "[TABLE]",
    .help =
        "Prints what the programs say to others, as Markdown tables: the ones of docs/protocol.md\n"
        "and docs/operations.md. TABLE is one of handshake, fallback, errors,\n"
        "closes, unsubscribes, methods, algorithms, statuses, figures; without it all of them.\n\n"
        "  millrace reference closes\n",
    .operands_max = 1,
};

static void print_handshake(void)
{
    puts("| refused with | it says |\n| --- | --- |");
#define REFUSAL(name, NAME, status, text) printf("| %.3s | %s |\n", status, text);
#include "proto/handshake.def"
#undef REFUSAL
}

static void print_fallback(void)
{
    puts("| refused with | it says |\n| --- | --- |");
#define REFUSAL(name, NAME, status, text) printf("| %.3s | %s |\n", status, text);
#include "proto/fallback.def"
#undef REFUSAL
}

static void print_errors(void)
{
    puts("| code | message | temporary |\n| --- | --- | --- |");
#define CLIENT_ERROR(NAME, code, temporary, text)                                                  \
    printf("| %d | %s | %s |\n", code, text, temporary ? "yes" : "");
#include "proto/client_codes.def"
#undef CLIENT_ERROR
}

/* What the published SDKs do: below 3500 they come back, except after 1009. */
static void print_closes(void)
{
    puts("| code | reason | the SDK |\n| --- | --- | --- |");
#define CLIENT_CLOSE(NAME, code, text)                                                             \
    printf("| %d | %s | %s |\n", code, text,                                                       \
           code >= 3000 && code < 3500 ? "comes back" : "gives up");
#include "proto/client_codes.def"
#undef CLIENT_CLOSE
}

static void print_unsubscribes(void)
{
    puts("| code | reason | the SDK |\n| --- | --- | --- |");
#define CLIENT_UNSUBSCRIBE(NAME, code, text)                                                       \
    printf("| %d | %s | %s |\n", code, text, code >= 2500 ? "subscribes again" : "gives up");
#include "proto/client_codes.def"
#undef CLIENT_UNSUBSCRIBE
}

static void print_methods(void)
{
    puts("| method | names a channel | may carry a token |\n| --- | --- | --- |");
#define CLIENT_METHOD(NAME, word, channel, token)                                                  \
    printf("| `%s` | %s | %s |\n", word, channel ? "yes" : "", token ? "yes" : "");
#include "proto/client_methods.def"
#undef CLIENT_METHOD
}

static void print_statuses(void)
{
    puts("| status | code | meaning |\n| --- | --- | --- |");
#define STATUS(NAME, code, slug, text)                                                             \
    if (code)                                                                                      \
        printf("| %d | `%s` | %s |\n", code, slug, text);
#include "proto/status.def"
#undef STATUS
}

static void print_algorithm(const char *name, const char *type, const char *curve)
{
    const char *quote = curve ? "`" : "";
    printf("| `%s` | `%s` | %s%s%s |\n", name, type, quote, curve ? curve : "", quote);
}

static void print_algorithms(void)
{
    static const char *const types[] = {[KEY_HMAC] = "oct", [KEY_RSA] = "RSA", [KEY_EC] = "EC"};
    puts("| `alg` | `kty` | `crv` |\n| --- | --- | --- |");
#define KEY_ALGORITHM(NAME, family, hash, curve, size)                                             \
    print_algorithm(#NAME, types[KEY_##family], curve);
#include "common/key_algorithms.def"
#undef KEY_ALGORITHM
}

static void print_figures(void)
{
    static const char *const kinds[] = {[FIGURE_GAUGE] = "now",
                                        [FIGURE_TOTAL] = "since the start",
                                        [FIGURE_FLAG] = "true or false"};
    puts("| figure | | meaning |\n| --- | --- | --- |");
    for (size_t i = 0; i < FIGURES_COUNT; i++)
        printf("| `%s` | %s | %s |\n", figure_descriptions[i].name,
               kinds[figure_descriptions[i].kind], figure_descriptions[i].text);
}

static const struct table {
    const char *name;
    void (*print)(void);
} tables[] = {
    {"handshake", print_handshake},
    {"fallback", print_fallback},
    {"errors", print_errors},
    {"closes", print_closes},
    {"unsubscribes", print_unsubscribes},
    {"methods", print_methods},
    {"algorithms", print_algorithms},
    {"statuses", print_statuses},
    {"figures", print_figures},
};
#define TABLE_COUNT (sizeof tables / sizeof *tables)

int cmd_reference(int argc, char **argv)
{
    int operand, status;
    if (!cli_arguments(&usage, argc, argv, &operand, &status))
        return status;
    const char *name = operand < argc ? argv[operand] : NULL;
    bool found = false;
    for (size_t i = 0; i < TABLE_COUNT; i++) {
        if (name && strcmp(name, tables[i].name) != 0)
            continue;
        if (!name)
            printf("%s%s\n\n", i ? "\n" : "", tables[i].name);
        tables[i].print();
        found = true;
    }
    if (!found)
        return cli_misuse(&usage,
                          "'%s' is no table; there are handshake, fallback, errors, closes, "
                          "unsubscribes, methods, algorithms, statuses and figures",
                          name);
    return fflush(stdout) == 0 ? CLI_OK
                               : cli_fail(&usage, CLI_FAILED, "the output was not written");
}
