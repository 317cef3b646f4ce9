#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/arguments.h"
#include "cli/commands.h"
#include "cli/http_get.h"
#include "cli/settings.h"
#include "cli/status_table.h"
#include "cli/status_view.h"

#define URL_BYTES 2000

static const char *url, *config, *seconds;
static const char *timeout = "3000";
static bool json, watch;

static const struct cli_option options[] = {
    {"watch", "SECONDS", "show it again and again, every SECONDS (1), until Ctrl-C", &seconds,
     &watch},
    {"json", NULL, "print one JSON object, as the broker's /status gives it", NULL, &json},
    {"url", "URL", "the broker's admin listener, e.g. http://127.0.0.1:7480", &url, NULL},
    {"config", "FILE", "take the URL from these settings ([broker] admin_...)", &config, NULL},
    {"timeout", "MS", "how long to wait for the broker, in milliseconds (3000)", &timeout, NULL},
};

static const struct cli_usage usage = {
    .command = "status",
    .arguments = "",
    .help =
        "Shows the node, its gateways, their load and rates, and what was dropped, repaired and\n"
        "told to be lost. With --watch on a terminal: always in the same place; elsewhere one\n"
        "after the other.\n\n"
        "  millrace status --watch\n"
        "  millrace status --json | jq '.gateways[].figures.connections'\n\n"
        "Exit status: 0 all is well, or --watch ended by Ctrl-C; 1 the broker answers but\n"
        "something is wrong (a gateway is silent, unready, replaced or deaf; none is there; the\n"
        "store fails), the last lines say what; 69 no broker answers.\n",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .operands_max = 1,
};

static volatile sig_atomic_t interrupted;

static void on_signal(int signal)
{
    (void)signal;
    interrupted = 1;
}

static bool is_interrupted(void)
{
    return interrupted;
}

/* --- one look --- */

struct look {
    http_get_t *http;
    char page_url[URL_BYTES + sizeof "/status"];
    bool again; /* a screen was drawn before */
    int status; /* CLI_... of the last look */
};

static int tell_away(const struct look *self, const struct buffer *why)
{
    return cli_fail(&usage, CLI_UNAVAILABLE,
                    "no broker answers at %s: %.*s\n"
                    "Does it run, and is [broker] admin_port what it listens on? "
                    "Name another place with --url.",
                    self->page_url, SPAN_ARG(buffer_span(why)));
}

/* The page in `text`, as it is to be printed. */
static int render(const struct look *self, const struct buffer *page, struct buffer *text)
{
    struct buffer why = {0};
    enum status_view seen = json ? status_view_json(buffer_span(page), text, &why)
                                 : status_view_text(buffer_span(page), text, &why);
    int status = seen == STATUS_VIEW_FINE ? CLI_OK : CLI_REFUSED;
    if (seen == STATUS_VIEW_UNREADABLE)
        status = cli_fail(&usage, CLI_FAILED, "what answers at %s is no Millrace broker: %.*s",
                          self->page_url, SPAN_ARG(buffer_span(&why)));
    buffer_free(&why);
    return status;
}

static int fetch(const struct look *self, struct buffer *text)
{
    struct buffer page = {0}, why = {0};
    long code = 0;
    int status;
    if (!http_get_page(self->http, self->page_url, &code, &page, &why))
        status = is_interrupted() ? CLI_OK : tell_away(self, &why);
    else if (code != 200)
        status = cli_fail(&usage, CLI_FAILED,
                          "%s answers with HTTP status %ld: is it the admin listener of a broker? "
                          "Gateways have no /status.",
                          self->page_url, code);
    else
        status = render(self, &page, text);
    buffer_free(&page);
    buffer_free(&why);
    return status;
}

/* --- printing --- */

static bool print(const struct buffer *text)
{
    return !text->failed && fwrite(text->data, 1, text->size, stdout) == text->size &&
           fflush(stdout) == 0;
}

static bool print_screen(struct look *self, const struct buffer *text)
{
    struct winsize size = {0};
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0)
        size = (struct winsize){.ws_row = 24, .ws_col = 80};
    struct buffer screen = {0};
    status_screen(buffer_span(text), size.ws_col, size.ws_row, !self->again, &screen);
    bool printed = print(&screen);
    buffer_free(&screen);
    self->again = true;
    return printed;
}

