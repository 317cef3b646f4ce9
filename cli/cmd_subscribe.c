#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/arguments.h"
#include "cli/commands.h"
#include "cli/follower.h"
#include "cli/settings.h"
#include "cli/ws_link.h"
#include "common/address.h"
#include "common/clock.h"
#include "proto/json_text.h"

static const char *url, *since, *config, *token_file;
static bool json;

static const struct cli_option options[] = {
    {"url", "URL", "the gateway, e.g. ws://127.0.0.1:8000/connection/websocket", &url, NULL},
    {"json", NULL, "print everything as one JSON object a line", NULL, &json},
    {"since", "EPOCH:OFFSET", "recover what came after this position (one channel only)", &since,
     NULL},
    {"token", "FILE", "connect with the token in this file; it is read before each connection",
     &token_file, NULL},
    {"config", "FILE", "take the URL from these settings ([gateway] listen_...)", &config, NULL},
};

static const struct cli_usage usage = {
    .command = "subscribe",
    .arguments = "CHANNEL[:RESOURCE]...",
    .help =
        "Prints the messages of channels and resources: address, offset, payload. What happens to\n"
        "the connection is told on standard error. Comes back by itself after a lost connection\n"
        "and fetches what it missed: isSynced true says that nothing is missing. Messages that\n"
        "were left out because it reads too slowly are counted. Ctrl-C ends it with status 0; a\n"
        "refusal that will not change with status 1.\n\n"
        "  millrace subscribe chat chat:room-1\n"
        "  millrace subscribe chat --json | jq .payload\n",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .operands_min = 1,
    .operands_max = 128,
};

#define TOKEN_ROOM 16384 /* more than any gateway takes */

struct run {
    follower_t *follower;
    ws_link_t *link;
};

/* For the signal handler. */
static volatile sig_atomic_t interrupted;
static ws_link_t *link_to_wake;

static void on_signal(int signal)
{
    (void)signal;
    interrupted = 1;
    ws_link_wake(link_to_wake);
}

