#pragma once
#include "common/options.h"
#include "gateway/hub.h"
#include "gateway/ws.h"

/* plan - the settings as the modules of the gateway want them. Borrows texts from the options. */

/* All but keys, incarnation and what refused tokens are told to. */
struct hub_settings plan_hub(const options_t *options);
/* All but the page and `sockets`. */
struct ws_settings plan_ws(const options_t *options);
/* How many descriptors these settings need; and what the clients get of those that there are. */
size_t plan_descriptors(const options_t *options);
void plan_ws_sockets(struct ws_settings *settings, size_t descriptors);
