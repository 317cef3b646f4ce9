#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/buffer.h"

/* arguments - what all commands share: options from a table, --help, errors that name the
 * argument. Not thread-safe (getopt). */

/* Exit statuses; those from 64 on are the ones of sysexits.h. */
enum cli_exit {
    CLI_OK = 0,
    CLI_REFUSED = 1,      /* the other side said no */
    CLI_USAGE = 64,       /* the command line is wrong */
    CLI_BAD_DATA = 65,    /* the JSON is wrong */
    CLI_UNAVAILABLE = 69, /* nobody answers */
    CLI_FAILED = 70,      /* memory, or an answer that makes no sense */
    CLI_BAD_CONFIG = 78   /* the settings are wrong */
};

/* One option. With `value` (the name of its value in --help) it is stored in *text, without it
 * *flag becomes true. With both the value may be left out: --watch or --watch=SECONDS. */
struct cli_option {
    const char *name;
    const char *value;
    const char *help;
    const char **text;
    bool *flag;
};

struct cli_usage {
    const char *command;   /* "publish" */
    const char *arguments; /* "CHANNEL[:RESOURCE] JSON" */
    const char *help;      /* what it does and examples; whole lines */
    const struct cli_option *options;
    size_t option_count;
    size_t operands_min, operands_max;
};

/* Reads argv[1...]; argv[0] is the command. Afterwards the operands are argv[*operand...argc - 1].
 * False: the command ends with *status (after --help, or a wrong argument that was told). */
bool cli_arguments(const struct cli_usage *usage, int argc, char **argv, int *operand, int *status);

/* A decimal number between min and max, or false after telling what is wrong with `name`. */
bool cli_number(const struct cli_usage *usage, const char *name, const char *text, uint64_t min,
                uint64_t max, uint64_t *number);

/* The id of a site or an app, or NULL; false after telling what is wrong with `name`. */
bool cli_id(const struct cli_usage *usage, const char *name, const char *text);

/* 1 to `max` bytes of UTF-8, or NULL; false after telling what is wrong with `name`. */
bool cli_text(const struct cli_usage *usage, const char *name, const char *text, size_t max);

/* False after telling that both options are given, of which one makes the other meaningless. */
bool cli_one_of(const struct cli_usage *usage, const char *name, const char *value,
                const char *other, const char *other_value);

/* On standard output. CLI_OK, or CLI_FAILED after telling. */
int cli_print(const struct cli_usage *usage, const struct buffer *text);

/* "millrace publish: ..." and how to get help, on standard error. Returns CLI_USAGE. */
int cli_misuse(const struct cli_usage *usage, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* "millrace publish: ..." on standard error. Returns `status`. */
int cli_fail(const struct cli_usage *usage, enum cli_exit status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
