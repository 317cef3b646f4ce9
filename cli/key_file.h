#pragma once
#include <cjose/jwk.h>

#include "cli/arguments.h"
#include "common/key_set.h"
#include "proto/buffer.h"

/* key_file - key sets as text, and as files that others cannot read. */

/* A new random key for this algorithm (RSA: 2048 bits). NULL when cryptography or memory fails. */
cjose_jwk_t *key_file_random(const struct key_algorithm *algorithm);
/* One member of `keys`, with or without what is secret; the buffer fails with memory. */
void key_file_put(struct buffer *to, const cjose_jwk_t *jwk, const struct key_algorithm *algorithm,
                  const char *kid, bool with_secret);
/* What is around the members, which are joined by ','. */
void key_file_begin(struct buffer *to);
void key_file_end(struct buffer *to);
/* Wipes and frees. */
void key_file_wipe(struct buffer *text);

/* Writes a new file of mode 0600, or replaces one (`replace`) in one step by another that the same
 * owner and group can read. False, and errno says why; a new file must not be there yet (EEXIST).
 */
bool key_file_write(const char *path, struct span text, bool replace);
