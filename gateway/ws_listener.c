#include "gateway/ws_listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"

#define ACCEPTS_PER_TURN 32
#define BACKLOG          4096
#define COMPLAIN_MS      1000

struct ws_listener {
    uv_poll_t poll;
    ws_accepted_fn *accepted;
    void *arg;
    struct io_metrics *metrics;
    int fd;
    int reserve_fd; /* given up for a moment when descriptors run out */
    uint16_t port;
    int64_t complained_at_ms;
};

static void complain(ws_listener_t *self, const char *event, int error)
{
    int64_t now_ms = clock_monotonic_ms();
    if (now_ms - self->complained_at_ms < COMPLAIN_MS)
        return;
    self->complained_at_ms = now_ms;
    log_warn(event, LOG_TEXT("error", strerror(error)),
             LOG_UINT("closed_so_far", self->metrics->descriptors_exhausted_total));
}

/* Without this the connection would stay in the backlog and wake the loop for ever. */
static void turn_away(ws_listener_t *self, int error)
{
    close(self->reserve_fd);
    int fd = accept4(self->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        close(fd);
        self->metrics->descriptors_exhausted_total++;
    }
    self->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    complain(self, "descriptors_exhausted", error);
}

/* False: nothing is left to accept in this turn. */
static bool accept_one(ws_listener_t *self)
{
    int fd = accept4(self->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        self->metrics->accepted_total++;
        self->accepted(self->arg, fd);
        return true;
    }
    switch (errno) {
    case EAGAIN:
        return false;
    case EMFILE:
    case ENFILE:
        turn_away(self, errno);
        return true;
    case ENOBUFS:
    case ENOMEM:
        complain(self, "accept_failed", errno);
        return false;
    default: /* an error of that one connection */
        return true;
    }
}

static void on_readable(uv_poll_t *handle, int status, int events)
{
    ws_listener_t *self = handle->data;
    (void)status;
    (void)events;
    for (int i = 0; i < ACCEPTS_PER_TURN; i++)
        if (!accept_one(self))
            return;
}

void ws_listener_drain(ws_listener_t *self)
{
    for (int i = 0; i < BACKLOG && accept_one(self); i++)
        continue;
}

/* Accepted sockets inherit TCP_NODELAY and SO_SNDBUF from the listening one. */
static int bind_socket(const struct addrinfo *where, const struct ws_listener_settings *settings)
{
    int fd = socket(where->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (settings->reuse_port)
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &settings->send_buffer, sizeof settings->send_buffer);
    if (bind(fd, where->ai_addr, where->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

static uint16_t bound_port(int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } name = {0};
    socklen_t size = sizeof name;
    if (getsockname(fd, &name.any, &size) != 0)
        return 0;
    return ntohs(name.any.sa_family == AF_INET6 ? name.v6.sin6_port : name.v4.sin_port);
}

static void explain(const struct ws_listener_settings *settings, int error, struct buffer *why)
{
    buffer_printf(why, "cannot listen there: %s", strerror(error));
    if (error != EADDRINUSE)
        return;
    buffer_put_text(why, settings->reuse_port
                             ? "; what listens there does not share the port: it has no "
                               "reuse_port = yes, or runs as another user"
                             : "; gateways share a port when each of them has reuse_port = yes");
}

static int listen_on(const struct ws_listener_settings *settings, struct buffer *why)
{
    char service[8];
    snprintf(service, sizeof service, "%u", settings->port);
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
                             .ai_socktype = SOCK_STREAM};
    struct addrinfo *where = NULL;
    int error = getaddrinfo(settings->address, service, &hints, &where);
    if (error != 0) {
        buffer_printf(why, "not an IP address: %s", gai_strerror(error));
        return -1;
    }
    int fd = bind_socket(where, settings);
    if (fd < 0)
        explain(settings, errno, why);
    freeaddrinfo(where);
    return fd;
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

ws_listener_t *ws_listener_new(uv_loop_t *loop, const struct ws_listener_settings *settings,
                               struct io_metrics *metrics, struct buffer *why)
{
    ws_listener_t *self = calloc(1, sizeof *self);
    if (!self) {
        buffer_put_text(why, "out of memory");
        return NULL;
    }
    self->accepted = settings->accepted;
    self->arg = settings->arg;
    self->metrics = metrics;
    self->complained_at_ms = INT64_MIN / 2;
    self->fd = listen_on(settings, why);
    if (self->fd < 0)
        goto fail;
    self->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    self->port = bound_port(self->fd);
    if (uv_poll_init(loop, &self->poll, self->fd) != 0) {
        buffer_put_text(why, "the loop refused the socket");
        goto fail;
    }
    self->poll.data = self;
    uv_poll_start(&self->poll, UV_READABLE, on_readable);
    return self;

fail:
    if (self->fd >= 0) {
        close(self->reserve_fd);
        close(self->fd);
    }
    free(self);
    return NULL;
}

void ws_listener_destroy(ws_listener_t **self_p)
{
    ws_listener_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    uv_close((uv_handle_t *)&self->poll, on_closed);
    close(self->fd);
    close(self->reserve_fd);
}

void ws_listener_set_send_buffer(ws_listener_t *self, int bytes)
{
    setsockopt(self->fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
}

uint16_t ws_listener_port(const ws_listener_t *self)
{
    return self->port;
}
