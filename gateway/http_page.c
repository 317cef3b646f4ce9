#include "gateway/http_page.h"

#include <errno.h>
#include <fcntl.h>
#include <libwebsockets.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "gateway/http_headers.h"
#include "gateway/http_request.h"

/* What we serve may run only what we serve, show and reach nothing else, and be shown and read by
 * no other page. 'self' means the WebSocket of the same host only to some browsers. Nothing is
 * cached: the page belongs to the processes that run now. */
#define HEADERS                                                                                    \
    "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; "           \
    "img-src 'self'; connect-src 'self' ws://localhost:* ws://127.0.0.1:*; base-uri 'none'; "      \
    "form-action 'none'; frame-ancestors 'none'\r\n"                                               \
    "X-Content-Type-Options: nosniff\r\n"                                                          \
    "X-Frame-Options: DENY\r\n"                                                                    \
    "Referrer-Policy: no-referrer\r\n"                                                             \
    "Cross-Origin-Opener-Policy: same-origin\r\n"                                                  \
    "Cross-Origin-Resource-Policy: same-origin\r\n"                                                \
    "Cache-Control: no-store\r\n"                                                                  \
    "Connection: close\r\n"

struct http_page {
    char *root, *control;
    struct io_metrics *metrics;
};

http_page_t *http_page_new(const char *root, const char *control, struct io_metrics *metrics)
{
    http_page_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->root = strdup(root);
    self->control = strdup(control);
    self->metrics = metrics;
    if (!self->root || !self->control)
        http_page_destroy(&self);
    return self;
}

void http_page_destroy(http_page_t **self_p)
{
    http_page_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    free(self->root);
    free(self->control);
    free(self);
}

/* --- reading files --- */

static int read_file(lws_fop_fd_t file, lws_filepos_t *amount, uint8_t *to, lws_filepos_t size)
{
    int result = _lws_plat_file_read(file, amount, to, size);
    return result == 0 && *amount == 0 && size > 0 ? -1 : result;
}

const struct lws_plat_file_ops *http_page_files(void)
{
    static const struct lws_plat_file_ops files = {
        .LWS_FOP_OPEN = _lws_plat_file_open,
        .LWS_FOP_CLOSE = _lws_plat_file_close,
        .LWS_FOP_SEEK_CUR = _lws_plat_file_seek_cur,
        .LWS_FOP_READ = read_file,
        .LWS_FOP_WRITE = _lws_plat_file_write,
    };
    return &files;
}

/* --- answers --- */

/* -1 makes libwebsockets close the connection, after what it still holds was sent. */
static int answer(struct lws *wsi, const char *status, const char *more_headers, const char *text)
{
    unsigned char bytes[LWS_PRE + 2048];
    int size = snprintf((char *)bytes + LWS_PRE, sizeof bytes - LWS_PRE,
                        "HTTP/1.1 %s\r\n%sContent-Type: text/plain; charset=utf-8\r\n"
                        "Content-Length: %zu\r\n" HEADERS "\r\n%s\n",
                        status, more_headers, strlen(text) + 1, text);
    lws_write(wsi, bytes + LWS_PRE, (size_t)size, LWS_WRITE_HTTP_FINAL);
    return -1;
}

static int refuse(http_page_t *self, struct lws *wsi, enum http_verdict verdict)
{
    self->metrics->demo_refused_total++;
    return answer(wsi, http_request_status(verdict),
                  verdict == HTTP_REFUSED_METHOD ? "Allow: GET, HEAD, POST\r\n" : "",
                  http_request_text(verdict));
}

/* Opening a FIFO or a device might block; a link might lead out of the folder. */
static bool is_regular_file(const char *path)
{
    struct stat about;
    return lstat(path, &about) == 0 && S_ISREG(about.st_mode) && about.st_size > 0;
}

static int serve(http_page_t *self, struct lws *wsi, enum http_method method, struct span name)
{
    char path[PATH_MAX];
    int size = snprintf(path, sizeof path, "%s/%.*s", self->root, SPAN_ARG(name));
    if (size >= (int)sizeof path || !is_regular_file(path))
        return refuse(self, wsi, HTTP_REFUSED_PATH);
    self->metrics->demo_served_total++;
    int result =
        lws_serve_http_file(wsi, path, http_request_type(name), HEADERS, (int)sizeof HEADERS - 1);
    /* Without a body libwebsockets would wait for the next request. */
    return result != 0 || method == HTTP_HEAD ? -1 : 0;
}

/* --- the supervisor --- */

/* The supervisor's FIFO, when somebody reads it and it has room for a line; otherwise -1. Nothing
 * here waits. */
static int open_control(const http_page_t *self)
{
    int fd = open(self->control, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    struct stat about;
    struct pollfd room = {.fd = fd, .events = POLLOUT};
    if (fd >= 0 && fstat(fd, &about) == 0 && S_ISFIFO(about.st_mode) && poll(&room, 1, 0) == 1 &&
        room.revents == POLLOUT)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

/* The answer first: this may be the gateway that is killed. */
static int tell(struct lws *wsi, int control, struct span line)
{
    int result = answer(wsi, "202 Accepted", "", "the supervisor was asked");
    if (write(control, line.data, line.size) != (ssize_t)line.size)
        log_warn("demo_control_lost", LOG_TEXT("error", strerror(errno)));
    close(control);
    return result;
}

static int kill_gateway(http_page_t *self, struct lws *wsi, struct span gateway)
{
    char line[sizeof "kill \n" + HTTP_REQUEST_NAME_MAX];
    int size = snprintf(line, sizeof line, "kill %.*s\n", SPAN_ARG(gateway));
    int control = open_control(self);
    if (control < 0)
        return refuse(self, wsi, HTTP_REFUSED_SUPERVISOR);
    self->metrics->demo_kills_total++;
    log_info("demo_kill", LOG_SPAN("gateway", gateway));
    return tell(wsi, control, span_of(line, (size_t)size));
}

static int take_right_back(http_page_t *self, struct lws *wsi)
{
    int control = open_control(self);
    if (control < 0)
        return refuse(self, wsi, HTTP_REFUSED_SUPERVISOR);
    log_info("demo_revoke", LOG_TEXT("asked_by", "page"));
    return tell(wsi, control, span_text("revoke\n"));
}

/* --- requests --- */

int http_page_answer(http_page_t *self, struct lws *wsi)
{
    struct http_headers headers;
    struct http_request request;
    headers.size = 0;
    request.method = http_headers_path(&headers, wsi, &request.path);
    request.host = http_headers_copy(&headers, wsi, WSI_TOKEN_HOST);
    request.origin = http_headers_copy(&headers, wsi, WSI_TOKEN_ORIGIN);
    struct span name;
    enum http_verdict verdict = http_request_judge(&request, &name);
    switch (verdict) {
    case HTTP_FILE:
        return serve(self, wsi, request.method, name);
    case HTTP_KILL:
        return kill_gateway(self, wsi, name);
    case HTTP_REVOKE:
        return take_right_back(self, wsi);
    default:
        return refuse(self, wsi, verdict);
    }
}
