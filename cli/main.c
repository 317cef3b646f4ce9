/* millrace - the command line. */
#include <stdio.h>
#include <string.h>

#include "cli/arguments.h"
#include "cli/commands.h"

static const struct command {
    const char *name;
    const char *help;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"publish", "publish a message to a channel or a resource", cmd_publish},
    {"subscribe", "print what is published, until Ctrl-C", cmd_subscribe},
    {"token", "sign a connection token with a key, for tests", cmd_token},
    {"keys", "make keys for connection tokens", cmd_keys},
    {"check-config", "check a settings file and print the effective settings", cmd_check_config},
    {"status", "show the node, its gateways, their load and what was lost", cmd_status},
    {"handlers", "list the permission handlers, or remove one", cmd_handlers},
    {"explain", "who says whether a subscriber may read, and what they say", cmd_explain},
    {"reference", "print the codes and figures that others see", cmd_reference},
};
#define COMMAND_COUNT (sizeof commands / sizeof commands[0])

static void print_help(FILE *to)
{
    fputs("usage: millrace COMMAND [OPTIONS] [ARGUMENTS]\n\ncommands:\n", to);
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        fprintf(to, "  %-14s %s\n", commands[i].name, commands[i].help);
    fputs("\nmillrace COMMAND --help tells more about one. millrace --version prints the version.\n"
          "Exit status: 0 done, 1 refused (status: something is wrong; explain: may not read),\n"
          "64 wrong arguments, 65 wrong JSON, 69 nobody answers, 70 an internal error, 78 wrong "
          "settings.\n",
          to);
}

static bool is_help(const char *name)
{
    return strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0;
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    bool is_version = strcmp(name, "--version") == 0;
    if ((is_help(name) || is_version) && argc > 2) {
        fprintf(stderr, "millrace: '%s' is one argument too many: %s stands alone\n", argv[2],
                name);
        return CLI_USAGE;
    }
    if (is_help(name)) {
        print_help(stdout);
        return CLI_OK;
    }
    if (is_version) {
        puts("millrace " MILLRACE_VERSION);
        return CLI_OK;
    }
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(name, commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    if (argc > 1)
        fprintf(stderr, "millrace: '%s' is no command\n", name);
    print_help(stderr);
    return CLI_USAGE;
}
