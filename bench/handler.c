/* handler - a backend that says who may read: registers a default handler and answers every check
 * with yes.
 *
 * Says {"ready": true} when it is registered. Takes commands from standard input, one a line, and
 * answers each but the last with one JSON object a line: `report` (questions so far, and messages
 * that they came in), `sleep MS` (answers nothing for so long, from the next question on),
 * `revoke COUNT FIRST` (takes the right from member-FIRST and the next ones, one after the other,
 * each when the one before is confirmed), `quit` (so does the end of the input).
 */
#include <errno.h>
#include <msgpack.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

#include "bench/arguments.h"
#include "bench/histogram.h"
#include "bench/pace.h"

#define COMMANDS_MAX 256
#define PATIENCE_MS  10000

struct handler {
    void *context, *socket;
    const char *ttl; /* seconds, as text; empty: none */
    uint64_t request;
    uint64_t checks, batches;
    uint64_t sleep_ms;
    msgpack_sbuffer out;
    char commands[COMMANDS_MAX];
    size_t commands_size;
    bool is_over;
    /* of the revocation under way */
    uint64_t revoke_left, revoke_next, revoke_sent_ns;
    uint64_t affected, ended, unconfirmed;
    struct histogram took; /* us */
};

static void fail(const char *what)
{
    fprintf(stderr, "handler: %s: %s\n", what, zmq_strerror(zmq_errno()));
    exit(1);
}

static void refuse(const char *what)
{
    fprintf(stderr, "handler: %s\n", what);
    exit(1);
}

/* --- out --- */

static void put_text(msgpack_packer *to, const char *text)
{
    msgpack_pack_str(to, strlen(text));
    msgpack_pack_str_body(to, text, strlen(text));
}

static void put_pair(msgpack_packer *to, const char *key, const char *value)
{
    put_text(to, key);
    put_text(to, value);
}

static msgpack_packer begin(struct handler *self, size_t members, const char *op, uint64_t id)
{
    msgpack_packer to;
    msgpack_sbuffer_clear(&self->out);
    msgpack_packer_init(&to, &self->out, msgpack_sbuffer_write);
    msgpack_pack_map(&to, members);
    put_pair(&to, "op", op);
    put_text(&to, "id");
    msgpack_pack_uint64(&to, id);
    return to;
}

static void send_out(struct handler *self)
{
    if (zmq_send(self->socket, self->out.data, self->out.size, 0) < 0)
        fail("send");
}

static void answer(struct handler *self, uint64_t id, size_t count)
{
    msgpack_packer to = begin(self, 3, "answer", id);
    put_text(&to, "answers");
    msgpack_pack_array(&to, count);
    for (size_t i = 0; i < count; i++) {
        msgpack_pack_map(&to, *self->ttl ? 2 : 1);
        put_text(&to, "read");
        msgpack_pack_true(&to);
        if (!*self->ttl)
            continue;
        put_text(&to, "ttl");
        msgpack_pack_double(&to, strtod(self->ttl, NULL));
    }
    send_out(self);
}

static void revoke_next(struct handler *self)
{
    char member[40];
    snprintf(member, sizeof member, "member-%llu", (unsigned long long)self->revoke_next++);
    self->revoke_left--;
    msgpack_packer to = begin(self, 4, "revoke", ++self->request);
    put_pair(&to, "mode", "deny");
    put_text(&to, "subscriber");
    msgpack_pack_map(&to, 1);
    put_pair(&to, "id", member);
    self->revoke_sent_ns = now_ns();
    send_out(self);
}

static void register_handler(struct handler *self)
{
    msgpack_packer to = begin(self, 3, "handle", ++self->request);
    put_text(&to, "handlers");
    msgpack_pack_array(&to, 1);
    msgpack_pack_map(&to, 0);
    send_out(self);
}

/* --- in --- */

static const msgpack_object *member(const msgpack_object *map, const char *key)
{
    for (uint32_t i = 0; i < map->via.map.size; i++) {
        const msgpack_object *name = &map->via.map.ptr[i].key;
        if (name->type == MSGPACK_OBJECT_STR && name->via.str.size == strlen(key) &&
            memcmp(name->via.str.ptr, key, strlen(key)) == 0)
            return &map->via.map.ptr[i].val;
    }
    return NULL;
}

static uint64_t number(const msgpack_object *map, const char *key)
{
    const msgpack_object *value = member(map, key);
    return value && value->type == MSGPACK_OBJECT_POSITIVE_INTEGER ? value->via.u64 : 0;
}

static void take_check(struct handler *self, const msgpack_object *message)
{
    size_t count = member(message, "checks")->via.array.size;
    self->checks += count;
    self->batches += count > 0;
    if (count > 0 && self->sleep_ms > 0) {
        usleep((useconds_t)self->sleep_ms * 1000);
        self->sleep_ms = 0;
    }
    answer(self, number(message, "id"), count);
}

