#include <string.h>

#include "common/address.h"
#include "common/endpoint.h"
#include "common/options_priv.h"
#include "common/policy.h"

/* Rules that a single value cannot break by itself. */

/* A listener of one process. */
struct listener {
    unsigned section;
    size_t instance;
    const char *key;
    struct endpoint at;
};

static void refuse(struct options_load *self, unsigned section, size_t instance, const char *key,
                   const char *rule)
{
    const struct option *option = option_find(section, key);
    options_refuse(self, *options_place(self, section, instance, option), section, instance, key,
                   "%s", rule);
}

static void require(struct options_load *self, unsigned section, size_t instance, const char *key,
                    const char *value)
{
    if (value[0] == '\0')
        refuse(self, section, instance, key, "must be set");
}

static void check_required(struct options_load *self)
{
    const options_t *options = self->options;
    require(self, SECTION_node, 0, "site", options->node.site);
    require(self, SECTION_broker, 0, "control", options->broker.control);
    require(self, SECTION_broker, 0, "publications", options->broker.publications);
    require(self, SECTION_gateway, 0, "control", options->gateway.control);
    require(self, SECTION_gateway, 0, "publications", options->gateway.publications);
    if (options->store.engine != STORE_ENGINE_MEMORY)
        require(self, SECTION_store, 0, "path", options->store.path);
    for (size_t i = 0; i < options->backends_count; i++) {
        /* Not the place of the key, which is missing, but that of its section. */
        if (options->backends[i].bind[0] == '\0')
            options_complain(self, (struct option_place){0},
                             "%s: [backends \"%s\"] bind: must be set", options->backends[i].where,
                             options->backends[i].label);
    }
}

/* Sockets of the broker carry no keys: whoever reaches them may do anything. */
static void check_bind(struct options_load *self, unsigned section, size_t instance,
                       const char *key, const char *value)
{
    struct endpoint at;
    if (value[0] == '\0' || !endpoint_parse(span_text(value), &at) || endpoint_is_local(&at))
        return;
    const struct option *option = option_find(section, key);
    options_refuse(self, *options_place(self, section, instance, option), section, instance, key,
                   "%s.%s binds beyond loopback without keys; use 127.0.0.0/8, [::1] or ipc://",
                   option_sections[section].name, key);
}

static void check_binds(struct options_load *self)
{
    const options_t *options = self->options;
    check_bind(self, SECTION_broker, 0, "control", options->broker.control);
    check_bind(self, SECTION_broker, 0, "publications", options->broker.publications);
    check_bind(self, SECTION_broker, 0, "backends", options->broker.backends);
    for (size_t i = 0; i < options->backends_count; i++)
        check_bind(self, SECTION_backends, i, "bind", options->backends[i].bind);
}

static void check_anonymous(struct options_load *self)
{
    const struct options_gateway *gateway = &self->options->gateway;
    if (options_anonymous(self->options) == ANONYMOUS_UNSET &&
        !endpoint_is_loopback(span_text(gateway->listen_address)))
        refuse(self, SECTION_gateway, 0, "listen_address",
               "listens beyond loopback: say anonymous = yes or anonymous = no, whether clients "
               "may connect without a token");
}

static void check_reuse_port(struct options_load *self)
{
    const struct options_gateway *gateway = &self->options->gateway;
    if (gateway->reuse_port && gateway->listen_port == 0)
        refuse(self, SECTION_gateway, 0, "reuse_port",
               "needs a listen_port: with 0 each gateway gets a port of its own");
}

/* The demo hands out tokens and kills gateways: it is for whoever sits at this machine. */
static void check_demo(struct options_load *self)
{
    const struct options_gateway *gateway = &self->options->gateway;
    if (!gateway->demo)
        return;
    if (!endpoint_is_loopback(span_text(gateway->listen_address)))
        refuse(self, SECTION_gateway, 0, "demo",
               "may only be yes while listen_address is a loopback address");
    if (gateway->demo_root[0] == '\0')
        refuse(self, SECTION_gateway, 0, "demo",
               "needs demo_root, the folder with the files of the page");
}

/* --- two listeners in one place --- */

static void check_overlap(struct options_load *self, const struct listener *a,
                          const struct listener *b)
{
    if (!endpoint_overlaps(&a->at, &b->at))
        return;
    const struct option *option = option_find(b->section, b->key);
    options_refuse(self, *options_place(self, b->section, b->instance, option), b->section,
                   b->instance, b->key, "the same port as %s.%s", option_sections[a->section].name,
                   a->key);
}

static bool endpoint_listener(struct listener *out, unsigned section, size_t instance,
                              const char *key, const char *value)
{
    *out = (struct listener){.section = section, .instance = instance, .key = key};
    return endpoint_parse(span_text(value), &out->at);
}

static bool port_listener(struct listener *out, unsigned section, const char *key,
                          const char *address, uint64_t port)
{
    *out = (struct listener){.section = section, .key = key};
    out->at = (struct endpoint){ENDPOINT_TCP, span_text(address), (uint16_t)port};
    return port != 0;
}

