#include "cli/arguments.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/address.h"
#include "proto/json_text.h"

#define OPTIONS_MAX 16 /* of one command, --help among them */
#define HELP        256

static void print_help(const struct cli_usage *usage)
{
    printf("usage: millrace %s [OPTIONS] %s\n\n%s\noptions:\n", usage->command, usage->arguments,
           usage->help);
    for (size_t i = 0; i < usage->option_count; i++) {
        const struct cli_option *option = &usage->options[i];
        char left[64];
        if (!option->value)
            snprintf(left, sizeof left, "--%s", option->name);
        else
            snprintf(left, sizeof left, option->flag ? "--%s[=%s]" : "--%s %s", option->name,
                     option->value);
        printf("  %-22s %s\n", left, option->help);
    }
    printf("  %-22s %s\n", "--help", "this text");
}

static void tell(const struct cli_usage *usage, const char *format, va_list arguments)
{
    fprintf(stderr, "millrace %s: ", usage->command);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
}

int cli_misuse(const struct cli_usage *usage, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    tell(usage, format, arguments);
    va_end(arguments);
    fprintf(stderr, "usage: millrace %s [OPTIONS] %s\nmillrace %s --help tells more.\n",
            usage->command, usage->arguments, usage->command);
    return CLI_USAGE;
}

int cli_fail(const struct cli_usage *usage, enum cli_exit status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    tell(usage, format, arguments);
    va_end(arguments);
    return status;
}

/* getopt's own table: option i returns HELP + 1 + i. */
static void fill_table(const struct cli_usage *usage, struct option table[OPTIONS_MAX + 1])
{
    size_t count = 0;
    for (; count < usage->option_count && count < OPTIONS_MAX - 1; count++) {
        const struct cli_option *from = &usage->options[count];
        int argument = !from->value ? no_argument
                       : from->flag ? optional_argument
                                    : required_argument;
        table[count] = (struct option){from->name, argument, NULL, HELP + 1 + (int)count};
    }
    table[count++] = (struct option){"help", no_argument, NULL, HELP};
    table[count] = (struct option){0};
}

/* getopt goes to the next argument only behind the last letter of a cluster such as -xy: a short
 * option is named by its letter. */
static int refuse_option(const struct cli_usage *usage, int got, char **argv)
{
    const char *rule = got == ':'       ? "needs a value"
                       : optopt >= HELP ? "takes no value"
                                        : "is not an option of this command";
    if (optopt == 0 || optopt >= HELP)
        return cli_misuse(usage, "%s %s", argv[optind - 1], rule);
    if (isprint(optopt))
        return cli_misuse(usage, "-%c %s", optopt, rule);
    return cli_misuse(usage, "-\\x%02x %s", (unsigned)optopt & 0xff, rule);
}

static bool take_options(const struct cli_usage *usage, int argc, char **argv, int *status)
{
    struct option table[OPTIONS_MAX + 1];
    fill_table(usage, table);
    optind = 0; /* GNU: start anew */
    opterr = 0;
    int got;
    while ((got = getopt_long(argc, argv, ":h", table, NULL)) != -1) {
        if (got == HELP || got == 'h') {
            print_help(usage);
            *status = CLI_OK;
            return false;
        }
        if (got == ':' || got == '?') {
            *status = refuse_option(usage, got, argv);
            return false;
        }
        const struct cli_option *option = &usage->options[got - HELP - 1];
        if (option->flag)
            *option->flag = true;
        if (optarg)
            *option->text = optarg;
    }
    return true;
}

bool cli_arguments(const struct cli_usage *usage, int argc, char **argv, int *operand, int *status)
{
    if (!take_options(usage, argc, argv, status))
        return false;
    *operand = optind;
    size_t count = (size_t)(argc - optind);
    if (count < usage->operands_min)
        *status = cli_misuse(usage, "an argument is missing: %s", usage->arguments);
    else if (count > usage->operands_max)
        *status = cli_misuse(usage, "'%s' is one argument too many%s",
                             argv[optind + (int)usage->operands_max],
                             strstr(usage->arguments, "JSON") ? " (put quotes around JSON)" : "");
    else
        return true;
    return false;
}

bool cli_number(const struct cli_usage *usage, const char *name, const char *text, uint64_t min,
                uint64_t max, uint64_t *number)
{
    char *end = NULL;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    bool digits = text[0] != '\0' && strspn(text, "0123456789") == strlen(text);
    if (digits && errno == 0 && value >= min && value <= max) {
        *number = value;
        return true;
    }
    cli_misuse(usage, "--%s '%s': a number from %" PRIu64 " to %" PRIu64 " is expected", name, text,
               min, max);
    return false;
}

bool cli_id(const struct cli_usage *usage, const char *name, const char *text)
{
    if (!text || address_is_id(span_text(text)))
        return true;
    cli_misuse(usage, "--%s '%s': 1 to 64 letters, digits, '.', '_' or '-' are expected", name,
               text);
    return false;
}

bool cli_text(const struct cli_usage *usage, const char *name, const char *text, size_t max)
{
    if (!text || (text[0] && strlen(text) <= max && utf8_valid(span_text(text), NULL)))
        return true;
    cli_misuse(usage, "--%s: 1 to %zu bytes of UTF-8 are expected", name, max);
    return false;
}

bool cli_one_of(const struct cli_usage *usage, const char *name, const char *value,
                const char *other, const char *other_value)
{
    if (!value || !other_value)
        return true;
    cli_misuse(usage, "--%s or --%s: not both", name, other);
    return false;
}

int cli_print(const struct cli_usage *usage, const struct buffer *text)
{
    bool done = !text->failed && fwrite(text->data, 1, text->size, stdout) == text->size &&
                fflush(stdout) == 0;
    return done ? CLI_OK : cli_fail(usage, CLI_FAILED, "the output could not be written");
}
