#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/arguments.h"
#include "cli/backend_options.h"
#include "cli/commands.h"
#include "cli/member.h"
#include "proto/json_doc.h"

#define PAYLOAD_DEPTH_MAX 512 /* what we send; what is allowed is for the broker to say */
#define EXCERPT_BYTES     200

static const char *publisher, *key;
static bool preview;
static struct backend_options broker = {
    .undone = "nothing was published",
    .unsure = "it may have been published. With --key it can safely be sent again.",
    .timeout = "3000",
};

static const struct cli_option options[] = {
    {"publisher", "ID", "who publishes; subscribers see it", &publisher, NULL},
    {"key", "KEY", "idempotency key: the same key again publishes nothing twice", &key, NULL},
    {"preview", NULL, "publish to the preview, not live", NULL, &preview},
    BACKEND_OPTIONS(broker, "3000"),
};

static const struct cli_usage usage = {
    .command = "publish",
    .arguments = "CHANNEL[:RESOURCE] JSON",
    .help = "Publishes one JSON object and prints the position that it got. With '-' for JSON:\n"
            "publishes each line of standard input.\n\n"
            "  millrace publish chat '{\"text\":\"hello\"}'\n"
            "  millrace publish chat:room-1 '{\"text\":\"hello\"}' --publisher user-7\n",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .operands_min = 2,
    .operands_max = 2,
};

/* Enough of the text to recognize it in an error. */
static struct span excerpt(struct span text)
{
    return span_of(text.data, text.size < EXCERPT_BYTES ? text.size : EXCERPT_BYTES);
}

/* The text as msgpack. */
static int read_payload(struct span text, struct buffer *wire)
{
    struct buffer why = {0};
    int status = CLI_OK;
    json_doc_t *doc = json_doc_parse(text, PAYLOAD_DEPTH_MAX, &why);
    if (!doc)
        status = cli_fail(&usage, CLI_BAD_DATA, "this is not JSON: %.*s\n  %.*s",
                          SPAN_ARG(buffer_span(&why)), SPAN_ARG(excerpt(text)));
    else if (json_type_of(json_doc_root(doc)) != JSON_TYPE_OBJECT)
        status =
            cli_fail(&usage, CLI_BAD_DATA,
                     "a payload is a JSON object, e.g. {\"text\":\"hello\"}; this is not one:\n"
                     "  %.*s",
                     SPAN_ARG(excerpt(text)));
    else
        json_to_wire(wire, json_doc_root(doc));
    json_doc_destroy(&doc);
    buffer_free(&why);
    return status;
}

static int print_position(const struct wire_value *reply)
{
    const struct wire_value *epoch = member(reply, "epoch", WIRE_TEXT);
    const struct wire_value *offset = member(reply, "offset", WIRE_UINT);
    if (!epoch || !offset)
        return backend_options_nonsense(&broker);
    printf("{\"epoch\":\"%.*s\",\"offset\":%" PRIu64 "%s}\n", SPAN_ARG(wire_text(epoch)),
           wire_uint(offset), member_bool(reply, "duplicate") ? ",\"duplicate\":true" : "");
    return fflush(stdout) == 0 ? CLI_OK : CLI_FAILED;
}

static int publish_wire(const struct address *address, const struct buffer *payload)
{
    struct backend_client_fields fields = {0};
    const struct wire_value *reply;
    backend_client_put_address(&fields, address);
    backend_client_put(&fields, "publisher", publisher);
    backend_client_put(&fields, "key", key);
    buffer_put_span(backend_client_put_key(&fields, "payload"), buffer_span(payload));
    fields.bytes.failed |= payload->failed;
    int status = backend_options_request(&broker, "publish", &fields, &reply);
    if (status == CLI_OK)
        status = print_position(reply);
    buffer_free(&fields.bytes);
    return status;
}

static int publish_text(const struct address *address, struct span text)
{
    struct buffer wire = {0};
    int status = read_payload(text, &wire);
    if (status == CLI_OK)
        status = publish_wire(address, &wire);
    buffer_free(&wire);
    return status;
}

/* Each line of standard input; blank ones are skipped. Ends at the first failure. */
static int publish_lines(const struct address *address)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t size;
    int status = CLI_OK;
    for (unsigned long number = 1; status == CLI_OK && (size = getline(&line, &room, stdin)) >= 0;
         number++) {
        struct span text = span_of(line, (size_t)size);
        while (text.size > 0 && memchr(" \t\r\n", text.data[text.size - 1], 4))
            text.size--;
        if (text.size > 0)
            status = publish_text(address, text);
        if (status != CLI_OK)
            cli_fail(&usage, status, "ended at line %lu of the input", number);
    }
    free(line);
    return status;
}

int cmd_publish(int argc, char **argv)
{
    int operand, status;
    if (!cli_arguments(&usage, argc, argv, &operand, &status))
        return status;
    if (!backend_options_check(&broker, &usage) ||
        !cli_text(&usage, "publisher", publisher, LIMIT_PUBLISHER_BYTES) ||
        !cli_text(&usage, "key", key, LIMIT_KEY_BYTES))
        return CLI_USAGE;
    const char *text = argv[operand], *json = argv[operand + 1];
    struct address address, context = {.view = preview ? VIEW_PREVIEW : VIEW_LIVE};
    enum address_rule rule = address_parse(span_text(text), &context, &address);
    if (rule != ADDRESS_OK)
        return cli_misuse(&usage, "'%s': %s", text, address_rule_text(rule));
    bool from_input = strcmp(json, "-") == 0;
    if (key && from_input)
        return cli_misuse(&usage, "--key names one message; it does not go with '-'");
    status = backend_options_open(&broker);
    if (status == CLI_OK)
        status = from_input ? publish_lines(&address) : publish_text(&address, span_text(json));
    backend_options_close(&broker);
    return status;
}
