#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "proto/span.h"

/* epoch - the text of a stream's epoch, as clients and backends see it: 16 lower-case hexadecimal
 * digits. Pure. */
#define EPOCH_TEXT_BYTES 16
void epoch_write(char to[EPOCH_TEXT_BYTES], uint64_t epoch);
/* False, and *epoch stays, for anything but exactly 16 lower-case hexadecimal digits. */
bool epoch_parse(struct span text, uint64_t *epoch);
