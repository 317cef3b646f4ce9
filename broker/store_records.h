#pragma once
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "broker/store.h"

/* store_records - what stands in a broker's file, and how it gets there, one transaction after
 * another.
 *
 * Every record has a checksum: one that does not fit is not served. Not thread-safe. After a
 * function has failed: store_records_rollback.
 */
typedef struct store_records store_records_t;

/* NULL on failure, which the connection tells. Borrows the connection until store_records_destroy.
 */
store_records_t *store_records_new(sqlite3 *db);
/* Sets *self_p to NULL; safe on NULL. */
void store_records_destroy(store_records_t **self_p);

bool store_records_begin(store_records_t *self);
/* False: nothing of it is kept, if `*is_sure`; otherwise a crash may find it until something else
 * is committed. */
bool store_records_commit(store_records_t *self, bool *is_sure);
void store_records_rollback(store_records_t *self);
/* Did the last function fail because there is no space (left for us)? */
bool store_records_is_full(const store_records_t *self);

/* *follows is false, and nothing is written, when another message than the one in front of it is
 * the last of its stream. */
bool store_records_append(store_records_t *self, const struct store_append *append, bool *follows);
bool store_records_note(store_records_t *self, const struct store_note *note);
bool store_records_register(store_records_t *self, struct span handler, bool removed);
/* Removes some keys whose time is over. */
bool store_records_expire(store_records_t *self, int64_t wall_ms);
/* Writes so many bytes and takes them back: is there room? What cannot be taken back is, by the
 * next probe or store_records_expire. */
bool store_records_probe(store_records_t *self, size_t bytes);

/* *damaged: records that were left out; an index that had to be made anew is one, too. */
bool store_records_load(store_records_t *self, const struct store_loader *loader,
                        uint64_t *damaged);
