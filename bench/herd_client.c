/* The life of one client: attempt, upgrade, frames, the delay before the next attempt. */
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/backoff.h"
#include "bench/herd.h"
#include "bench/herd_record.h"
#include "bench/ws_client.h"

#define DIAL_MS    5000 /* what the SDK allows for the socket to open, and for a reply */
#define REPLY_MS   5000
#define PER_SOURCE 5000 /* connections from each of 127.0.0.2, 127.0.0.3 ... */

static void die(const char *what)
{
    perror(what);
    exit(1);
}

uint64_t herd_backoff_ms(unsigned step)
{
    static uint64_t state;
    while (state == 0)
        if (getrandom(&state, sizeof state, 0) != (ssize_t)sizeof state)
            die("getrandom");
    state ^= state << 13; /* xorshift64 */
    state ^= state >> 7;
    state ^= state << 17;
    return backoff_ms(step, state >> 11);
}

void herd_client_wake(struct herd *self, struct herd_client *client, uint64_t due_ms)
{
    if (client->timer.due_ms == 0 || due_ms < client->timer.due_ms)
        wheel_set(&self->wheel, &client->timer, due_ms);
}

static void enter(struct herd *self, struct herd_client *client, enum herd_client_state state)
{
    client->state = (uint8_t)state;
    client->since_ms = self->now_ms;
}

/* --- the end of a connection --- */

static void hang_up(struct herd *self, struct herd_client *client)
{
    if (client->fd >= 0)
        close(client->fd);
    client->fd = -1;
    free(client->rest);
    client->rest = NULL;
    client->rest_size = 0;
    wheel_clear(&self->wheel, &client->timer);
    if (client->is_starting)
        self->starting--;
    client->is_starting = false;
    if (client->state == HERD_CLIENT_OPEN) {
        self->open--;
        herd_note(self, HERD_DISCONNECT);
        herd_record_signal(self, client, NULL, "disconnected", client->close_code);
        if (client->away_ms == 0)
            client->away_ms = self->now_ms;
    } else {
        herd_note(self, HERD_FAILED);
        herd_record_signal(self, client, NULL, "failed", client->close_code);
    }
    client->close_code = 0;
    herd_session_over(self, client);
}

/* Towards the next target, as a load balancer would send it. */
void herd_client_lost(struct herd *self, struct herd_client *client)
{
    hang_up(self, client);
    enter(self, client, HERD_CLIENT_AWAY);
    client->target = (uint8_t)((client->target + 1) % self->target_count);
    herd_client_wake(self, client, self->now_ms + herd_backoff_ms(client->attempts));
    if (client->attempts < BACKOFF_STEPS_MAX)
        client->attempts++;
}

void herd_client_end(struct herd *self, struct herd_client *client)
{
    hang_up(self, client);
    enter(self, client, HERD_CLIENT_ENDED);
    self->faults.ended++;
    herd_record_signal(self, client, NULL, "ended", 0);
}

/* --- an attempt --- */

static int new_socket(const struct herd_client *client)
{
    int on = 1;
    struct sockaddr_in source = {.sin_family = AF_INET};
    source.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + client->number / PER_SOURCE);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        die("socket");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&source, sizeof source) != 0)
        die("bind");
    return fd;
}

static void attempt(struct herd *self, struct herd_client *client)
{
    const struct sockaddr_in *target = &self->targets[client->target];
    enter(self, client, HERD_CLIENT_CONNECTING);
    client->fd = new_socket(client);
    if (connect(client->fd, (const struct sockaddr *)target, sizeof *target) != 0 &&
        errno != EINPROGRESS) {
        herd_client_lost(self, client);
        return;
    }
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                .data.ptr = client};
    if (epoll_ctl(self->epoll, EPOLL_CTL_ADD, client->fd, &event) != 0)
        die("epoll_ctl");
    herd_client_wake(self, client, self->now_ms + DIAL_MS);
}

void herd_client_begin(struct herd *self, struct herd_client *client)
{
    client->is_starting = true;
    self->starting++;
    attempt(self, client);
}

/* A client sends little, and one at a time: a socket that does not take it is as good as dead. */
static bool send_all(struct herd_client *client, const void *bytes, size_t size)
{
    return send(client->fd, bytes, size, MSG_NOSIGNAL) == (ssize_t)size;
}

void herd_client_send(struct herd *self, struct herd_client *client, uint8_t kind, const char *text,
                      size_t size)
{
    static uint8_t frame[WS_CLIENT_HEAD_MAX + HERD_OUTPUT_BYTES];
    size_t head = ws_client_head(frame, kind, size);
    memcpy(frame + head, text, size);
    if (!send_all(client, frame, head + size))
        herd_client_lost(self, client);
}

static void request_upgrade(struct herd *self, struct herd_client *client)
{
    char request[WS_CLIENT_REQUEST_MAX];
    int error = 0;
    socklen_t length = sizeof error;
    getsockopt(client->fd, SOL_SOCKET, SO_ERROR, &error, &length);
    size_t size = ws_client_request(request, ntohs(self->targets[client->target].sin_port));
    if (error == 0 && send_all(client, request, size))
        enter(self, client, HERD_CLIENT_UPGRADING);
    else
        herd_client_lost(self, client);
}

/* --- what comes --- */

