/* herd - thousands of clients that follow the protocol as the stock SDK does, reconnect as it does,
 * and check all that they get. Built to see gateways and brokers die under them.
 *
 * Takes commands from standard input, one a line: `report`, `positions`, `reset` (counts and times
 * begin anew, faults stay), `quit` (so does the end of the input). Answers each but the last with
 * one JSON object a line; says {"event": ...} when the last client that was missing is connected,
 * and when the last one has all its subscriptions.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/arguments.h"
#include "bench/herd.h"
#include "bench/herd_record.h"
#include "bench/pace.h"
#include "bench/tokens.h"

#define EVENTS           512
#define OTHER_FDS        16
#define COMMANDS_MAX     512
#define OUTPUT_PER_CLAIM 160 /* bytes of a subscribe command, without its channel */

struct watch {
    bool was_open, was_whole; /* all of them */
    bool is_over;
    char commands[COMMANDS_MAX]; /* lines, the last one unfinished */
    size_t commands_size;
};

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void refuse(const char *what, const char *value)
{
    fprintf(stderr, "herd: %s: '%s'\n", what, value);
    exit(2);
}

static void *allocate(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    if (!memory)
        die("herd");
    return memory;
}

static uint64_t now_ms(void)
{
    return now_ns() / 1000000;
}

void herd_note(struct herd *self, enum herd_event event)
{
    self->counts.events[event]++;
    self->counts.last_ms[event] = self->now_ms;
}

/* --- what it says --- */

#define ULL(number) ((unsigned long long)(number))

static const char *const event_names[HERD_EVENTS] = {
    [HERD_DISCONNECT] = "disconnected",
    [HERD_CONNECT] = "connected",
    [HERD_FAILED] = "failed",
    [HERD_FIRST] = "first",
    [HERD_RECOVERED] = "recovered",
    [HERD_UNRECOVERED] = "unrecovered",
    [HERD_TOLD] = "told",
    [HERD_REVOKED] = "revoked",
    [HERD_REFUSED_FOR_NOW] = "refused_for_now",
    [HERD_UNANSWERED] = "unanswered",
    [HERD_SILENT] = "silent",
};

/* "last_ms" is the time from the reset to when it happened last. */
static void print_events(const struct herd_counts *counts)
{
    for (unsigned i = 0; i < HERD_EVENTS; i++)
        printf("\"%s\":%llu,", event_names[i], ULL(counts->events[i]));
    printf("\"last_ms\":{");
    for (unsigned i = 0; i < HERD_EVENTS; i++)
        printf("%s\"%s\":%llu", i ? "," : "", event_names[i],
               ULL(counts->events[i] ? counts->last_ms[i] - counts->begun_ms : 0));
    printf("},");
}

/* Those who have not come back yet count in "now" and "longest_ms" only. */
static void print_away(const struct herd *self)
{
    uint64_t now = 0, longest = 0;
    for (uint64_t i = 0; i < self->connections; i++) {
        uint64_t since = self->clients[i].away_ms;
        now += since != 0;
        if (since != 0 && self->now_ms - since > longest)
            longest = self->now_ms - since;
    }
    const struct histogram *away = &self->counts.away;
    printf("\"away\":{\"now\":%llu,\"back\":%llu,\"p50_ms\":%llu,\"p99_ms\":%llu,\"max_ms\":%llu,"
           "\"longest_ms\":%llu},",
           ULL(now), ULL(away->total), ULL(histogram_quantile(away, 500)),
           ULL(histogram_quantile(away, 990)), ULL(away->max),
           ULL(longest > away->max ? longest : away->max));
}

static void print_replies(const struct histogram *replies)
{
    printf("\"replies\":{\"p50_ms\":%llu,\"p99_ms\":%llu,\"max_ms\":%llu},",
           ULL(histogram_quantile(replies, 500)), ULL(histogram_quantile(replies, 990)),
           ULL(replies->max));
}

static void print_faults(const struct herd_faults *faults)
{
    const struct witness_faults *seen = &faults->seen;
    printf("\"faults\":{\"lost\":%llu,\"duplicated\":%llu,\"reordered\":%llu,\"repeated\":%llu,"
           "\"foreign\":%llu,\"replies\":%llu,\"strays\":%llu,\"malformed\":%llu,\"refused\":%llu,"
           "\"ended\":%llu}",
           ULL(seen->offsets.lost), ULL(seen->offsets.duplicated), ULL(seen->offsets.reordered),
           ULL(seen->repeated), ULL(seen->foreign), ULL(seen->replies), ULL(faults->strays),
           ULL(faults->malformed), ULL(faults->refused), ULL(faults->ended));
}

static void report(const struct herd *self)
{
    printf("{\"connections\":%llu,\"open\":%llu,\"whole\":%llu,\"subscriptions\":%llu,"
           "\"live\":%llu,\"ms\":%llu,\"publications\":%llu,",
           ULL(self->connections), ULL(self->open), ULL(self->whole),
           ULL(self->connections * self->subscriptions), ULL(self->live),
           ULL(self->now_ms - self->counts.begun_ms), ULL(self->counts.publications));
    print_events(&self->counts);
    print_away(self);
    print_replies(&self->counts.replies);
    print_faults(&self->faults);
    printf("}\n");
}

