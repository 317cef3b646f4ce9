#pragma once
#include <stdint.h>

/* resident - the memory of this process that is in RAM now, in bytes; 0 when /proc does not tell.
 */
uint64_t resident_bytes(void);
