/* subscribers - many clients of one channel in one thread, cheap enough to keep out of the way of
 * the server that is measured.
 *
 * Opens the connections, subscribes on each, says {"ready": true, ...} and from then on checks
 * every push: offsets of a connection go up by exactly one from the position in the subscribe
 * reply. Ends when everything expected has arrived, when nothing has arrived for --idle-ms, after
 * --seconds, or when standard input ends; then prints what it saw as one JSON object.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/arguments.h"
#include "bench/histogram.h"
#include "bench/message.h"
#include "bench/offsets.h"
#include "bench/pace.h"
#include "bench/tokens.h"
#include "bench/ws_client.h"

#define EVENTS          512
#define READ_BYTES      131072
#define IN_FLIGHT       128 /* handshakes at once: fewer than any listen backlog */
#define TEXT_MAX        (TOKENS_LINE_MAX + 256)
#define PER_SOURCE      5000 /* connections from each of 127.0.0.2, 127.0.0.3 ... */
#define CONNECT_SECONDS 60

enum state { UPGRADING, SUBSCRIBING, SUBSCRIBED, CLOSED };

struct connection {
    int fd;
    enum state state;
    struct offsets offsets; /* of the pushes */
    uint8_t *rest;          /* the beginning of a frame whose end has not arrived yet */
    size_t rest_size;
};

struct load {
    uint64_t port, connections, messages, nap_us, idle_ms, seconds;
    struct tokens tokens;
    int epoll;
    struct connection *all;
    uint8_t *input; /* rest of the last read + READ_BYTES */
    size_t input_size;

    uint64_t in_flight, ready, closed;
    uint64_t delivered, unexpected;
    struct offset_faults faults;
    uint64_t begun, first_arrival, last_arrival;
    bool input_ended;
    struct histogram latency;
};

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void close_connection(struct load *load, struct connection *connection)
{
    if (connection->state == UPGRADING || connection->state == SUBSCRIBING)
        load->in_flight--;
    close(connection->fd);
    free(connection->rest);
    connection->rest = NULL;
    connection->rest_size = 0;
    connection->state = CLOSED;
    load->closed++;
}

static void send_text(struct connection *connection, const char *text)
{
    static uint8_t frame[WS_CLIENT_HEAD_MAX + TEXT_MAX];
    size_t size = strlen(text), head = ws_client_head(frame, WS_CLIENT_TEXT, size);
    memcpy(frame + head, text, size);
    size += head;
    if (send(connection->fd, frame, size, MSG_NOSIGNAL) != (ssize_t)size)
        fail("send");
}

static void on_push(struct load *load, struct connection *connection, uint64_t ts, uint64_t offset,
                    uint64_t now)
{
    load->delivered++;
    histogram_add(&load->latency, now > ts ? now - ts : 0);
    offsets_take(&connection->offsets, offset, &load->faults);
}

/* The subscribe reply says after which offset the pushes begin; none means 0. */
static void on_subscribed(struct load *load, struct connection *connection, const char *text)
{
    const char *offset = strstr(text, "\"offset\":");
    offsets_begin(&connection->offsets,
                  offset ? strtoull(offset + strlen("\"offset\":"), NULL, 10) : 0);
    connection->state = SUBSCRIBED;
    load->in_flight--;
    load->ready++;
}

/* Everything but a push: replies and pings. */
static void on_rare_text(struct load *load, struct connection *connection, const uint8_t *bytes,
                         size_t size)
{
    char text[1024];
    snprintf(text, sizeof text, "%.*s", (int)(size < sizeof text ? size : sizeof text - 1),
             (const char *)bytes);
    bool failed = strstr(text, "\"error\"") || strncmp(text, "{\"push\"", 7) == 0;
    if (strcmp(text, "{}") == 0) {
        send_text(connection, "{}");
    } else if (failed || connection->state == SUBSCRIBED) {
        if (load->unexpected++ == 0)
            fprintf(stderr, "subscribers: unexpected: %s\n", text);
    } else if (strstr(text, "\"id\":2")) {
        on_subscribed(load, connection, text);
    }
}

/* One frame, if it is whole. Returns its size, 0 when more bytes are needed. */
static size_t take_frame(struct load *load, struct connection *connection, const uint8_t *bytes,
                         size_t size, uint64_t now)
{
    struct ws_client_frame frame;
    size_t taken = ws_client_take(bytes, size, &frame);
    if (taken == 0)
        return 0;

    uint64_t ts, offset;
    if (frame.kind == WS_CLIENT_TEXT && message_read_push(frame.bytes, frame.size, &ts, &offset))
        on_push(load, connection, ts, offset, now);
    else if (frame.kind == WS_CLIENT_TEXT)
        on_rare_text(load, connection, frame.bytes, frame.size);
    else
        close_connection(load, connection);
    return taken;
}

