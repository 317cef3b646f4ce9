#include <stdio.h>
#include <string.h>

#include "cli/arguments.h"
#include "cli/backend_options.h"
#include "cli/commands.h"
#include "cli/member.h"
#include "cli/permission_view.h"
#include "cli/status_table.h"

static const char *app;

/* --- handlers list --- */

static bool json;
static struct backend_options list_broker = {
    .unsure = "--timeout gives it more time.",
    .timeout = "3000",
};

static const struct cli_option list_options[] = {
    {"app", "APP", "only those of this app; '': of the site's own code", &app, NULL},
    {"json", NULL, "print one JSON object, as the broker gives it", NULL, &json},
    BACKEND_OPTIONS(list_broker, "3000"),
};

static const struct cli_usage list_usage = {
    .command = "handlers list",
    .arguments = "",
    .help =
        "Shows who is registered to say who may read, at most 1,000 of them: the level (of a\n"
        "resource, of a channel, or the default), how many workers answer for it now, whether its\n"
        "circuit breaker is open (it has not answered lately), the questions so far and how many\n"
        "of them got no proper answer. With 0 workers every question is refused with 503.\n\n"
        "  millrace handlers list\n"
        "  millrace handlers list --json | jq '.handlers[] | select(.workers == 0)'\n",
    .options = list_options,
    .option_count = sizeof list_options / sizeof list_options[0],
};

static int print_handlers(const struct wire_value *reply)
{
    struct buffer text = {0};
    bool done = json ? permission_view_json(reply, &text) : permission_view_handlers(reply, &text);
    int status = done ? cli_print(&list_usage, &text) : backend_options_nonsense(&list_broker);
    buffer_free(&text);
    return status;
}

static int handlers_list(int argc, char **argv)
{
    int operand, status;
    if (!cli_arguments(&list_usage, argc, argv, &operand, &status))
        return status;
    bool own_code = app && app[0] == '\0';
    if (!backend_options_check(&list_broker, &list_usage) ||
        (!own_code && !cli_id(&list_usage, "app", app)))
        return CLI_USAGE;
    struct backend_client_fields fields = {0};
    const struct wire_value *reply;
    backend_client_put(&fields, "app", app);
    status = backend_options_open(&list_broker);
    if (status == CLI_OK)
        status = backend_options_request(&list_broker, "handlers", &fields, &reply);
    if (status == CLI_OK)
        status = print_handlers(reply);
    backend_options_close(&list_broker);
    buffer_free(&fields.bytes);
    return status;
}

/* --- handlers remove --- */

static bool is_default;
static struct backend_options remove_broker = {
    .undone = "nothing was removed",
    .unsure = "it may have been removed: millrace handlers list tells.",
    .timeout = "3000",
};

static const struct cli_option remove_options[] = {
    {"default", NULL, "the default handler, in place of a channel's", NULL, &is_default},
    {"app", "APP", "one of this app, not of the site's own code", &app, NULL},
    BACKEND_OPTIONS(remove_broker, "3000"),
};

static const struct cli_usage remove_usage = {
    .command = "handlers remove",
    .arguments = "CHANNEL[:RESOURCE] | --default",
    .help =
        "Ends one registration for good, also when nobody is connected any more who could: of a\n"
        "program that registered, ended and is forgotten, so that every question is refused with\n"
        "503. From then on the next level of the cascade decides: the channel's handler or rule,\n"
        "the default one, or nobody. A worker that still runs is not asked any more until it\n"
        "registers again.\n\n"
        "  millrace handlers remove chat:room-1\n"
        "  millrace handlers remove --default --app crm\n\n"
        "Exit status: 0 removed; 1 there was none, or the broker refused it.\n",
    .options = remove_options,
    .option_count = sizeof remove_options / sizeof remove_options[0],
    .operands_max = 1,
};

/* False after telling what is wrong. A channel may name its app itself, as in crm/chat. */
static bool read_channel(const char *text, struct address *address)
{
    struct address context = {.view = VIEW_LIVE, .app = span_text(app)};
    enum address_rule rule = address_parse(span_text(text), &context, address);
    if (rule != ADDRESS_OK)
        cli_misuse(&remove_usage, "'%s': %s", text, address_rule_text(rule));
    else if (app && !span_is(address->app, app))
        cli_misuse(&remove_usage, "'%s' names another app than --app %s", text, app);
    else
        return true;
    return false;
}

