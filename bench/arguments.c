#include "bench/arguments.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_help(const char *program, const char *purpose, const struct argument *table,
                       size_t count)
{
    printf("%s - %s\n\n", program, purpose);
    for (size_t i = 0; i < count; i++) {
        printf("  --%-12s %s (", table[i].name, table[i].help);
        if (table[i].number)
            printf("%llu)\n", (unsigned long long)*table[i].number);
        else
            printf("%s)\n", *table[i].text);
    }
}

static const struct argument *find(const char *word, const struct argument *table, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strncmp(word, "--", 2) == 0 && strcmp(word + 2, table[i].name) == 0)
            return &table[i];
    return NULL;
}

static void set(const char *program, const struct argument *argument, const char *value)
{
    if (argument->text) {
        *argument->text = value;
        return;
    }
    char *end = NULL;
    errno = 0;
    *argument->number = strtoull(value, &end, 10);
    if (errno || end == value || *end || *value == '-') {
        fprintf(stderr, "%s: --%s: '%s' is not a number\n", program, argument->name, value);
        exit(2);
    }
}

void arguments_read(int argc, char **argv, const char *purpose, const struct argument *table,
                    size_t count)
{
    for (int i = 1; i < argc; i += 2) {
        if (strcmp(argv[i], "--help") == 0) {
            print_help(argv[0], purpose, table, count);
            exit(0);
        }
        const struct argument *argument = find(argv[i], table, count);
        if (!argument || i + 1 == argc) {
            fprintf(stderr, "%s: %s: %s; see --help\n", argv[0], argv[i],
                    argument ? "a value is missing" : "unknown");
            exit(2);
        }
        set(argv[0], argument, argv[i + 1]);
    }
}
