#pragma once
#include <stddef.h>

/* tokens - connection tokens from a file, one a line. */
struct tokens {
    char **lines;
    size_t count;
};

#define TOKENS_LINE_MAX 32768

/* An empty path: none. Ends the program when there is no such file, no token in it, or one with a
 * character that JSON would have to escape. */
struct tokens tokens_read(const char *path);
/* That of client `number`; NULL without any. */
const char *tokens_of(const struct tokens *self, size_t number);
