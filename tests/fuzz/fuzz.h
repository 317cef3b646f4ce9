#pragma once
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* fuzz - what every fuzz target needs: libFuzzer's entry, and a check that is a crash to it. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_CHECK(condition)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)
