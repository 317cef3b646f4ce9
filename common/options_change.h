#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "common/options.h"

/* options_change - from the settings in use to those that the files have now.
 *
 * Pure. The table says for each setting whether a running process can take it over. Sections with a
 * label come and go in the same way, unless the table has a setting among theirs that needs a
 * restart: then they do, too.
 */
struct options_change {
    bool needs_restart;
    char *setting; /* "[gateway] queue_bytes", "[channel \"chat\"] bytes", "[channel \"chat\"]" */
    char *before, *after; /* as the settings file says them; of a section "absent", "present" */
};

typedef struct options_changes options_changes_t;

/* What differs, in the order of the table, in the named sections (the last one NULL). Where a
 * section of its own came from does not count. NULL when memory is exhausted. */
options_changes_t *options_changes_new(const options_t *in_use, const options_t *loaded,
                                       const char *const *sections);
/* Sets *self_p to NULL; safe on NULL. */
void options_changes_destroy(options_changes_t **self_p);
/* All of them, or those that need a restart. */
size_t options_changes_count(const options_changes_t *self);
size_t options_changes_waiting(const options_changes_t *self);
const struct options_change *options_changes_at(const options_changes_t *self, size_t index);

/* Exchanges what can change without a restart between the two, in all sections. Doing it again
 * undoes it. Values that need a restart stay where they are, with their texts; whoever keeps a
 * pointer to another text or section has to fetch it again. */
void options_exchange(options_t *in_use, options_t *loaded);
