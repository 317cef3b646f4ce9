#pragma once
#include "admin/reload.h"
#include "common/options.h"

/* broker - one broker process: sockets, core, store and admin pages, wired by one loop.
 *
 * Runs until SIGTERM or SIGINT, then finishes what it accepted. On SIGHUP it reads its settings
 * again. Logs what it does. Returns the exit status: 0, 1 (something failed, e.g. a port is taken)
 * or 78 (the settings are wrong).
 */
int broker_run(const options_t *options, reload_t *reload);
