/* bare_send - the yardstick: what fan-out costs when nothing is done but the system calls.
 *
 * One epoll loop. Every connection that sends an upgrade request is a subscriber; a timer inside
 * of the process is the publisher. Each message is built once, as the frame that the gateway
 * pushes, and goes to each subscriber by a send() of its own. Nothing is dropped: a subscriber
 * whose socket is full goes on where it stopped when it has room again.
 *
 * Standard input: "publish RATE COUNT" starts a run, its end ends the process.
 */
#include <arpa/inet.h>
#include <errno.h>
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
#include "bench/message.h"
#include "bench/pace.h"

#define EVENTS      256
#define SUBSCRIBERS 20000

struct frame {
    uint16_t size;
    uint8_t bytes[MESSAGE_FRAME_MAX];
};

struct subscriber {
    int fd;
    unsigned index; /* in bare.subscribers */
    bool upgraded;
    bool blocked;     /* EPOLLOUT is armed */
    uint64_t message; /* of this run, being sent */
    size_t sent;      /* bytes of it */
};

/* The messages of the current run are all kept: a subscriber's queue is just its place in them. */
struct bare {
    int epoll;
    int listener;
    uint64_t send_buffer;
    struct subscriber *subscribers[SUBSCRIBERS];
    unsigned count;

    struct frame *frames;
    uint64_t wanted;    /* messages of this run */
    uint64_t published; /* so far */
    uint64_t offset;    /* of the last message before this run */
    struct pace pace;
};

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void watch(struct bare *bare, int operation, int fd, uint32_t events, void *owner)
{
    struct epoll_event event = {.events = events, .data.ptr = owner};
    if (epoll_ctl(bare->epoll, operation, fd, &event) != 0)
        fail("epoll_ctl");
}

static void drop(struct bare *bare, struct subscriber *subscriber)
{
    bare->subscribers[subscriber->index] = bare->subscribers[--bare->count];
    bare->subscribers[subscriber->index]->index = subscriber->index;
    close(subscriber->fd);
    free(subscriber);
}

static void set_blocked(struct bare *bare, struct subscriber *subscriber, bool blocked)
{
    if (blocked != subscriber->blocked)
        watch(bare, EPOLL_CTL_MOD, subscriber->fd, EPOLLIN | (blocked ? EPOLLOUT : 0), subscriber);
    subscriber->blocked = blocked;
}

/* A lost connection is noticed, and dropped, by the read that follows. */
static void flush(struct bare *bare, struct subscriber *subscriber)
{
    while (subscriber->message < bare->published) {
        const struct frame *frame = &bare->frames[subscriber->message];
        ssize_t size = send(subscriber->fd, frame->bytes + subscriber->sent,
                            frame->size - subscriber->sent, MSG_NOSIGNAL);
        if (size < 0) {
            set_blocked(bare, subscriber, errno == EAGAIN);
            return;
        }
        subscriber->sent += (size_t)size;
        if (subscriber->sent == frame->size) {
            subscriber->message++;
            subscriber->sent = 0;
        }
    }
    set_blocked(bare, subscriber, false);
}

static void publish_next(struct bare *bare)
{
    struct frame *frame = &bare->frames[bare->published];
    uint64_t ts = pace_stamp(&bare->pace, bare->published, now_ns());
    bare->published++;
    frame->size = (uint16_t)message_write_push(frame->bytes, ts, bare->offset + bare->published);
    for (unsigned i = 0; i < bare->count; i++)
        if (bare->subscribers[i]->upgraded && !bare->subscribers[i]->blocked)
            flush(bare, bare->subscribers[i]);
}

static void begin_run(struct bare *bare, uint64_t rate, uint64_t count)
{
    free(bare->frames);
    bare->frames = calloc(count, sizeof *bare->frames);
    if (!bare->frames)
        fail("frames");
    bare->offset += bare->published;
    bare->published = 0;
    bare->wanted = count;
    for (unsigned i = 0; i < bare->count; i++) {
        bare->subscribers[i]->message = 0;
        bare->subscribers[i]->sent = 0;
    }
    bare->pace = pace_begin(rate);
}

/* False when standard input ended. */
static bool read_command(struct bare *bare)
{
    char line[128];
    unsigned long long rate, count;
    ssize_t size = read(STDIN_FILENO, line, sizeof line - 1);
    if (size <= 0)
        return false;
    line[size] = 0;
    if (sscanf(line, "publish %llu %llu", &rate, &count) != 2 || rate == 0 || count == 0)
        fprintf(stderr, "bare_send: expected \"publish RATE COUNT\", got: %s", line);
    else
        begin_run(bare, rate, count);
    return true;
}

