#include <string.h>

#include "cli/arguments.h"
#include "cli/backend_options.h"
#include "cli/commands.h"
#include "cli/member.h"
#include "cli/permission_view.h"
#include "common/subscriber.h"
#include "proto/json_text.h"

static const char *subscriber, *type;
static bool preview, json;
/* The broker gives a handler up to 4 s, which is not the broker's silence. */
static struct backend_options broker = {
    .unsure = "--timeout gives it more time.",
    .timeout = "6000",
};

static const struct cli_option options[] = {
    {"subscriber", "ID", "who wants to read: the `sub` of the connection token", &subscriber, NULL},
    {"type", "TYPE", "what they are: MEMBER, ADMIN or VISITOR", &type, NULL},
    {"preview", NULL, "in the preview, not live", NULL, &preview},
    {"json", NULL, "print one JSON object, as the broker gives it", NULL, &json},
    BACKEND_OPTIONS(broker, "6000"),
};

static const struct cli_usage usage = {
    .command = "explain",
    .arguments = "CHANNEL[:RESOURCE] --subscriber ID --type TYPE",
    .help =
        "Says whether a subscriber may read and who decides it, without subscribing: which level\n"
        "answered (resource, channel, default), by which handler or rule of the settings; whether\n"
        "the handler was asked now (live) or its last answer still holds (cached), or nobody had\n"
        "to be asked (static); and for how long it holds. A VISITOR may be nobody in particular,\n"
        "without --subscriber.\n\n"
        "  millrace explain chat:room-1 --subscriber user-7 --type MEMBER\n"
        "  millrace explain chat --type VISITOR --json | jq .level\n\n"
        "Exit status: 0 may read; 1 may not, or the broker refused to say; 69 no broker answers.\n",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .operands_min = 1,
    .operands_max = 1,
};

/* False after telling what is wrong. */
static bool check_who(void)
{
    enum subscriber_type parsed;
    if (!type)
        cli_misuse(&usage, "--type is missing: MEMBER, ADMIN or VISITOR, as the connection token "
                           "says; without a token one is a VISITOR");
    else if (!subscriber_type_parse(span_text(type), &parsed))
        cli_misuse(&usage, "--type '%s': MEMBER, ADMIN or VISITOR is expected", type);
    else if (!subscriber && parsed != SUBSCRIBER_VISITOR)
        cli_misuse(&usage,
                   "--subscriber is missing: the id of the %s, which is the `sub` of the "
                   "connection token; only a VISITOR may have none",
                   type);
    else if (subscriber && ((subscriber[0] == '\0' && parsed != SUBSCRIBER_VISITOR) ||
                            strlen(subscriber) > LIMIT_SUBSCRIBER_BYTES ||
                            !utf8_valid(span_text(subscriber), NULL)))
        cli_misuse(&usage, "--subscriber: 1 to %d bytes of UTF-8 are expected",
                   LIMIT_SUBSCRIBER_BYTES);
    else
        return true;
    return false;
}

static void put_question(struct backend_client_fields *fields,
                         const struct permission_question *question)
{
    backend_client_put_address(fields, &question->address);
    struct buffer *to = backend_client_put_key(fields, "subscriber");
    wire_put_map(to, 2);
    wire_put_word(to, "id");
    wire_put_word(to, question->subscriber);
    wire_put_word(to, "type");
    wire_put_word(to, question->type);
}

static int print_explanation(const struct wire_value *reply,
                             const struct permission_question *question)
{
    struct buffer text = {0};
    bool done = member(reply, "read", WIRE_BOOL) &&
                (json ? permission_view_json(reply, &text)
                      : permission_view_explanation(reply, question, &text));
    int status = done ? cli_print(&usage, &text) : backend_options_nonsense(&broker);
    buffer_free(&text);
    if (status == CLI_OK && !member_bool(reply, "read"))
        return CLI_REFUSED;
    return status;
}

static int explain(const struct permission_question *question)
{
    struct backend_client_fields fields = {0};
    const struct wire_value *reply;
    put_question(&fields, question);
    int status = backend_options_open(&broker);
    if (status == CLI_OK)
        status = backend_options_request(&broker, "explain", &fields, &reply);
    if (status == CLI_OK)
        status = print_explanation(reply, question);
    backend_options_close(&broker);
    buffer_free(&fields.bytes);
    return status;
}

int cmd_explain(int argc, char **argv)
{
    int operand, status;
    if (!cli_arguments(&usage, argc, argv, &operand, &status))
        return status;
    if (!backend_options_check(&broker, &usage) || !check_who())
        return CLI_USAGE;
    const char *text = argv[operand];
    struct permission_question question = {.type = type,
                                           .subscriber = subscriber ? subscriber : ""};
    struct address context = {.view = preview ? VIEW_PREVIEW : VIEW_LIVE};
    enum address_rule rule = address_parse(span_text(text), &context, &question.address);
    if (rule != ADDRESS_OK)
        return cli_misuse(&usage, "'%s': %s", text, address_rule_text(rule));
    return explain(&question);
}
