/* publisher - one pipelining backend: a ZeroMQ DEALER that does not wait for one reply before the
 * next request.
 *
 * With --rate an open loop: each message is sent when it is due (see pace.h). Without, as many
 * as the broker takes, with --window of them unanswered. Prints what was acknowledged as one JSON
 * object.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "bench/arguments.h"
#include "bench/histogram.h"
#include "bench/message.h"
#include "bench/pace.h"

#define MANY_MAX   256
#define PATIENCE_S 10 /* without any reply, then give up */

struct publisher {
    const char *endpoint;
    uint64_t rate, window, count, many;
    const char *prefix;
    uint64_t channels; /* 0: MESSAGE_CHANNEL alone */
    void *context, *socket;
    struct pace pace;
    uint64_t request; /* id of the last one */
    uint64_t sent, acked;
    uint64_t late_ns; /* the most that a message was sent late */
    uint64_t last_reply;
    uint64_t *sent_ns; /* of each message, by its number modulo `window` + MANY_MAX */
};

/* From sending a message to its acknowledgement, microseconds. Replies come in the order of the
 * requests. */
static struct histogram answers;

static void fail(const char *what)
{
    fprintf(stderr, "publisher: %s: %s\n", what, zmq_strerror(zmq_errno()));
    exit(1);
}

static void send_bytes(struct publisher *self, const uint8_t *bytes, size_t size)
{
    if (zmq_send(self->socket, bytes, size, 0) < 0)
        fail("send");
}

static uint64_t stamp(struct publisher *self, uint64_t n, uint64_t now)
{
    if (self->rate == 0)
        return now;
    uint64_t due = pace_due(&self->pace, n);
    if (now > due && now - due > self->late_ns)
        self->late_ns = now - due;
    return pace_stamp(&self->pace, n, now);
}

static uint64_t *sent_at(struct publisher *self, uint64_t n)
{
    return &self->sent_ns[n % (self->window + MANY_MAX)];
}

static void send_one(struct publisher *self, uint64_t now)
{
    uint8_t bytes[MESSAGE_PUBLISH_MAX];
    char channel[MESSAGE_CHANNEL_MAX + 1] = MESSAGE_CHANNEL;
    if (self->channels > 0)
        snprintf(channel, sizeof channel, "%s%llu", self->prefix,
                 (unsigned long long)(self->sent % self->channels));
    size_t size =
        message_write_publish(bytes, ++self->request, channel, stamp(self, self->sent, now));
    send_bytes(self, bytes, size);
    *sent_at(self, self->sent++) = now;
}

static void send_many(struct publisher *self, uint64_t now)
{
    static uint8_t bytes[MESSAGE_MANY_HEAD_MAX + MANY_MAX * MESSAGE_PUBLISH_MAX];
    uint64_t left = self->count - self->sent, items = left < self->many ? left : self->many;
    size_t size = message_write_many_head(bytes, ++self->request, (uint16_t)items);
    for (uint64_t i = 0; i < items; i++) {
        *sent_at(self, self->sent) = now;
        size += message_write_item(bytes + size, stamp(self, self->sent++, now));
    }
    send_bytes(self, bytes, size);
}

/* Each result says "ok": true, and the reply to publish_many once more for itself. Nothing that we
 * send may be refused. */
static void count_results(struct publisher *self, const uint8_t *bytes, size_t size, uint64_t now)
{
    if (memmem(bytes, size,
               "\xa5"
               "error",
               6)) {
        fprintf(stderr, "publisher: refused: %.*s\n", (int)size, (const char *)bytes);
        exit(1);
    }
    const uint8_t *end = bytes + size, *at = bytes;
    uint64_t count = 0;
    while ((at = memmem(at, (size_t)(end - at), "\xa2ok\xc3", 4))) {
        count++;
        at += 4;
    }
    count -= self->many > 0;
    for (; count > 0; count--)
        histogram_add(&answers, (now - *sent_at(self, self->acked++)) / 1000);
}

/* All replies that are there. False when there was none. */
static bool read_replies(struct publisher *self)
{
    bool any = false;
    uint64_t now = now_ns(); /* of all that is there now: replies come many at a time */
    zmq_msg_t reply;
    zmq_msg_init(&reply);
    while (zmq_msg_recv(&reply, self->socket, ZMQ_DONTWAIT) >= 0) {
        count_results(self, zmq_msg_data(&reply), zmq_msg_size(&reply), now);
        any = true;
    }
    if (zmq_errno() != EAGAIN)
        fail("receive");
    zmq_msg_close(&reply);
    if (any)
        self->last_reply = now_ns();
    return any;
}