static void accept_all(struct bare *bare)
{
    int fd;
    while ((fd = accept4(bare->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct subscriber *subscriber = calloc(1, sizeof *subscriber);
        if (!subscriber || bare->count == SUBSCRIBERS) {
            free(subscriber);
            close(fd);
            continue;
        }
        int on = 1, buffer = (int)bare->send_buffer;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer);
        subscriber->fd = fd;
        subscriber->index = bare->count;
        bare->subscribers[bare->count++] = subscriber;
        watch(bare, EPOLL_CTL_ADD, fd, EPOLLIN, subscriber);
    }
}

/* The answers that the load generator waits for: the upgrade, and the reply to a subscribe command
 * that may not even have been sent yet. No accept key: only our generator connects here. */
static void upgrade(struct bare *bare, struct subscriber *subscriber)
{
    char text[256], reply[120];
    int reply_size = snprintf(reply, sizeof reply,
                              "{\"id\":2,\"subscribe\":{\"recoverable\":true,\"offset\":%llu}}",
                              (unsigned long long)(bare->offset + bare->published));
    int size = snprintf(text, sizeof text,
                        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                        "Connection: Upgrade\r\n\r\n\x81%c%s",
                        reply_size, reply);
    if (send(subscriber->fd, text, (size_t)size, MSG_NOSIGNAL) != size)
        return;
    subscriber->upgraded = true;
    subscriber->message = bare->published;
}

static void on_subscriber(struct bare *bare, struct subscriber *subscriber, uint32_t events)
{
    char ignored[4096];
    if (events & EPOLLOUT)
        flush(bare, subscriber);
    if (!(events & ~(uint32_t)EPOLLOUT))
        return;
    ssize_t size = recv(subscriber->fd, ignored, sizeof ignored, 0);
    if (size == 0 || (size < 0 && errno != EAGAIN))
        drop(bare, subscriber);
    else if (size > 0 && !subscriber->upgraded)
        upgrade(bare, subscriber);
}

/* Waits for events, but not longer than until the next message is due. */
static int wait_events(struct bare *bare, struct epoll_event *events)
{
    if (bare->published == bare->wanted)
        return epoll_wait(bare->epoll, events, EVENTS, -1);
    uint64_t now = now_ns(), due = pace_due(&bare->pace, bare->published);
    uint64_t left = due > now ? due - now : 0;
    struct timespec timeout = {(time_t)(left / 1000000000u), (long)(left % 1000000000u)};
    return epoll_pwait2(bare->epoll, events, EVENTS, &timeout, NULL);
}

static bool turn(struct bare *bare)
{
    struct epoll_event events[EVENTS];
    bool running = true;
    int count = wait_events(bare, events);
    for (int i = 0; i < count; i++) {
        void *owner = events[i].data.ptr;
        if (owner == &bare->listener)
            accept_all(bare);
        else if (owner == bare)
            running = read_command(bare);
        else
            on_subscriber(bare, owner, events[i].events);
    }
    if (bare->published < bare->wanted && now_ns() >= pace_due(&bare->pace, bare->published))
        publish_next(bare);
    return running;
}

static void listen_on(struct bare *bare, uint64_t port)
{
    int on = 1;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    bare->epoll = epoll_create1(EPOLL_CLOEXEC);
    bare->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (bare->epoll < 0 || bare->listener < 0)
        fail("bare_send");
    setsockopt(bare->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(bare->listener, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(bare->listener, SOMAXCONN) != 0)
        fail("listen");
    watch(bare, EPOLL_CTL_ADD, bare->listener, EPOLLIN, &bare->listener);
    watch(bare, EPOLL_CTL_ADD, STDIN_FILENO, EPOLLIN, bare);
}

int main(int argc, char **argv)
{
    static struct bare bare = {.send_buffer = 65536};
    uint64_t port = 9000;
    const struct argument table[] = {
        {"port", &port, NULL, "port on 127.0.0.1"},
        {"send-buffer", &bare.send_buffer, NULL, "SO_SNDBUF of each connection"},
    };
    arguments_read(argc, argv, "one send() per delivery, and nothing else", table,
                   sizeof table / sizeof *table);
    listen_on(&bare, port);
    puts("{\"ready\": true}");
    fflush(stdout);
    while (turn(&bare))
        ;
    return 0;
}