/* Returns the bytes of the response head, 0 when it is not whole yet. */
static size_t take_upgrade(struct load *load, struct connection *connection, const uint8_t *bytes,
                           size_t size)
{
    const uint8_t *end = memmem(bytes, size, "\r\n\r\n", 4);
    if (!end)
        return 0;
    if (memcmp(bytes, "HTTP/1.1 101", 12) != 0) {
        fprintf(stderr, "subscribers: no upgrade: %.*s\n", (int)(end - bytes), (const char *)bytes);
        close_connection(load, connection);
        return 0;
    }
    connection->state = SUBSCRIBING;
    static char text[TEXT_MAX];
    const char *token = tokens_of(&load->tokens, (size_t)(connection - load->all));
    snprintf(text, sizeof text,
             "{\"connect\":{%s%s%s},\"id\":1}\n"
             "{\"subscribe\":{\"channel\":\"" MESSAGE_CHANNEL "\",\"recoverable\":true},\"id\":2}",
             token ? "\"token\":\"" : "", token ? token : "", token ? "\"" : "");
    send_text(connection, text);
    return (size_t)(end + 4 - bytes);
}

static void keep_rest(struct connection *connection, const uint8_t *bytes, size_t size)
{
    if (size > connection->rest_size) {
        uint8_t *rest = realloc(connection->rest, size);
        if (!rest)
            fail("memory");
        connection->rest = rest;
    }
    if (size > 0)
        memmove(connection->rest, bytes, size);
    connection->rest_size = size;
}

static void take_bytes(struct load *load, struct connection *connection, const uint8_t *bytes,
                       size_t size, uint64_t now)
{
    size_t used = 0, step;
    do {
        if (connection->state == UPGRADING)
            step = take_upgrade(load, connection, bytes + used, size - used);
        else
            step = take_frame(load, connection, bytes + used, size - used, now);
        used += step;
    } while (step > 0 && connection->state != CLOSED);
    if (connection->state != CLOSED)
        keep_rest(connection, bytes + used, size - used);
}

/* Edge-triggered, so that a read which did not fill the buffer need not be followed by another
 * one that only hears EAGAIN. */
static void read_connection(struct load *load, struct connection *connection)
{
    ssize_t size;
    do {
        size_t before = connection->rest_size;
        if (before > READ_BYTES) {
            close_connection(load, connection);
            return;
        }
        if (before > 0)
            memcpy(load->input, connection->rest, before);
        size = recv(connection->fd, load->input + before, READ_BYTES, 0);
        if (size == 0 || (size < 0 && errno != EAGAIN))
            close_connection(load, connection);
        if (size <= 0)
            return;
        uint64_t now = now_ns(), delivered = load->delivered;
        take_bytes(load, connection, load->input, before + (size_t)size, now);
        if (load->delivered != delivered)
            load->last_arrival = now;
        if (delivered == 0)
            load->first_arrival = now;
    } while (size == READ_BYTES && connection->state != CLOSED);
}

static void open_connection(struct load *load, struct connection *connection, uint64_t index)
{
    int on = 1;
    struct sockaddr_in source = {.sin_family = AF_INET};
    struct sockaddr_in target = {.sin_family = AF_INET,
                                 .sin_port = htons((uint16_t)load->port),
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    char request[WS_CLIENT_REQUEST_MAX];
    ssize_t size = (ssize_t)ws_client_request(request, (unsigned)load->port);

    source.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + (uint32_t)(index / PER_SOURCE));
    connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection->fd < 0)
        fail("socket");
    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(connection->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    if (bind(connection->fd, (struct sockaddr *)&source, sizeof source) != 0 ||
        connect(connection->fd, (struct sockaddr *)&target, sizeof target) != 0 ||
        send(connection->fd, request, (size_t)size, MSG_NOSIGNAL) != size)
        fail("connect");
    fcntl(connection->fd, F_SETFL, O_NONBLOCK);
    connection->state = UPGRADING;
    load->in_flight++;

    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.ptr = connection};
    if (epoll_ctl(load->epoll, EPOLL_CTL_ADD, connection->fd, &event) != 0)
        fail("epoll_ctl");
}

/* One round of events. False when it was a full one: there is more. */
static bool turn(struct load *load)
{
    struct epoll_event events[EVENTS];
    int count = epoll_wait(load->epoll, events, EVENTS, 100);
    for (int i = 0; i < count; i++) {
        struct connection *connection = events[i].data.ptr;
        if (!connection)
            load->input_ended = read(STDIN_FILENO, load->input, READ_BYTES) <= 0;
        else if (connection->state != CLOSED)
            read_connection(load, connection);
    }
    return count < EVENTS;
}