static bool broker_listener(const options_t *options, size_t index, struct listener *out)
{
    const struct options_broker *broker = &options->broker;
    switch (index) {
    case 0:
        return endpoint_listener(out, SECTION_broker, 0, "control", broker->control);
    case 1:
        return endpoint_listener(out, SECTION_broker, 0, "publications", broker->publications);
    case 2:
        return endpoint_listener(out, SECTION_broker, 0, "backends", broker->backends);
    case 3:
        return port_listener(out, SECTION_broker, "admin_port", broker->admin_address,
                             broker->admin_port);
    default:
        index -= 4;
        return endpoint_listener(out, SECTION_backends, index, "bind",
                                 options->backends[index].bind);
    }
}

static void check_listeners(struct options_load *self)
{
    const options_t *options = self->options;
    struct listener a, b;
    for (size_t i = 0; i < 4 + options->backends_count; i++) {
        if (!broker_listener(options, i, &b))
            continue;
        for (size_t j = 0; j < i; j++) {
            if (broker_listener(options, j, &a))
                check_overlap(self, &a, &b);
        }
    }
    if (port_listener(&a, SECTION_gateway, "listen_port", options->gateway.listen_address,
                      options->gateway.listen_port) &&
        port_listener(&b, SECTION_gateway, "admin_port", options->gateway.admin_address,
                      options->gateway.admin_port))
        check_overlap(self, &a, &b);
}

/* --- labels --- */

/* "chat" or "acme/chat"; an empty site stands for all. */
static bool is_channel_label(struct span label)
{
    const uint8_t *slash = label.size ? memchr(label.data, '/', label.size) : NULL;
    struct address address = {.view = VIEW_LIVE, .channel = label};
    if (slash) {
        size_t size = (size_t)(slash - label.data);
        if (!address_is_id(span_of(label.data, size)))
            return false;
        address.channel = span_of(slash + 1, label.size - size - 1);
    }
    return address_check(&address) == ADDRESS_OK;
}

static void check_labels(struct options_load *self)
{
    const options_t *options = self->options;
    for (size_t i = 0; i < options->backends_count; i++) {
        if (!address_is_id(span_text(options->backends[i].label)))
            options_complain(self, (struct option_place){0},
                             "%s: [backends \"%s\"]: the label must be 1 to 64 letters, digits, "
                             "'.', '_' or '-'",
                             options->backends[i].where, options->backends[i].label);
    }
    for (size_t i = 0; i < options->site_count; i++) {
        if (!address_is_id(span_text(options->site[i].label)))
            options_complain(self, (struct option_place){0},
                             "%s: [site \"%s\"]: the label must be 1 to 64 letters, digits, '.', "
                             "'_' or '-'",
                             options->site[i].where, options->site[i].label);
    }
    for (size_t i = 0; i < options->rule_count; i++) {
        if (!address_is_id(span_text(options->rule[i].label)))
            options_complain(self, (struct option_place){0},
                             "%s: [rule \"%s\"]: the label must be 1 to 64 letters, digits, '.', "
                             "'_' or '-'",
                             options->rule[i].where, options->rule[i].label);
    }
    for (size_t i = 0; i < options->channel_count; i++) {
        if (!is_channel_label(span_text(options->channel[i].label)))
            options_complain(self, (struct option_place){0},
                             "%s: [channel \"%s\"]: the label must be a channel, or a site, '/' "
                             "and a channel",
                             options->channel[i].where, options->channel[i].label);
    }
}

/* --- who may read --- */

/* Under the line where the section begins: what is wrong is not one of its keys alone. */
static void check_rule(struct options_load *self, policy_t *policy, const struct options_rule *at)
{
    struct policy_rule rule = {.label = at->label,
                               .site = at->site,
                               .app = at->app,
                               .channel = at->channel,
                               .resource = at->resource,
                               .allow = at->allow,
                               .deny = at->deny};
    struct buffer why = {0};
    if (!policy_add(policy, &rule, &why)) {
        if (why.size == 0)
            buffer_put_text(&why, "out of memory");
        options_complain(self, (struct option_place){0}, "%s: [rule \"%s\"] %.*s", at->where,
                         at->label, SPAN_ARG(buffer_span(&why)));
    }
    buffer_free(&why);
}

static void check_rules(struct options_load *self)
{
    policy_t *policy = policy_new(&(struct policy_settings){0}, NULL, NULL);
    if (!policy)
        options_complain(self, (struct option_place){0}, "out of memory");
    for (size_t i = 0; policy && i < self->options->rule_count; i++)
        check_rule(self, policy, &self->options->rule[i]);
    policy_destroy(&policy);
}

void options_check(struct options_load *self)
{
    check_required(self);
    check_binds(self);
    check_anonymous(self);
    check_reuse_port(self);
    check_demo(self);
    check_listeners(self);
    check_labels(self);
    check_rules(self);
}
