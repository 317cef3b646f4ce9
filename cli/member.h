#pragma once
#include "proto/wire.h"

/* The value of `key` in a msgpack map; NULL when there is none or it is of another type. */
const struct wire_value *member(const struct wire_value *map, const char *key, enum wire_type type);

/* The same with a fallback in place of NULL: an empty span, 0, false. */
struct span member_text(const struct wire_value *map, const char *key);
uint64_t member_uint(const struct wire_value *map, const char *key);
bool member_bool(const struct wire_value *map, const char *key);