static uint64_t unanswered(const struct publisher *self)
{
    return self->sent - self->acked;
}

static bool may_send(const struct publisher *self, uint64_t now)
{
    if (self->sent >= self->count || unanswered(self) >= self->window)
        return false;
    return self->rate == 0 || now >= pace_due(&self->pace, self->sent);
}

static void wait(struct publisher *self)
{
    zmq_pollitem_t item = {.socket = self->socket, .events = ZMQ_POLLIN};
    if (self->rate > 0 && self->sent < self->count && unanswered(self) < self->window)
        sleep_until_ns(pace_due(&self->pace, self->sent));
    else if (zmq_poll(&item, 1, 100) < 0)
        fail("poll");
}

/* False when the broker has fallen silent. */
static bool run(struct publisher *self)
{
    while (self->acked < self->count) {
        uint64_t now = now_ns();
        bool busy = false;
        for (; may_send(self, now); busy = true) {
            if (self->many > 0)
                send_many(self, now);
            else
                send_one(self, now);
        }
        busy |= read_replies(self);
        if (unanswered(self) > 0 && now > self->last_reply + PATIENCE_S * UINT64_C(1000000000))
            return false;
        if (!busy)
            wait(self);
    }
    return true;
}

static void connect_to_broker(struct publisher *self)
{
    int zero = 0, patience = PATIENCE_S * 1000;
    uint8_t bytes[MESSAGE_MANY_HEAD_MAX];
    self->context = zmq_ctx_new();
    self->socket = self->context ? zmq_socket(self->context, ZMQ_DEALER) : NULL;
    if (!self->socket)
        fail("socket");
    zmq_setsockopt(self->socket, ZMQ_LINGER, &zero, sizeof zero);
    zmq_setsockopt(self->socket, ZMQ_SNDHWM, &zero, sizeof zero);
    zmq_setsockopt(self->socket, ZMQ_RCVHWM, &zero, sizeof zero);
    zmq_setsockopt(self->socket, ZMQ_RCVTIMEO, &patience, sizeof patience);
    if (zmq_connect(self->socket, self->endpoint) != 0)
        fail(self->endpoint);
    send_bytes(self, bytes, message_write_ping(bytes, 0));
    if (zmq_recv(self->socket, NULL, 0, 0) < 0)
        fail("no answer to a ping");
}

int main(int argc, char **argv)
{
    static struct publisher self = {
        .endpoint = "tcp://127.0.0.1:7402", .window = 1024, .count = 1000, .prefix = "c"};
    const struct argument table[] = {
        {"endpoint", NULL, &self.endpoint, "the broker's socket for backends"},
        {"rate", &self.rate, NULL, "messages per second; 0: as many as the broker takes"},
        {"window", &self.window, NULL, "messages unanswered at most"},
        {"count", &self.count, NULL, "messages in all"},
        {"many", &self.many, NULL, "messages in one publish_many; 0: publish each by itself"},
        {"channels", &self.channels, NULL, "without --many: so many channels in turn; 0: one"},
        {"prefix", NULL, &self.prefix, "channel n is this and the number n, from 0"},
    };
    arguments_read(argc, argv, "one pipelining backend", table, sizeof table / sizeof *table);
    if (self.many > MANY_MAX || self.window < 1) {
        fprintf(stderr, "publisher: --many is at most %d, --window at least 1\n", MANY_MAX);
        return 2;
    }
    self.sent_ns = calloc(self.window + MANY_MAX, sizeof *self.sent_ns);
    if (!self.sent_ns)
        fail("memory");
    connect_to_broker(&self);
    self.pace = pace_begin(self.rate ? self.rate : 1);
    self.last_reply = self.pace.start;
    bool whole = run(&self);
    double seconds = (double)(now_ns() - self.pace.start) / 1e9;
    printf("{\"sent\": %llu, \"acked\": %llu, \"seconds\": %.4f, "
           "\"acked_per_second\": %.0f, \"late_us\": %.1f, \"ack_p50_us\": %llu, "
           "\"ack_p99_us\": %llu}\n",
           (unsigned long long)self.sent, (unsigned long long)self.acked, seconds,
           (double)self.acked / seconds, (double)self.late_ns / 1e3,
           (unsigned long long)histogram_quantile(&answers, 500),
           (unsigned long long)histogram_quantile(&answers, 990));
    free(self.sent_ns);
    zmq_close(self.socket);
    zmq_ctx_term(self.context);
    return whole ? 0 : 1;
}