struct place {
    uint64_t live, lowest, highest;
    const char *epoch; /* of the first one */
    bool is_mixed;
};

static void add_place(struct place *place, const struct herd_subscription *subscription)
{
    const struct witness *witness = &subscription->witness;
    uint64_t position = witness_position(witness);
    if (subscription->state != HERD_SUBSCRIPTION_LIVE)
        return;
    if (place->live++ == 0) {
        place->lowest = place->highest = position;
        place->epoch = witness->epoch;
        return;
    }
    place->lowest = position < place->lowest ? position : place->lowest;
    place->highest = position > place->highest ? position : place->highest;
    place->is_mixed |= strcmp(place->epoch, witness->epoch) != 0;
}

/* Where the live subscriptions of each channel are: all at one place when nothing is under way. */
static void print_positions(const struct herd *self)
{
    struct place *places = allocate(self->channel_count, sizeof *places);
    for (uint64_t i = 0; i < self->connections; i++)
        for (uint64_t j = 0; j < self->subscriptions; j++) {
            const struct herd_subscription *subscription = &self->clients[i].subscriptions[j];
            add_place(&places[subscription->channel - self->channels], subscription);
        }
    printf("{\"positions\":{");
    for (uint64_t i = 0; i < self->channel_count; i++)
        printf("%s\"%s\":{\"live\":%llu,\"epoch\":\"%s\",\"mixed\":%s,\"lowest\":%llu,"
               "\"highest\":%llu}",
               i ? "," : "", self->channels[i].name, ULL(places[i].live),
               places[i].epoch ? places[i].epoch : "", places[i].is_mixed ? "true" : "false",
               ULL(places[i].lowest), ULL(places[i].highest));
    printf("}}\n");
    free(places);
}

static void reset(struct herd *self)
{
    self->counts = (struct herd_counts){.begun_ms = self->now_ms};
}

static void say_event(const struct herd *self, bool is_now, bool *was, const char *event)
{
    if (is_now && !*was)
        printf("{\"event\":\"%s\",\"connections\":%llu,\"ms\":%llu}\n", event,
               ULL(self->connections), ULL(self->now_ms - self->counts.begun_ms));
    *was = is_now;
}

/* --- what it is told --- */

static void obey(struct herd *self, struct watch *watch, const char *command)
{
    herd_record_flush(self);
    if (strcmp(command, "report") == 0)
        report(self);
    else if (strcmp(command, "positions") == 0)
        print_positions(self);
    else if (strcmp(command, "quit") == 0)
        watch->is_over = true;
    else if (strcmp(command, "reset") == 0) {
        reset(self);
        printf("{\"reset\":true}\n");
    } else
        printf("{\"error\":\"no such command\"}\n");
}

static void read_commands(struct herd *self, struct watch *watch)
{
    size_t room = sizeof watch->commands - watch->commands_size;
    ssize_t size = room ? read(STDIN_FILENO, watch->commands + watch->commands_size, room) : 0;
    if (size <= 0) {
        watch->is_over = true;
        return;
    }
    watch->commands_size += (size_t)size;
    char *at = watch->commands, *end = at + watch->commands_size, *newline;
    while (at < end && (newline = memchr(at, '\n', (size_t)(end - at)))) {
        *newline = '\0';
        obey(self, watch, at);
        at = newline + 1;
    }
    watch->commands_size = (size_t)(end - at);
    memmove(watch->commands, at, watch->commands_size);
}

/* --- the loop --- */

/* Fewer at once than any listen backlog holds. */
static void begin_some(struct herd *self)
{
    while (self->begun < self->connections && self->starting < self->in_flight)
        herd_client_begin(self, &self->clients[self->begun++]);
}

static void run(struct herd *self)
{
    struct epoll_event events[EVENTS];
    struct watch watch = {0};
    while (!watch.is_over) {
        int count = epoll_wait(self->epoll, events, EVENTS, WHEEL_TICK_MS);
        self->now_ms = now_ms();
        for (int i = 0; i < count; i++) {
            struct herd_client *client = events[i].data.ptr;
            if (client)
                herd_client_io(self, client, events[i].events);
            else
                read_commands(self, &watch);
        }
        struct timer *timer;
        while ((timer = wheel_next(&self->wheel, self->now_ms)))
            herd_client_due(self, (struct herd_client *)timer); /* its first member */
        begin_some(self);
        say_event(self, self->open == self->connections, &watch.was_open, "connected");
        say_event(self, self->whole == self->connections, &watch.was_whole, "subscribed");
        fflush(stdout);
    }
}

/* Resets the connections: thousands that were closed properly would keep their ports for a minute,
 * and slow down the next herd. */