static void catch_signals(ws_link_t *link)
{
    link_to_wake = link;
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static void print(FILE *to, struct buffer *text)
{
    if (text->size == 0)
        return;
    fwrite(text->data, 1, text->size, to);
    fflush(to);
    buffer_reset(text);
}

/* What the follower has gathered goes where it belongs. */
static void settle(struct run *run)
{
    print(stdout, follower_messages(run->follower));
    print(stderr, follower_notes(run->follower));
    struct buffer *outgoing = follower_outgoing(run->follower);
    ws_link_send(run->link, buffer_span(outgoing));
    buffer_reset(outgoing);
    if (follower_state(run->follower) == FOLLOWER_DROP)
        ws_link_close(run->link);
}

static void on_opened(void *arg)
{
    struct run *run = arg;
    follower_opened(run->follower, clock_monotonic_ms());
    settle(run);
}

static void on_message(void *arg, struct span text)
{
    struct run *run = arg;
    follower_frame(run->follower, text, clock_monotonic_ms());
    settle(run);
}

static void on_closed(void *arg, unsigned code, struct span reason)
{
    struct run *run = arg;
    follower_closed(run->follower, code, reason, clock_monotonic_ms());
    settle(run);
}

/* The first line of the token file; what was read before, when it cannot be read now. A token is no
 * argument, because arguments are for everybody to see. */
static bool read_token(struct run *run)
{
    char line[TOKEN_ROOM];
    FILE *file = token_file ? fopen(token_file, "re") : NULL;
    if (!file)
        return !token_file;
    bool found = fgets(line, sizeof line, file);
    fclose(file);
    size_t size = found ? strcspn(line, " \t\r\n") : 0;
    if (size == 0 || size == sizeof line - 1 || !utf8_valid(span_of(line, size), NULL))
        return false;
    follower_set_token(run->follower, span_of(line, size));
    return true;
}

static int follow(struct run *run)
{
    if (!read_token(run))
        return cli_fail(&usage, CLI_BAD_DATA, "%s: no token can be read from its first line",
                        token_file);
    while (!interrupted && follower_state(run->follower) != FOLLOWER_OVER) {
        int64_t now_ms = clock_monotonic_ms();
        if (follower_state(run->follower) == FOLLOWER_WAITING &&
            follower_wait(run->follower, now_ms) == 0) {
            read_token(run);
            follower_connecting(run->follower, url);
            settle(run);
            ws_link_open(run->link);
        } else {
            follower_tick(run->follower, now_ms);
            settle(run);
        }
        if (!interrupted)
            ws_link_serve(run->link, follower_wait(run->follower, now_ms));
    }
    return interrupted ? CLI_OK : CLI_REFUSED;
}

static int subscribe(const struct follower_settings *settings)
{
    struct run run = {0};
    struct buffer why = {0};
    struct ws_link_handlers handlers = {&run, on_opened, on_message, on_closed};
    int status;
    run.link = ws_link_new(url, &handlers, &why);
    if (!run.link) {
        status = cli_misuse(&usage, "%.*s", SPAN_ARG(buffer_span(&why)));
    } else if (!(run.follower = follower_new(settings, clock_monotonic_ms()))) {
        status = cli_fail(&usage, CLI_FAILED, "out of memory");
    } else {
        catch_signals(run.link);
        status = follow(&run);
    }
    buffer_free(&why);
    ws_link_destroy(&run.link);
    follower_destroy(&run.follower);
    return status;
}

/* EPOCH:OFFSET; the text is cut in two. */
static bool read_since(char *text, struct follower_settings *settings)
{
    char *colon = strrchr(text, ':');
    if (!colon || colon == text || !utf8_valid(span_text(text), NULL)) {
        cli_misuse(&usage, "--since '%s': EPOCH:OFFSET is expected, as 'subscribed' prints it",
                   text);
        return false;
    }
    *colon = '\0';
    settings->since_epoch = text;
    return cli_number(&usage, "since", colon + 1, 0, (uint64_t)1 << 53, &settings->since_offset);
}

static int check_channels(char *const *channels, size_t count)
{
    struct address address, context = {.view = VIEW_LIVE};
    for (size_t i = 0; i < count; i++) {
        enum address_rule rule = address_parse(span_text(channels[i]), &context, &address);
        if (rule != ADDRESS_OK)
            return cli_misuse(&usage, "'%s': %s", channels[i], address_rule_text(rule));
        for (size_t j = 0; j < i; j++)
            if (strcmp(channels[i], channels[j]) == 0)
                return cli_misuse(&usage, "'%s' is there twice", channels[i]);
    }
    return CLI_OK;
}

/* Without --url: the one that the settings give, kept in *text. */
static int find_url(struct buffer *text)
{
    options_t *settings = cli_settings(&usage, config);
    if (!settings)
        return CLI_BAD_CONFIG;
    bool found = cli_client_url(settings, text);
    options_destroy(&settings);
    if (!found)
        return cli_misuse(&usage, "the settings leave the gateway's port open: give --url");
    url = (const char *)text->data;
    return CLI_OK;
}

int cmd_subscribe(int argc, char **argv)
{
    int operand, status;
    if (!cli_arguments(&usage, argc, argv, &operand, &status))
        return status;
    if (!cli_one_of(&usage, "url", url, "config", config))
        return CLI_USAGE;
    struct follower_settings settings = {
        .channels = argv + operand,
        .channel_count = (size_t)(argc - operand),
        .json = json,
        .seed = (uint32_t)clock_wall_ms() ^ (uint32_t)getpid() << 16,
    };
    if ((status = check_channels(settings.channels, settings.channel_count)) != CLI_OK)
        return status;
    if (since && settings.channel_count > 1)
        return cli_misuse(&usage, "--since is the position of one channel, '%s' is a second one",
                          settings.channels[1]);
    char *position = since ? strdup(since) : NULL;
    struct buffer default_url = {0};
    if (since && (!position || !read_since(position, &settings)))
        status = CLI_USAGE;
    else if (!url)
        status = find_url(&default_url);
    if (status == CLI_OK)
        status = subscribe(&settings);
    buffer_free(&default_url);
    free(position);
    return status;
}
