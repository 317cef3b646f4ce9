#pragma once
#include "proto/buffer.h"

/* json_number - binary floating point as JSON text: the fewest digits that read back as the same
 * number.
 *
 * The text always has a '.' or an 'e', so that a reader keeps it apart from an integer. It does not
 * depend on the locale. Pure. Only for finite numbers.
 */
void json_number_double(struct buffer *to, double value);
/* The fewest digits that read back as the same float: 0.1f is 0.1, not 0.10000000149011612. */
void json_number_float(struct buffer *to, float value);
