#pragma once
#include "cli/arguments.h"
#include "common/options.h"

/* settings - what the commands take from the settings of the processes that they talk to: the same
 * file and the same environment make all of them meet. */

/* The settings from `file` (NULL: none) and the environment; NULL after telling what is wrong. */
options_t *cli_settings(const struct cli_usage *usage, const char *file);

/* ws://HOST:PORT/connection/websocket of the gateway on this host. False when the settings leave
 * the port open. */
bool cli_client_url(const options_t *settings, struct buffer *url);
/* http://HOST:PORT of the broker's admin listener on this host. False when the settings turn it
 * off. */
bool cli_admin_url(const options_t *settings, struct buffer *url);
