#include <stdio.h>
#include <unistd.h>

#include "cli/arguments.h"
#include "cli/commands.h"
#include "common/options.h"
#include "common/site_keys.h"

static bool reference;

static const struct cli_option options[] = {
    {"reference", NULL, "print the reference page of all settings instead", NULL, &reference},
};

static const struct cli_usage usage = {
    .command = "check-config",
    .arguments = "[FILE]",
    .help = "Checks the settings in FILE and in the environment (MILLRACE_<SECTION>_<KEY>) and\n"
            "prints what the processes would use, with the default where nothing is set; the key\n"
            "files of sites are read, as a gateway would. Without\n"
            "FILE: the defaults and the environment. One line per error, exit status 78.\n",
    .options = options,
    .option_count = 1,
    .operands_max = 1,
};

static int print(struct buffer *text)
{
    bool done = !text->failed && fwrite(text->data, 1, text->size, stdout) == text->size &&
                fflush(stdout) == 0;
    buffer_free(text);
    return done ? CLI_OK : cli_fail(&usage, CLI_FAILED, "the output could not be written");
}

int cmd_check_config(int argc, char **argv)
{
    int operand, status;
    if (!cli_arguments(&usage, argc, argv, &operand, &status))
        return status;

    struct buffer text = {0};
    if (reference && operand < argc)
        return cli_misuse(&usage, "'%s' or --reference: not both", argv[operand]);
    if (reference) {
        options_write_reference(&text);
        return print(&text);
    }
    struct buffer why = {0};
    options_t *settings = options_load(operand < argc ? argv[operand] : NULL, environ, &why);
    if (!settings) {
        fprintf(stderr, "%.*s\n", SPAN_ARG(buffer_span(&why)));
        buffer_free(&why);
        return CLI_BAD_CONFIG;
    }
    site_keys_t *keys = site_keys_load(settings, &why);
    if (!keys) {
        fprintf(stderr, "%.*s", SPAN_ARG(buffer_span(&why)));
        buffer_free(&why);
        options_destroy(&settings);
        return CLI_BAD_CONFIG;
    }
    site_keys_destroy(&keys);
    options_write(&text, settings);
    options_destroy(&settings);
    buffer_free(&why);
    return print(&text);
}
