#pragma once
#include <stdint.h>

#include "admin/reload.h"
#include "common/options.h"
#include "common/site_keys.h"

/* gateway - the process: one loop, the hub, and the sockets around it. */
typedef struct gateway gateway_t;

/* Listens and connects. NULL on failure, which is logged. Borrows the options and what reads them
 * again on SIGHUP; takes over the keys. */
gateway_t *gateway_new(const options_t *options, reload_t *reload, site_keys_t **keys_p);
/* Until SIGTERM or SIGINT, and until the clients are closed then (2 s at most). A second signal
 * ends the process at once. */
void gateway_run(gateway_t *self);
/* Sets *self_p to NULL; safe on NULL. */
void gateway_destroy(gateway_t **self_p);