static bool read_place(const char *text, struct address *address)
{
    *address = (struct address){.view = VIEW_LIVE, .app = span_text(app)};
    if (!text && !is_default)
        cli_misuse(&remove_usage, "which one? CHANNEL[:RESOURCE] or --default is missing");
    else if (text && is_default)
        cli_misuse(&remove_usage, "'%s' or --default: not both", text);
    else
        return is_default || read_channel(text, address);
    return false;
}

static void put_removal(struct backend_client_fields *fields, const struct address *address)
{
    struct address entry = {
        .view = VIEW_LIVE, .channel = address->channel, .resource = address->resource};
    struct backend_client_fields place = {0};
    backend_client_put_address(&place, &entry);
    struct buffer *to = backend_client_put_key(fields, "handlers");
    wire_put_array(to, 1);
    wire_put_map(to, place.count);
    buffer_put_span(to, buffer_span(&place.bytes));
    to->failed |= place.bytes.failed;
    buffer_free(&place.bytes);
    wire_put_bool(backend_client_put_key(fields, "everywhere"), true);
    struct address scope = {.view = VIEW_LIVE, .app = address->app};
    backend_client_put_address(fields, &scope);
}

static void put_name(struct buffer *to, const struct address *address)
{
    if (address->channel.size > 0)
        permission_view_address(to, address);
    else if (address->app.size > 0)
        buffer_printf(to, "the default of app %.*s", SPAN_ARG(address->app));
    else
        buffer_put_text(to, "the default");
}

static int tell_none(struct span name)
{
    return cli_fail(&remove_usage, CLI_REFUSED,
                    "no handler is registered for %.*s; millrace handlers list shows all",
                    SPAN_ARG(name));
}

static int print_removed(uint64_t removed, struct span name)
{
    struct buffer text = {0};
    buffer_put_text(&text, "removed ");
    put_thousands(&text, removed);
    buffer_put_text(&text, ": ");
    buffer_put_span(&text, name);
    buffer_put_byte(&text, '\n');
    int status = cli_print(&remove_usage, &text);
    buffer_free(&text);
    return status;
}

static int tell_removed(const struct wire_value *reply, const struct address *address)
{
    const struct wire_value *removed = member(reply, "removed", WIRE_UINT);
    if (!removed)
        return backend_options_nonsense(&remove_broker);
    struct buffer name = {0};
    put_name(&name, address);
    int status = wire_uint(removed) > 0 ? print_removed(wire_uint(removed), buffer_span(&name))
                                        : tell_none(buffer_span(&name));
    buffer_free(&name);
    return status;
}

static int handlers_remove(int argc, char **argv)
{
    int operand, status;
    struct address address;
    if (!cli_arguments(&remove_usage, argc, argv, &operand, &status))
        return status;
    if (!backend_options_check(&remove_broker, &remove_usage) ||
        !cli_id(&remove_usage, "app", app) || !read_place(argv[operand], &address))
        return CLI_USAGE;
    struct backend_client_fields fields = {0};
    const struct wire_value *reply;
    put_removal(&fields, &address);
    status = backend_options_open(&remove_broker);
    if (status == CLI_OK)
        status = backend_options_request(&remove_broker, "unhandle", &fields, &reply);
    if (status == CLI_OK)
        status = tell_removed(reply, &address);
    backend_options_close(&remove_broker);
    buffer_free(&fields.bytes);
    return status;
}

/* --- which one --- */

static const struct cli_usage usage = {
    .command = "handlers",
    .arguments = "list|remove ...",
    .help = "Who is registered to say who may read: millrace handlers list shows them, millrace\n"
            "handlers remove ends one that nobody answers for any more. Each has its own --help.\n",
    .operands_min = 1,
    .operands_max = 1,
};

int cmd_handlers(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    if (strcmp(name, "list") == 0)
        return handlers_list(argc - 1, argv + 1);
    if (strcmp(name, "remove") == 0)
        return handlers_remove(argc - 1, argv + 1);
    int operand, status;
    if (!cli_arguments(&usage, argc, argv, &operand, &status))
        return status;
    return cli_misuse(&usage, "'%s' is neither list nor remove", name);
}
