#include "cli/member.h"

const struct wire_value *member(const struct wire_value *map, const char *key, enum wire_type type)
{
    if (wire_type(map) != WIRE_MAP)
        return NULL;
    for (size_t i = 0; i < wire_count(map); i++) {
        const struct wire_value *at = wire_key_at(map, i);
        if (wire_type(at) != WIRE_TEXT || !span_is(wire_text(at), key))
            continue;
        const struct wire_value *value = wire_value_at(map, i);
        return wire_type(value) == type ? value : NULL;
    }
    return NULL;
}

struct span member_text(const struct wire_value *map, const char *key)
{
    const struct wire_value *value = member(map, key, WIRE_TEXT);
    return value ? wire_text(value) : (struct span){0};
}

uint64_t member_uint(const struct wire_value *map, const char *key)
{
    const struct wire_value *value = member(map, key, WIRE_UINT);
    return value ? wire_uint(value) : 0;
}

bool member_bool(const struct wire_value *map, const char *key)
{
    const struct wire_value *value = member(map, key, WIRE_BOOL);
    return value && wire_bool(value);
}
