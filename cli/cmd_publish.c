#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/arguments.h"
#include "cli/backend_client.h"
#include "cli/commands.h"
#include "cli/settings.h"
#include "common/address.h"
#include "common/endpoint.h"
#include "proto/json_doc.h"

#define PAYLOAD_DEPTH_MAX 512 /* what we send; what is allowed is for the broker to say */
#define EXCERPT_BYTES     200

static const char *publisher, *key, *site, *endpoint, *config;
static const char *timeout = "3000";
static bool preview;

static const struct cli_option options[] = {
    {"publisher", "ID", "who publishes; subscribers see it", &publisher, NULL},
    {"key", "KEY", "idempotency key: the same key again publishes nothing twice", &key, NULL},
    {"site", "SITE", "the site, where the endpoint serves another by default", &site, NULL},
    {"preview", NULL, "publish to the preview, not live", NULL, &preview},
    {"endpoint", "ENDPOINT", "where the broker listens for backends, e.g. tcp://127.0.0.1:7402",
     &endpoint, NULL},
    {"config", "FILE", "take the endpoint from these settings ([broker] backends)", &config, NULL},
    {"timeout", "MS", "how long to wait for the broker, in milliseconds (3000)", &timeout, NULL},
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

/* The text as msgpack in message->payload, which borrows from *wire. */
static int read_payload(struct span text, struct backend_client_message *message,
                        struct buffer *wire)
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
    else {
        buffer_reset(wire);
        json_to_wire(wire, json_doc_root(doc));
        message->payload = buffer_span(wire);
    }
    json_doc_destroy(&doc);
    buffer_free(&why);
    return status;
}

static int tell_result(enum backend_client_result result, const struct backend_client_reply *reply)
{
    switch (result) {
    case BACKEND_CLIENT_OK:
        printf("{\"epoch\":\"%.*s\",\"offset\":%" PRIu64 "%s}\n", SPAN_ARG(reply->epoch),
               reply->offset, reply->duplicate ? ",\"duplicate\":true" : "");
        return fflush(stdout) == 0 ? CLI_OK : CLI_FAILED;
    case BACKEND_CLIENT_REFUSED:
        return cli_fail(&usage, CLI_REFUSED, "the broker refused it with status %" PRIu64 ": %.*s",
                        reply->status, SPAN_ARG(reply->message));
    case BACKEND_CLIENT_AWAY:
        return cli_fail(&usage, CLI_UNAVAILABLE,
                        "no broker answers at %s; nothing was published.\n"
                        "Start one with ./dev run, or name another place with --endpoint.",
                        endpoint);
    case BACKEND_CLIENT_SILENT:
        return cli_fail(&usage, CLI_UNAVAILABLE,
                        "the broker at %s took the message but did not answer within %s ms;\n"
                        "it may have been published. With --key it can safely be sent again.",
                        endpoint, timeout);
    case BACKEND_CLIENT_NONSENSE:
        break;
    }
    return cli_fail(&usage, CLI_FAILED, "what answers at %s is no Millrace broker", endpoint);
}

static int publish_text(backend_client_t *client, struct backend_client_message *message,
                        struct span text)
{
    struct buffer wire = {0};
    int status = read_payload(text, message, &wire);
    if (status == CLI_OK) {
        struct backend_client_reply reply;
        enum backend_client_result result = backend_client_publish(client, message, &reply);
        status = tell_result(result, &reply);
    }
    buffer_free(&wire);
    return status;
}

/* Each line of standard input; blank ones are skipped. Ends at the first failure. */
static int publish_lines(backend_client_t *client, struct backend_client_message *message)
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
            status = publish_text(client, message, text);
        if (status != CLI_OK)
            cli_fail(&usage, status, "ended at line %lu of the input", number);
    }
    free(line);
    return status;
}

static int publish(const struct address *address, const char *json, int timeout_ms)
{
    struct endpoint parsed;
    if (!endpoint_parse(span_text(endpoint), &parsed))
        return cli_misuse(&usage,
                          "%s is no endpoint: tcp://ADDRESS:PORT or ipc://PATH is "
                          "expected",
                          endpoint);
    struct buffer why = {0};
    backend_client_t *client = backend_client_new(endpoint, timeout_ms, &why);
    if (!client) {
        int status = cli_fail(&usage, CLI_USAGE, "%.*s", SPAN_ARG(buffer_span(&why)));
        buffer_free(&why);
        return status;
    }
    struct backend_client_message message = {
        .channel = address->channel,
        .resource = address->resource,
        .app = address->app,
        .publisher = publisher,
        .key = key,
        .site = site,
        .preview = preview,
    };
    int status = strcmp(json, "-") == 0 ? publish_lines(client, &message)
                                        : publish_text(client, &message, span_text(json));
    backend_client_destroy(&client);
    buffer_free(&why);
    return status;
}

int cmd_publish(int argc, char **argv)
{
    int operand, status;
    uint64_t timeout_ms;
    if (!cli_arguments(&usage, argc, argv, &operand, &status))
        return status;
    if (!cli_number(&usage, "timeout", timeout, 1, 600000, &timeout_ms))
        return CLI_USAGE;
    const char *text = argv[operand], *json = argv[operand + 1];
    struct address address, context = {.view = VIEW_LIVE};
    enum address_rule rule = address_parse(span_text(text), &context, &address);
    if (rule != ADDRESS_OK)
        return cli_misuse(&usage, "'%s': %s", text, address_rule_text(rule));
    if (key && strcmp(json, "-") == 0)
        return cli_misuse(&usage, "--key names one message; it does not go with '-'");
    if (endpoint)
        return publish(&address, json, (int)timeout_ms);

    options_t *settings = cli_settings(&usage, config);
    if (!settings)
        return CLI_BAD_CONFIG;
    endpoint = settings->broker.backends;
    if (endpoint[0] == '\0')
        status = cli_misuse(&usage, "the settings say that [broker] backends is nowhere: "
                                    "name a place with --endpoint");
    else
        status = publish(&address, json, (int)timeout_ms);
    options_destroy(&settings);
    return status;
}
