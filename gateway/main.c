/* millrace-gateway - serves clients over WebSocket. */
#include <stdlib.h>

#include "admin/process.h"
#include "gateway/gateway.h"

static int run(const options_t *options)
{
    gateway_t *gateway = gateway_new(options);
    int code = gateway ? EXIT_SUCCESS : EXIT_FAILURE;
    if (gateway)
        gateway_run(gateway);
    gateway_destroy(&gateway);
    return code;
}

int main(int argc, char **argv)
{
    static const struct process_section sections[] = {
        {"node", "[node]"}, {"log", "[log]"}, {"gateway", "[gateway]"}};
    static const struct process gateway = {
        .name = "gateway",
        .purpose = "Serves WebSocket clients and fans publications out to them.\n",
        .sections = sections,
        .section_count = sizeof sections / sizeof *sections,
        .run = run,
    };
    return process_main(&gateway, argc, argv);
}
