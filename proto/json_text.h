#pragma once
#include <stdbool.h>

#include "proto/buffer.h"
#include "proto/span.h"
#include "proto/wire.h"

/* json_text - JSON text, written.
 *
 * The text has no raw newline and no white space; strings are valid UTF-8 with control
 * characters escaped. Pure.
 */

/* A published payload (msgpack) as JSON text. False when some value has no JSON form or the nesting
 * exceeds max_depth (the map itself is level 1); *why then gets the place and the rule, e.g.
 *   payload.user.tags[3]: binary values have no JSON form
 * and *to is as it was.
 * Refused: binary, extension, keys that are not strings, occur twice in a map or contain U+0000
 * (readers of JSON disagree about both), NaN and infinities, strings that are not UTF-8, integers
 * above 9223372036854775807. */
bool json_text_from_wire(struct buffer *to, const struct wire_value *value, const char *place,
                         size_t max_depth, struct buffer *why);

/* A string with its quotes. False (nothing written) when it is not valid UTF-8. */
bool json_text_string(struct buffer *to, struct span text);

/* Bytes of a peer as part of an error sentence: quoted and escaped like a string, cut behind
 * JSON_TEXT_ECHO_BYTES, U+FFFD in place of what is not UTF-8. */
#define JSON_TEXT_ECHO_BYTES 64
void json_text_echo(struct buffer *to, struct span text);

/* Valid UTF-8 without surrogates, overlong forms or anything above U+10FFFF. *codepoints gets
 * the number of code points when it is not NULL. */
bool utf8_valid(struct span text, size_t *codepoints);
