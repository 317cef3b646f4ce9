#include "cli/settings.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

options_t *cli_settings(const struct cli_usage *usage, const char *file)
{
    struct buffer why = {0};
    options_t *settings = options_load(file, environ, &why);
    if (!settings)
        cli_fail(usage, CLI_BAD_CONFIG, "the settings are wrong:\n%.*s",
                 SPAN_ARG(buffer_span(&why)));
    buffer_free(&why);
    return settings;
}

/* A listener on all addresses is reached by loopback. */
static const char *reachable(const char *address)
{
    if (strcmp(address, "0.0.0.0") == 0)
        return "127.0.0.1";
    return strcmp(address, "::") == 0 ? "::1" : address;
}

/* With its NUL. False when the port is not known. */
static bool put_url(struct buffer *url, const char *scheme, const char *address, uint64_t port,
                    const char *path)
{
    if (port == 0)
        return false;
    const char *host = reachable(address);
    bool brackets = strchr(host, ':') != NULL;
    buffer_printf(url, "%s://%s%s%s:%u%s", scheme, brackets ? "[" : "", host, brackets ? "]" : "",
                  (unsigned)port, path);
    buffer_put_byte(url, '\0');
    return !url->failed;
}

bool cli_client_url(const options_t *settings, struct buffer *url)
{
    return put_url(url, "ws", settings->gateway.listen_address, settings->gateway.listen_port,
                   "/connection/websocket");
}

bool cli_admin_url(const options_t *settings, struct buffer *url)
{
    return put_url(url, "http", settings->broker.admin_address, settings->broker.admin_port, "");
}
