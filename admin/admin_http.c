#include "admin/admin_http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTIONS      64
#define TIMEOUT_SECONDS  10
#define CONNECTION_BYTES 8192 /* request line and headers of one connection */

struct admin_http {
    struct admin_http_handlers handlers;
    struct MHD_Daemon *daemon;
    int epoll_fd;
};

struct answer {
    unsigned status;
    const char *content_type;
    struct buffer body;
};

/* --- answers --- */

#define TEXT_TYPE "text/plain; charset=utf-8"

static void answer_metrics(admin_http_t *self, struct answer *answer)
{
    answer->content_type = "text/plain; version=0.0.4";
    self->handlers.metrics(self->handlers.arg, &answer->body);
}

static void answer_health(admin_http_t *self, struct answer *answer)
{
    (void)self;
    buffer_put_text(&answer->body, "ok\n");
}

static void answer_ready(admin_http_t *self, struct answer *answer)
{
    answer->content_type = "application/json";
    if (!self->handlers.ready(self->handlers.arg, &answer->body))
        answer->status = MHD_HTTP_SERVICE_UNAVAILABLE;
}

static void answer_not_found(admin_http_t *self, struct answer *answer)
{
    answer->status = MHD_HTTP_NOT_FOUND;
    buffer_printf(&answer->body, "not found; there are /metrics, /healthz%s\n",
                  self->handlers.status ? ", /readyz and /status" : " and /readyz");
}

static void answer_status(admin_http_t *self, struct answer *answer)
{
    if (!self->handlers.status) {
        answer_not_found(self, answer);
        return;
    }
    answer->content_type = "application/json";
    self->handlers.status(self->handlers.arg, &answer->body);
}

static const struct page {
    const char *path;
    void (*answer)(admin_http_t *self, struct answer *answer);
} pages[] = {
    {"/metrics", answer_metrics},
    {"/healthz", answer_health},
    {"/readyz", answer_ready},
    {"/status", answer_status},
};

static void answer_path(admin_http_t *self, const char *path, struct answer *answer)
{
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++) {
        if (strcmp(path, pages[i].path) == 0) {
            pages[i].answer(self, answer);
            return;
        }
    }
    answer_not_found(self, answer);
}

/* --- libmicrohttpd --- */

/* Takes over the answer's body. */
static enum MHD_Result respond(struct MHD_Connection *connection, struct answer *answer)
{
    if (answer->body.failed) {
        buffer_free(&answer->body);
        return MHD_NO; /* out of memory: the connection is closed */
    }
    struct MHD_Response *response = MHD_create_response_from_buffer(
        answer->body.size, answer->body.data, MHD_RESPMEM_MUST_FREE);
    if (!response) {
        buffer_free(&answer->body);
        return MHD_NO;
    }
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, answer->content_type);
    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    if (answer->status == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    enum MHD_Result queued = MHD_queue_response(connection, answer->status, response);
    MHD_destroy_response(response);
    return queued;
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *path,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_size, void **request)
{
    admin_http_t *self = arg;
    (void)version;
    (void)upload;
    struct answer answer = {.status = MHD_HTTP_OK, .content_type = TEXT_TYPE};
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0) {
        answer.status = MHD_HTTP_METHOD_NOT_ALLOWED;
        buffer_put_text(&answer.body, "only GET and HEAD\n");
        return respond(connection, &answer);
    }
    /* The first call only announces the request; a body, if it has one, is ignored. */
    if (!*request || *upload_size > 0) {
        *request = self;
        *upload_size = 0;
        return MHD_YES;
    }
    answer_path(self, path, &answer);
    return respond(connection, &answer);
}

/* --- the listener --- */

/* Fills *out from an address literal; its size, 0 when it is none. */
static socklen_t parse_address(const char *address, uint16_t port, struct sockaddr_storage *out)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)out;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
    *out = (struct sockaddr_storage){0};
    if (inet_pton(AF_INET, address, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        return sizeof *v4;
    }
    if (inet_pton(AF_INET6, address, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port);
        return sizeof *v6;
    }
    return 0;
}

static void refuse(struct buffer *why, const char *address, uint16_t port, const char *reason)
{
    bool v6 = strchr(address, ':') != NULL;
    buffer_printf(why, "admin: cannot listen on %s%s%s:%u: %s", v6 ? "[" : "", address,
                  v6 ? "]" : "", port, reason);
}

/* Our own socket rather than the library's: it does not tell why it could not listen. */
static int listen_on(const char *address, uint16_t port, struct buffer *why)
{
    struct sockaddr_storage at;
    socklen_t size = parse_address(address, port, &at);
    if (size == 0) {
        refuse(why, address, port, "not an IPv4 or IPv6 address");
        return -1;
    }
    int on = 1;
    int fd = socket(at.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
        bind(fd, (const struct sockaddr *)&at, size) == 0 && listen(fd, CONNECTIONS) == 0)
        return fd;
    refuse(why, address, port, errno == EADDRINUSE ? "address already in use" : strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

static struct MHD_Daemon *start_daemon(admin_http_t *self, int listener)
{
    return MHD_start_daemon(
        MHD_USE_EPOLL, 0, NULL, NULL, on_request, self, MHD_OPTION_LISTEN_SOCKET,
        (MHD_socket)listener, MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)TIMEOUT_SECONDS,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES, MHD_OPTION_END);
}

admin_http_t *admin_http_new(const char *address, uint16_t port,
                             const struct admin_http_handlers *handlers, struct buffer *why)
{
    int listener = listen_on(address, port, why);
    if (listener < 0)
        return NULL;
    admin_http_t *self = calloc(1, sizeof *self);
    if (!self)
        goto fail;
    self->handlers = *handlers;
    self->daemon = start_daemon(self, listener);
    if (!self->daemon)
        goto fail;
    self->epoll_fd = MHD_get_daemon_info(self->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
    return self;

fail:
    refuse(why, address, port, "the HTTP server could not be started");
    free(self);
    close(listener);
    return NULL;
}

void admin_http_destroy(admin_http_t **self_p)
{
    admin_http_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    MHD_stop_daemon(self->daemon); /* closes the listener too */
    free(self);
}

int admin_http_fd(const admin_http_t *self)
{
    return self->epoll_fd;
}

void admin_http_serve(admin_http_t *self)
{
    MHD_run(self->daemon);
}

int64_t admin_http_wait(const admin_http_t *self)
{
    MHD_UNSIGNED_LONG_LONG milliseconds;
    if (MHD_get_timeout(self->daemon, &milliseconds) != MHD_YES)
        return -1;
    return (int64_t)milliseconds;
}
