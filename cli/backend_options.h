#pragma once
#include "cli/arguments.h"
#include "cli/backend_client.h"
#include "common/options.h"

/* backend_options - what all commands share that speak to the broker as a backend does: how the
 * command line and the settings name its endpoint, the connection, and what is told when no proper
 * answer comes. Not thread-safe. */
struct backend_options {
    /* The command's own; undone may be NULL. */
    const char *undone; /* without a broker: "nothing was published" */
    const char *unsure; /* without an answer, what may have happened and what helps; a sentence */

    /* As given; `timeout` begins with its default. */
    const char *site, *endpoint, *config, *timeout;

    /* While it is open. */
    const struct cli_usage *usage;
    uint64_t timeout_ms;
    options_t *settings; /* `endpoint` borrows from them */
    backend_client_t *client;
};

/* Lines for a command's table of options, the default of `timeout` once more as text. */
#define BACKEND_OPTIONS(self, ms)                                                                  \
    {"site", "SITE", "the site, where the endpoint serves another by default", &(self).site,       \
     NULL},                                                                                        \
        {"endpoint", "ENDPOINT",                                                                   \
         "where the broker listens for backends, e.g. tcp://127.0.0.1:7402", &(self).endpoint,     \
         NULL},                                                                                    \
        {"config", "FILE", "take the endpoint from these settings ([broker] backends)",            \
         &(self).config, NULL},                                                                    \
    {                                                                                              \
        "timeout", "MS", "how long to wait for the broker, in milliseconds (" ms ")",              \
            &(self).timeout, NULL                                                                  \
    }

/* After cli_arguments. False after telling what is wrong. */
bool backend_options_check(struct backend_options *self, const struct cli_usage *usage);
/* Finds the endpoint and connects. CLI_OK, or the exit status after telling; close it in any case.
 */
int backend_options_open(struct backend_options *self);
void backend_options_close(struct backend_options *self);

/* One request, --site included. CLI_OK: *reply is the broker's, until the next one. Otherwise the
 * exit status, after telling why. */
int backend_options_request(struct backend_options *self, const char *op,
                            struct backend_client_fields *fields, const struct wire_value **reply);
/* Tells that the reply of the operation lacks what it must have. Returns the exit status. */
int backend_options_nonsense(const struct backend_options *self);