static void connect_all(struct load *load)
{
    uint64_t begun = now_ns();
    for (uint64_t i = 0; i < load->connections;) {
        while (load->in_flight < IN_FLIGHT && i < load->connections) {
            open_connection(load, &load->all[i], i);
            i++;
        }
        turn(load);
    }
    while (load->in_flight > 0 && now_ns() < begun + CONNECT_SECONDS * UINT64_C(1000000000))
        turn(load);
    printf("{\"ready\": %s, \"subscribed\": %llu, \"seconds\": %.3f}\n",
           load->ready == load->connections ? "true" : "false", (unsigned long long)load->ready,
           (double)(now_ns() - begun) / 1e9);
    fflush(stdout);
}

static bool is_over(const struct load *load)
{
    uint64_t expected = load->connections * load->messages;
    uint64_t now = now_ns();
    if (load->input_ended || load->closed == load->connections)
        return true;
    if (now > load->begun + load->seconds * 1000000000u)
        return true;
    if (expected > 0 && load->delivered - load->faults.duplicated + load->faults.lost >= expected)
        return true;
    return load->delivered > 0 && now > load->last_arrival + load->idle_ms * 1000000u;
}

/* A receiver that keeps up falls asleep after each message, and on one machine the server's send()
 * then pays for waking it: a cost that no client on another machine causes, and that changes with
 * how busy the receiver is. So it stays away for a moment after each round: what arrives meanwhile
 * wakes nobody and is read in one go. A lone message is not delayed, the nap follows it. */
static void receive_all(struct load *load)
{
    load->begun = now_ns();
    prctl(PR_SET_TIMERSLACK, 1000);
    while (!is_over(load))
        if (turn(load) && load->nap_us > 0)
            sleep_us(load->nap_us);
}

static void print_result(const struct load *load, double cpu)
{
    uint64_t expected = load->connections * load->messages;
    uint64_t settled = load->delivered - load->faults.duplicated + load->faults.lost;
    double seconds = load->delivered ? (double)(load->last_arrival - load->first_arrival) / 1e9 : 0;
    printf(
        "{\"delivered\": %llu, \"lost\": %llu, \"duplicated\": %llu, \"reordered\": %llu, "
        "\"missing\": %llu, \"closed\": %llu, \"unexpected\": %llu, \"seconds\": %.4f, "
        "\"p50_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f, \"generator_cpu_seconds\": %.3f}\n",
        (unsigned long long)load->delivered, (unsigned long long)load->faults.lost,
        (unsigned long long)load->faults.duplicated, (unsigned long long)load->faults.reordered,
        (unsigned long long)(expected > settled ? expected - settled : 0),
        (unsigned long long)load->closed, (unsigned long long)load->unexpected, seconds,
        (double)histogram_quantile(&load->latency, 500) / 1e3,
        (double)histogram_quantile(&load->latency, 990) / 1e3, (double)load->latency.max / 1e3,
        cpu);
}

static double cpu_seconds(void)
{
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void prepare(struct load *load)
{
    load->epoll = epoll_create1(EPOLL_CLOEXEC);
    load->all = calloc(load->connections, sizeof *load->all);
    load->input = malloc(2 * READ_BYTES);
    if (load->epoll < 0 || !load->all || !load->input)
        fail("subscribers");
    /* A file or /dev/null cannot be watched and does not end us. */
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(load->epoll, EPOLL_CTL_ADD, STDIN_FILENO, &event);
}

int main(int argc, char **argv)
{
    const char *tokens = "";
    static struct load load = {.port = 8000, .connections = 1, .idle_ms = 3000, .seconds = 60};
    const struct argument table[] = {
        {"port", &load.port, NULL, "port on 127.0.0.1"},
        {"connections", &load.connections, NULL, "clients"},
        {"messages", &load.messages, NULL, "pushes that each is to get; 0: stay until the end"},
        {"nap-us", &load.nap_us, NULL, "stay away from the sockets after each round"},
        {"idle-ms", &load.idle_ms, NULL, "end when nothing came for so long"},
        {"seconds", &load.seconds, NULL, "end in any case"},
        {"tokens", NULL, &tokens, "file with a token a line: client n takes line n, around"},
    };
    arguments_read(argc, argv, "clients of one channel that check what they get", table,
                   sizeof table / sizeof *table);
    load.tokens = tokens_read(tokens);
    prepare(&load);
    connect_all(&load);
    double cpu = cpu_seconds();
    receive_all(&load);
    print_result(&load, cpu_seconds() - cpu);
    return 0;
}
