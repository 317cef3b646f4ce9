#pragma once
#include <stddef.h>
#include <stdint.h>

/* arguments - the command line of the measuring programs: `--name NUMBER`, `--name TEXT`. */
struct argument {
    const char *name;
    uint64_t *number; /* one of these two is set; it holds the default */
    const char **text;
    const char *help;
};

/* Ends the program: 0 after --help, 2 for anything that is not in the table. */
void arguments_read(int argc, char **argv, const char *purpose, const struct argument *table,
                    size_t count);
