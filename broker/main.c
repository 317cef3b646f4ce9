/* millrace-broker - decides, orders and remembers what is published. */
#include "admin/process.h"
#include "broker/broker.h"

int main(int argc, char **argv)
{
    static const struct process_section sections[] = {
        {"node", "[node]"},
        {"log", "[log]"},
        {"broker", "[broker]"},
        {"streams", "[streams]"},
        {"store", "[store]"},
        {"backends", "[backends \"NAME\"], one for each principal"},
        {"site", "[site \"NAME\"]: require_handlers, unavailable"},
        {"channel", "[channel \"NAME\"] or [channel \"SITE/NAME\"]"},
        {"rule", "[rule \"NAME\"]"}};
    static const struct process broker = {
        .name = "broker",
        .purpose = "Takes publications from backends, orders and remembers them, and hands\n"
                   "them to the gateways.\n",
        .sections = sections,
        .section_count = sizeof sections / sizeof *sections,
        .run = broker_run,
    };
    return process_main(&broker, argc, argv);
}
