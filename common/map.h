#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "proto/span.h"

/* map - items found by a byte key that each item carries itself.
 *
 * Open addressing; the hash is keyed with a random secret made at the process' first map, because
 * clients choose the keys. Not thread-safe. The map borrows its items: it never frees them.
 */
typedef struct map map_t;

/* The key inside an item; must not change while the item is in the map. */
typedef struct span map_key_fn(const void *item);

/* NULL only when memory is exhausted. */
map_t *map_new(map_key_fn *key);
/* Leaves the items alone. Sets *self_p to NULL; safe on NULL. */
void map_destroy(map_t **self_p);

size_t map_count(const map_t *self);
void *map_get(const map_t *self, struct span key);
/* False when memory is exhausted. The key must not be in the map yet. */
bool map_put(map_t *self, void *item);
/* Removes the item with this key and returns it, NULL when there is none. */
void *map_remove(map_t *self, struct span key);

/* Every item once, in no order. The visitor may not change the map. */
typedef void map_visit_fn(void *item, void *arg);
void map_visit(const map_t *self, map_visit_fn *visit, void *arg);