/* False when nobody reads what is printed. */
static bool look(struct look *self)
{
    struct buffer text = {0};
    bool redraws = watch && !json && isatty(STDOUT_FILENO);
    self->status = fetch(self, &text);
    bool printed = true;
    if (text.size == 0)
        self->again = false; /* an error stands on the screen */
    else if (redraws)
        printed = print_screen(self, &text);
    else {
        if (watch && !json)
            buffer_put_byte(&text, '\n');
        printed = print(&text);
    }
    buffer_free(&text);
    return printed;
}

static int look_once(struct look *self)
{
    return look(self) ? self->status : cli_fail(&usage, CLI_FAILED, "the output was not written");
}

/* A broker that is away may come back: only Ctrl-C ends it. */
static int look_again(struct look *self, uint64_t interval)
{
    sigset_t ours, before;
    sigemptyset(&ours);
    sigaddset(&ours, SIGINT);
    sigaddset(&ours, SIGTERM);
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    while (!interrupted) {
        if (!look(self))
            return cli_fail(&usage, CLI_FAILED, "the output was not written");
        /* Between the question and the sleep no signal may slip through. */
        sigprocmask(SIG_BLOCK, &ours, &before);
        struct timespec rest = {.tv_sec = (time_t)interval};
        if (!interrupted)
            ppoll(NULL, 0, &rest, &before);
        sigprocmask(SIG_SETMASK, &before, NULL);
    }
    return CLI_OK;
}

static int run(const char *base, uint64_t timeout_ms, uint64_t interval)
{
    struct look self = {0};
    size_t size = strlen(base);
    while (size > 0 && base[size - 1] == '/')
        size--;
    snprintf(self.page_url, sizeof self.page_url, "%.*s/status", (int)size, base);
    self.http = http_get_new((long)timeout_ms, is_interrupted);
    if (!self.http)
        return cli_fail(&usage, CLI_FAILED, "out of memory");
    int status = watch ? look_again(&self, interval) : look_once(&self);
    http_get_destroy(&self.http);
    return status;
}

/* --- arguments --- */

static int check_url(void)
{
    struct buffer why = {0};
    int status = CLI_OK;
    if (strlen(url) > URL_BYTES)
        status = cli_misuse(&usage, "--url: more than %d bytes", URL_BYTES);
    else if (!http_get_check(url, &why))
        status = cli_misuse(&usage, "--url '%s': %.*s", url, SPAN_ARG(buffer_span(&why)));
    buffer_free(&why);
    return status;
}

/* Without --url: the one that the settings give, kept in *text. */
static int find_url(struct buffer *text)
{
    options_t *settings = cli_settings(&usage, config);
    if (!settings)
        return CLI_BAD_CONFIG;
    bool found = cli_admin_url(settings, text);
    options_destroy(&settings);
    if (!found)
        return cli_misuse(&usage, "the settings turn the broker's admin listener off "
                                  "([broker] admin_port = 0): give --url");
    url = (const char *)text->data;
    return CLI_OK;
}

int cmd_status(int argc, char **argv)
{
    int operand, status;
    uint64_t timeout_ms, interval = 1;
    if (!cli_arguments(&usage, argc, argv, &operand, &status))
        return status;
    if (operand < argc && (!watch || seconds))
        return cli_misuse(&usage, "'%s' is one argument too many", argv[operand]);
    if (operand < argc)
        seconds = argv[operand];
    if (!cli_one_of(&usage, "url", url, "config", config) ||
        !cli_number(&usage, "timeout", timeout, 1, 600000, &timeout_ms) ||
        (seconds && !cli_number(&usage, "watch", seconds, 1, 3600, &interval)))
        return CLI_USAGE;
    struct buffer default_url = {0};
    status = url ? check_url() : find_url(&default_url);
    if (status == CLI_OK)
        status = run(url, timeout_ms, interval);
    buffer_free(&default_url);
    return status;
}
