#include "cli/backend_options.h"

#include <inttypes.h>

#include "cli/settings.h"
#include "common/endpoint.h"

static bool is_endpoint(const struct backend_options *self)
{
    struct endpoint parsed;
    if (endpoint_parse(span_text(self->endpoint), &parsed))
        return true;
    cli_misuse(self->usage, "%s is no endpoint: tcp://ADDRESS:PORT or ipc://PATH is expected",
               self->endpoint);
    return false;
}

bool backend_options_check(struct backend_options *self, const struct cli_usage *usage)
{
    self->usage = usage;
    return cli_number(usage, "timeout", self->timeout, 1, 600000, &self->timeout_ms) &&
           cli_one_of(usage, "endpoint", self->endpoint, "config", self->config) &&
           cli_id(usage, "site", self->site) && (!self->endpoint || is_endpoint(self));
}

static int find_endpoint(struct backend_options *self)
{
    self->settings = cli_settings(self->usage, self->config);
    if (!self->settings)
        return CLI_BAD_CONFIG;
    self->endpoint = self->settings->broker.backends;
    if (self->endpoint[0] != '\0')
        return CLI_OK;
    return cli_misuse(self->usage, "the settings say that [broker] backends is nowhere: "
                                   "name a place with --endpoint");
}

int backend_options_open(struct backend_options *self)
{
    int status = self->endpoint ? CLI_OK : find_endpoint(self);
    if (status != CLI_OK)
        return status;
    struct buffer why = {0};
    self->client = backend_client_new(self->endpoint, (int)self->timeout_ms, &why);
    if (!self->client)
        status = cli_fail(self->usage, CLI_USAGE, "%.*s", SPAN_ARG(buffer_span(&why)));
    buffer_free(&why);
    return status;
}

void backend_options_close(struct backend_options *self)
{
    backend_client_destroy(&self->client);
    options_destroy(&self->settings);
}

int backend_options_nonsense(const struct backend_options *self)
{
    return cli_fail(self->usage, CLI_FAILED, "what answers at %s is no Millrace broker",
                    self->endpoint);
}

static int tell(const struct backend_options *self, enum backend_client_result result,
                const struct backend_client_reply *reply)
{
    switch (result) {
    case BACKEND_CLIENT_OK:
        return CLI_OK;
    case BACKEND_CLIENT_REFUSED:
        return cli_fail(self->usage, CLI_REFUSED,
                        "the broker refused it with status %" PRIu64 ": %.*s", reply->status,
                        SPAN_ARG(reply->message));
    case BACKEND_CLIENT_AWAY:
        return cli_fail(self->usage, CLI_UNAVAILABLE,
                        "no broker answers at %s%s%s.\n"
                        "Start one with ./dev run, or name another place with --endpoint.",
                        self->endpoint, self->undone ? "; " : "", self->undone ? self->undone : "");
    case BACKEND_CLIENT_SILENT:
        return cli_fail(self->usage, CLI_UNAVAILABLE,
                        "the broker at %s took the request but did not answer within %s ms;\n%s",
                        self->endpoint, self->timeout, self->unsure);
    case BACKEND_CLIENT_NO_MEMORY:
        return cli_fail(self->usage, CLI_FAILED, "out of memory");
    case BACKEND_CLIENT_NONSENSE:
        break;
    }
    return backend_options_nonsense(self);
}

int backend_options_request(struct backend_options *self, const char *op,
                            struct backend_client_fields *fields, const struct wire_value **reply)
{
    struct backend_client_reply got;
    backend_client_put(fields, "site", self->site);
    enum backend_client_result result = backend_client_request(self->client, op, fields, &got);
    *reply = got.map;
    return tell(self, result, &got);
}