static void report_revocations(struct handler *self)
{
    printf("{\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"affected\":%llu,\"ended\":%llu,"
           "\"unconfirmed\":%llu}\n",
           (double)histogram_quantile(&self->took, 500) / 1000,
           (double)histogram_quantile(&self->took, 990) / 1000, (unsigned long long)self->affected,
           (unsigned long long)self->ended, (unsigned long long)self->unconfirmed);
    fflush(stdout);
}

static void take_reply(struct handler *self, const msgpack_object *message)
{
    const msgpack_object *ok = member(message, "ok");
    if (!ok || ok->type != MSGPACK_OBJECT_BOOLEAN || !ok->via.boolean)
        refuse("the broker refused something");
    if (!member(message, "affected")) {
        printf("{\"ready\":true}\n");
        fflush(stdout);
        return;
    }
    histogram_add(&self->took, (now_ns() - self->revoke_sent_ns) / 1000);
    self->affected += number(message, "affected");
    self->ended += number(message, "ended");
    self->unconfirmed += number(message, "unconfirmed");
    if (self->revoke_left > 0)
        revoke_next(self);
    else
        report_revocations(self);
}

static void take_message(struct handler *self, const char *bytes, size_t size)
{
    msgpack_unpacked message;
    msgpack_unpacked_init(&message);
    if (msgpack_unpack_next(&message, bytes, size, NULL) != MSGPACK_UNPACK_SUCCESS ||
        message.data.type != MSGPACK_OBJECT_MAP)
        refuse("what came is no message of the broker");
    if (member(&message.data, "checks"))
        take_check(self, &message.data);
    else
        take_reply(self, &message.data);
    msgpack_unpacked_destroy(&message);
}

static void take_messages(struct handler *self)
{
    zmq_msg_t message;
    zmq_msg_init(&message);
    while (zmq_msg_recv(&message, self->socket, ZMQ_DONTWAIT) >= 0)
        take_message(self, zmq_msg_data(&message), zmq_msg_size(&message));
    if (zmq_errno() != EAGAIN)
        fail("receive");
    zmq_msg_close(&message);
}

/* --- commands --- */

static void run_command(struct handler *self, const char *line)
{
    unsigned long long first, second;
    if (strcmp(line, "report") == 0) {
        printf("{\"checks\":%llu,\"batches\":%llu}\n", (unsigned long long)self->checks,
               (unsigned long long)self->batches);
        fflush(stdout);
    } else if (sscanf(line, "sleep %llu", &first) == 1) {
        self->sleep_ms = first;
        printf("{\"sleeps\":true}\n");
        fflush(stdout);
    } else if (sscanf(line, "revoke %llu %llu", &first, &second) == 2 && first > 0) {
        self->took = (struct histogram){0};
        self->affected = self->ended = self->unconfirmed = 0;
        self->revoke_left = first;
        self->revoke_next = second;
        revoke_next(self);
    } else if (strcmp(line, "quit") == 0) {
        self->is_over = true;
    } else {
        refuse("there is no such command");
    }
}

static void read_commands(struct handler *self)
{
    ssize_t size = read(STDIN_FILENO, self->commands + self->commands_size,
                        sizeof self->commands - 1 - self->commands_size);
    if (size <= 0) {
        self->is_over = true;
        return;
    }
    self->commands_size += (size_t)size;
    self->commands[self->commands_size] = '\0';
    char *end;
    while ((end = strchr(self->commands, '\n'))) {
        *end = '\0';
        run_command(self, self->commands);
        self->commands_size -= (size_t)(end + 1 - self->commands);
        memmove(self->commands, end + 1, self->commands_size + 1);
    }
}

static void run(struct handler *self)
{
    zmq_pollitem_t items[] = {{.socket = self->socket, .events = ZMQ_POLLIN},
                              {.fd = STDIN_FILENO, .events = ZMQ_POLLIN}};
    while (!self->is_over) {
        if (zmq_poll(items, 2, PATIENCE_MS) < 0)
            fail("poll");
        if (items[0].revents)
            take_messages(self);
        if (items[1].revents)
            read_commands(self);
    }
}

int main(int argc, char **argv)
{
    static struct handler handler = {.ttl = ""};
    const char *endpoint = "tcp://127.0.0.1:7402";
    const struct argument table[] = {
        {"endpoint", NULL, &endpoint, "where the broker listens for backends"},
        {"ttl", NULL, &handler.ttl, "seconds that a yes holds; empty: no word on that"},
    };
    arguments_read(argc, argv, "a backend that says who may read", table,
                   sizeof table / sizeof *table);
    msgpack_sbuffer_init(&handler.out);
    handler.context = zmq_ctx_new();
    handler.socket = zmq_socket(handler.context, ZMQ_DEALER);
    int linger = 0;
    if (!handler.socket || zmq_setsockopt(handler.socket, ZMQ_LINGER, &linger, sizeof linger) ||
        zmq_connect(handler.socket, endpoint) != 0)
        fail(endpoint);
    register_handler(&handler);
    run(&handler);
    zmq_close(handler.socket);
    zmq_ctx_term(handler.context);
    msgpack_sbuffer_destroy(&handler.out);
    return 0;
}
