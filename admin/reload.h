#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/options.h"

/* reload - a process reads its settings again, while it runs (SIGHUP).
 *
 * All or nothing: with one error in the files, or when the process cannot use what they say, all
 * stays as it is, and the log has a line reload_refused for each error. Otherwise what can change
 * does, at once, and the log tells each difference: setting_changed, or setting_needs_restart;
 * then reloaded. The environment is that of the start; files that it names are read again.
 *
 * From the main thread alone, between two events.
 */
typedef struct reload reload_t;

struct reload_settings {
    const char *file;            /* borrowed, NULL: none */
    options_t *options;          /* those in use; borrowed, and changed by reload_run */
    const char *const *sections; /* that the process reads, the last one NULL; borrowed */
};

/* NULL only when memory is exhausted. */
reload_t *reload_new(const struct reload_settings *settings);
/* Sets *self_p to NULL; safe on NULL. */
void reload_destroy(reload_t **self_p);

/* The options in use have changed: makes use of them. False: nothing was done, they are put back,
 * and *why says why, one line for each error. What the options said before is freed afterwards;
 * texts that need a restart stay where they are. */
typedef bool reload_apply_fn(void *arg, struct buffer *why);

void reload_run(reload_t *self, reload_apply_fn *apply, void *arg);

/* For the metrics. */
struct reload_figures {
    uint64_t done, refused;
    uint64_t read_s; /* since 1970, when the settings in use were read */
};
struct reload_figures reload_figures(const reload_t *self);

/* SIGHUP waits until the process is ready for it, instead of ending it: call it before the settings
 * are read, and before there are threads. */
void reload_hold_signal(void);
/* It is handled from now on. A process that reads it from a descriptor leaves it held. */
void reload_release_signal(void);
