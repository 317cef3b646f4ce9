#pragma once
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "proto/buffer.h"

/* store_file - the SQLite file of a broker: opened, checked, and brought to the schema of this
 * version.
 *
 * Not thread-safe: a connection is used by one thread at a time.
 */

/* NULL on failure: *why says what is wrong with the file; empty: memory is exhausted. The caller
 * closes it with sqlite3_close. */
sqlite3 *store_file_open(const char *path, struct buffer *why);
/* The errno of the last failure, 0: unknown. */
int store_file_errno(sqlite3 *db);
/* The last failure of this connection in words that help an operator. Nothing when memory is
 * exhausted. */
void store_file_explain(sqlite3 *db, struct buffer *why);
