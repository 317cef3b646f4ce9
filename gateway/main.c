/* millrace-gateway - serves clients over WebSocket. */
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "admin/process.h"
#include "gateway/gateway.h"

static int run(const options_t *options, reload_t *reload)
{
    struct buffer why = {0};
    site_keys_t *keys = site_keys_load(options, &why);
    if (!keys) { /* as much wrong settings as those that options_load finds */
        fprintf(stderr, "%.*s", SPAN_ARG(buffer_span(&why)));
        buffer_free(&why);
        return EX_CONFIG;
    }
    gateway_t *gateway = gateway_new(options, reload, &keys);
    int code = gateway ? EXIT_SUCCESS : EXIT_FAILURE;
    if (gateway)
        gateway_run(gateway);
    gateway_destroy(&gateway);
    site_keys_destroy(&keys);
    return code;
}

int main(int argc, char **argv)
{
    static const struct process_section sections[] = {{"node", "[node]"},
                                                      {"log", "[log]"},
                                                      {"gateway", "[gateway]"},
                                                      {"site", "[site \"NAME\"]"}};
    static const struct process gateway = {
        .name = "gateway",
        .purpose = "Serves WebSocket clients and fans publications out to them.\n",
        .sections = sections,
        .section_count = sizeof sections / sizeof *sections,
        .run = run,
    };
    return process_main(&gateway, argc, argv);
}
