#pragma once
#include "common/options.h"

/* options_world - settings files in an empty directory of each test's own. What a test opens there
 * it names main.ini, secret, sub/a.ini or sub/b.ini: those are removed behind it. */

/* The fixture of all tests: world_setup enters the directory, world_teardown leaves none behind. */
void world_setup(void);
void world_teardown(void);

void world_write_file(const char *name, struct span text);

/* Writes main.ini, unless `text` is NULL, and loads it, or the defaults. The caller destroys what
 * it gets. NULL: world_reasons tells why. */
options_t *world_load(const char *text, char *const *environment);

/* The same for the file of that name. */
options_t *world_load_file(const char *name, char *const *environment);

/* The same, or it fails the test with the reasons. */
options_t *world_loaded(const char *text, char *const *environment);
options_t *world_loaded_file(const char *name, char *const *environment);

/* Why the last load failed: lines, valid until the next load. */
const char *world_reasons(void);

/* The settings are refused with exactly these lines. */
void world_refused(const char *text, char *const *environment, const char *lines);
