#include "bench/tokens.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void refuse(const char *what, const char *path)
{
    fprintf(stderr, "--tokens: %s: '%s'\n", what, path);
    exit(2);
}

static bool is_plain(const char *text)
{
    for (; *text; text++)
        if (*text < ' ' || *text > '~' || *text == '"' || *text == '\\')
            return false;
    return true;
}

static void add(struct tokens *self, const char *path, const char *line)
{
    if (!is_plain(line) || strlen(line) > TOKENS_LINE_MAX)
        refuse("a line that is no token", path);
    self->lines = realloc(self->lines, (self->count + 1) * sizeof *self->lines);
    char *copy = strdup(line);
    if (!self->lines || !copy)
        refuse("out of memory", path);
    self->lines[self->count++] = copy;
}

struct tokens tokens_read(const char *path)
{
    struct tokens self = {0};
    char *line = NULL;
    size_t room = 0;
    if (!*path)
        return self;
    FILE *file = fopen(path, "r");
    if (!file)
        refuse("cannot be read", path);
    while (getline(&line, &room, file) > 0) {
        line[strcspn(line, "\n")] = '\0';
        add(&self, path, line);
    }
    free(line);
    fclose(file);
    if (self.count == 0)
        refuse("no token in it", path);
    return self;
}

const char *tokens_of(const struct tokens *self, size_t number)
{
    return self->count ? self->lines[number % self->count] : NULL;
}