/* Any answer but 101 is one more failure: the SDK does not look at it. */
static size_t take_upgrade(struct herd *self, struct herd_client *client, const uint8_t *bytes,
                           size_t size)
{
    const uint8_t *end = memmem(bytes, size, "\r\n\r\n", 4);
    if (!end)
        return 0;
    if (memcmp(bytes, "HTTP/1.1 101", 12) != 0) {
        herd_client_lost(self, client);
        return 0;
    }
    enter(self, client, HERD_CLIENT_GREETING);
    wheel_clear(&self->wheel, &client->timer);
    herd_client_wake(self, client, self->now_ms + REPLY_MS);
    herd_session_begin(self, client);
    return (size_t)(end + 4 - bytes);
}

/* From 3500 and from 4500 on it is final, if it gives a reason; so is 1009. */
static void take_close(struct herd *self, struct herd_client *client,
                       const struct ws_client_frame *frame)
{
    unsigned code = frame->size < 2 ? 1005 : (unsigned)(frame->bytes[0] << 8 | frame->bytes[1]);
    client->close_code = (uint16_t)code;
    bool is_final = (code >= 3500 && code < 4000) || (code >= 4500 && code < 5000);
    if ((is_final && frame->size > 2) || code == 1009) {
        if (self->faults.ended == 0)
            fprintf(stderr, "herd: closed with %u %.*s\n", code,
                    frame->size > 2 ? (int)frame->size - 2 : 0, (const char *)frame->bytes + 2);
        herd_client_end(self, client);
    } else {
        herd_client_lost(self, client);
    }
}

static size_t take_frame(struct herd *self, struct herd_client *client, const uint8_t *bytes,
                         size_t size)
{
    struct ws_client_frame frame;
    size_t taken = ws_client_take(bytes, size, &frame);
    if (taken == 0)
        return 0;
    switch (frame.kind) {
    case WS_CLIENT_TEXT:
        herd_session_text(self, client, (const char *)frame.bytes, frame.size);
        break;
    case WS_CLIENT_CLOSE:
        take_close(self, client, &frame);
        break;
    default: /* a gateway has no use for any other */
        self->faults.malformed++;
        herd_client_lost(self, client);
    }
    return taken;
}

static void keep_rest(struct herd_client *client, const uint8_t *bytes, size_t size)
{
    if (size > client->rest_size || size == 0) {
        uint8_t *rest = size > 0 ? realloc(client->rest, size) : NULL;
        if (size > 0 && !rest)
            die("memory");
        if (size == 0)
            free(client->rest);
        client->rest = rest;
    }
    if (size > 0)
        memmove(client->rest, bytes, size);
    client->rest_size = size;
}

static void take_bytes(struct herd *self, struct herd_client *client, const uint8_t *bytes,
                       size_t size)
{
    const int fd = client->fd;
    size_t used = 0, step;
    do {
        if (client->state == HERD_CLIENT_UPGRADING)
            step = take_upgrade(self, client, bytes + used, size - used);
        else
            step = take_frame(self, client, bytes + used, size - used);
        if (client->fd != fd)
            return; /* the connection ended by what it said */
        used += step;
    } while (step > 0);
    keep_rest(client, bytes + used, size - used);
}

/* Edge-triggered: to the end, or to a read that did not fill the buffer. */
static void read_all(struct herd *self, struct herd_client *client)
{
    const int fd = client->fd;
    size_t room;
    ssize_t size;
    do {
        size_t before = client->rest_size;
        if (before > HERD_INPUT_BYTES / 2) {
            self->faults.malformed++;
            herd_client_lost(self, client);
            return;
        }
        room = HERD_INPUT_BYTES - before;
        if (before > 0)
            memcpy(self->input, client->rest, before);
        size = recv(client->fd, self->input + before, room, 0);
        if (size == 0 || (size < 0 && errno != EAGAIN)) {
            herd_client_lost(self, client);
            return;
        }
        if (size < 0)
            return;
        client->heard_ms = self->now_ms;
        take_bytes(self, client, self->input, before + (size_t)size);
    } while ((size_t)size == room && client->fd == fd);
}

void herd_client_io(struct herd *self, struct herd_client *client, uint32_t events)
{
    if (client->fd < 0)
        return;
    if (client->state == HERD_CLIENT_CONNECTING) {
        if (!(events & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
            return;
        request_upgrade(self, client);
    }
    if (client->fd >= 0 && (events & (EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP)))
        read_all(self, client);
}

/* --- time --- */

void herd_client_due(struct herd *self, struct herd_client *client)
{
    uint64_t limit_ms = client->state == HERD_CLIENT_GREETING ? REPLY_MS : DIAL_MS;
    switch ((enum herd_client_state)client->state) {
    case HERD_CLIENT_NEW:
    case HERD_CLIENT_ENDED:
        return;
    case HERD_CLIENT_AWAY:
        attempt(self, client);
        return;
    case HERD_CLIENT_CONNECTING:
    case HERD_CLIENT_UPGRADING:
    case HERD_CLIENT_GREETING:
        if (self->now_ms >= client->since_ms + limit_ms) {
            herd_note(self, HERD_UNANSWERED);
            herd_client_lost(self, client);
            return;
        }
        herd_client_wake(self, client, client->since_ms + limit_ms);
        return;
    case HERD_CLIENT_OPEN: {
        const int fd = client->fd;
        uint64_t next_ms = herd_session_due(self, client);
        if (client->fd == fd && next_ms != UINT64_MAX)
            herd_client_wake(self, client, next_ms);
        return;
    }
    }
}