static void leave(const struct herd *self)
{
    const struct linger at_once = {.l_onoff = 1};
    for (uint64_t i = 0; i < self->connections; i++)
        if (self->clients[i].fd >= 0)
            setsockopt(self->clients[i].fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

/* --- the start --- */

/* A.B.C.D:PORT,... */
static void read_targets(struct herd *self, const char *text)
{
    char *copy = strdup(text), *rest = NULL;
    if (!copy)
        die("herd");
    for (char *word = strtok_r(copy, ",", &rest); word; word = strtok_r(NULL, ",", &rest)) {
        struct sockaddr_in *target = &self->targets[self->target_count];
        char *colon = strchr(word, ':');
        unsigned long port = colon ? strtoul(colon + 1, NULL, 10) : 0;
        if (self->target_count == HERD_TARGETS_MAX)
            refuse("--targets: too many", text);
        if (colon)
            *colon = '\0';
        if (port < 1 || port > 65535 || inet_pton(AF_INET, word, &target->sin_addr) != 1)
            refuse("--targets: not A.B.C.D:PORT,...", text);
        target->sin_family = AF_INET;
        target->sin_port = htons((uint16_t)port);
        self->target_count++;
    }
    if (self->target_count == 0)
        refuse("--targets: not A.B.C.D:PORT,...", text);
    free(copy);
}

/* They are written into JSON as they are. */
static void require_plain(const char *what, const char *text)
{
    for (const char *at = text; *at; at++)
        if (*at < ' ' || *at > '~' || *at == '"' || *at == '\\')
            refuse(what, text);
}

static void name_channels(struct herd *self, const char *prefix)
{
    require_plain("--prefix: a character that is none of a plain channel", prefix);
    self->channels = allocate(self->channel_count, sizeof *self->channels);
    for (uint64_t i = 0; i < self->channel_count; i++) {
        struct herd_channel *channel = &self->channels[i];
        int size = asprintf(&channel->name, "%s%llu", prefix, ULL(i));
        if (size < 0)
            die("herd");
        channel->text = (struct herd_text){channel->name, (size_t)size};
    }
}

/* Client i takes the channels from i * subscriptions on: each has as many clients as any other. */
static void make_clients(struct herd *self, const struct tokens *tokens)
{
    self->clients = allocate(self->connections, sizeof *self->clients);
    for (uint64_t i = 0; i < self->connections; i++) {
        struct herd_client *client = &self->clients[i];
        client->fd = -1;
        client->number = (uint32_t)i;
        client->token = tokens_of(tokens, i);
        client->subscriptions = allocate(self->subscriptions + 1, sizeof *client->subscriptions);
        for (uint64_t j = 0; j < self->subscriptions; j++)
            client->subscriptions[j].channel =
                &self->channels[(i * self->subscriptions + j) % self->channel_count];
    }
}

static void prepare(struct herd *self, const char *prefix, const char *tokens_path)
{
    struct tokens tokens = tokens_read(tokens_path);
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0 || self->connections + OTHER_FDS > files.rlim_cur)
        refuse("--connections: more than this process may have descriptors", "ulimit -n");
    if (self->subscriptions > self->channel_count)
        refuse("--subscriptions: more than there are channels", "--channels");
    if (self->subscriptions * (OUTPUT_PER_CLAIM + strlen(prefix)) > HERD_OUTPUT_BYTES / 2)
        refuse("--subscriptions: too many for one frame", prefix);
    name_channels(self, prefix);
    make_clients(self, &tokens);
    free(tokens.lines);
    self->input = allocate(1, HERD_INPUT_BYTES);
    self->output = allocate(1, HERD_OUTPUT_BYTES);
    self->now_ms = now_ms();
    wheel_begin(&self->wheel, self->now_ms);
    reset(self);
    self->epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (self->epoll < 0 || epoll_ctl(self->epoll, EPOLL_CTL_ADD, STDIN_FILENO, &event) != 0)
        die("standard input must be a pipe or a terminal");
}

int main(int argc, char **argv)
{
    static struct herd herd = {
        .connections = 1, .subscriptions = 1, .channel_count = 1, .in_flight = 128};
    const char *targets = "127.0.0.1:8000", *prefix = "herd:", *tokens = "", *record = "";
    const struct argument table[] = {
        {"targets", NULL, &targets, "gateways; a client that loses one goes to the next"},
        {"connections", &herd.connections, NULL, "clients"},
        {"subscriptions", &herd.subscriptions, NULL, "channels that each client subscribes to"},
        {"channels", &herd.channel_count, NULL, "channels in all"},
        {"prefix", NULL, &prefix, "channel n is this and the number n, from 0"},
        {"tokens", NULL, &tokens, "file with a token a line: client n takes line n, around"},
        {"in-flight", &herd.in_flight, NULL, "first connects at once"},
        {"record", NULL, &record, "file that gets a line for each delivery and signal"},
    };
    arguments_read(argc, argv, "clients that behave as the SDK does and check what they get", table,
                   sizeof table / sizeof *table);
    if (herd.connections < 1 || herd.channel_count < 1 || herd.in_flight < 1)
        refuse("at least 1", "--connections, --channels, --in-flight");
    read_targets(&herd, targets);
    herd_record_open(&herd, record);
    prepare(&herd, prefix, tokens);
    run(&herd);
    herd_record_flush(&herd);
    leave(&herd);
    return 0;
}
