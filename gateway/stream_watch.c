#include "gateway/stream_watch.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#define EVENTS_AT_ONCE 64

struct stream_watch {
    uv_poll_t poll; /* of the epoll descriptor, which is readable when a socket has changed */
    int fd;
    stream_watch_fn *changed;
    void *arg;
};

static void on_readable(uv_poll_t *handle, int status, int events)
{
    stream_watch_t *self = handle->data;
    struct epoll_event happened[EVENTS_AT_ONCE];
    (void)status;
    (void)events;
    int count = epoll_wait(self->fd, happened, EVENTS_AT_ONCE, 0);
    for (int i = 0; i < count; i++)
        self->changed(self->arg, happened[i].data.ptr,
                      happened[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR));
}

stream_watch_t *stream_watch_new(uv_loop_t *loop, stream_watch_fn *changed, void *arg)
{
    stream_watch_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->changed = changed;
    self->arg = arg;
    self->fd = epoll_create1(EPOLL_CLOEXEC);
    if (self->fd < 0 || uv_poll_init(loop, &self->poll, self->fd) != 0) {
        if (self->fd >= 0)
            close(self->fd);
        free(self);
        return NULL;
    }
    self->poll.data = self;
    uv_poll_start(&self->poll, UV_READABLE, on_readable);
    return self;
}

static void on_closed(uv_handle_t *handle)
{
    stream_watch_t *self = handle->data;
    close(self->fd);
    free(self);
}

void stream_watch_destroy(stream_watch_t **self_p)
{
    stream_watch_t *self = *self_p;
    *self_p = NULL;
    if (self)
        uv_close((uv_handle_t *)&self->poll, on_closed);
}

static bool watch(stream_watch_t *self, int operation, int fd, void *about)
{
    struct epoll_event event = {.events = EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = about};
    return epoll_ctl(self->fd, operation, fd, &event) == 0;
}

/* The kernel forgets a socket when it is closed. */
bool stream_watch_add(stream_watch_t *self, int fd, void *about)
{
    return watch(self, EPOLL_CTL_ADD, fd, about);
}

void stream_watch_again(stream_watch_t *self, int fd, void *about)
{
    (void)watch(self, EPOLL_CTL_MOD, fd, about);
}
