#include "broker/backlog.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/map.h"

struct message {
    struct message *next;
    void *owner;
    size_t size;
    uint8_t bytes[];
};

struct queue {
    size_t socket;
    struct message *first, *last;
    size_t count, bytes;
    struct queue *next;
    size_t key_size;
    uint8_t key[]; /* socket, peer */
};

struct backlog {
    size_t max_messages;
    map_t *by_key;
    struct queue *first;
};

static struct span queue_key(const void *item)
{
    const struct queue *queue = item;
    return span_of(queue->key, queue->key_size);
}

backlog_t *backlog_new(size_t messages)
{
    backlog_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->max_messages = messages;
    self->by_key = map_new(queue_key);
    if (!self->by_key)
        backlog_destroy(&self);
    return self;
}

void backlog_set_max(backlog_t *self, size_t messages)
{
    self->max_messages = messages;
}

static void drop_first(struct queue *queue)
{
    struct message *message = queue->first;
    queue->first = message->next;
    queue->count--;
    queue->bytes -= message->size;
    free(message);
}

void backlog_destroy(backlog_t **self_p)
{
    backlog_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    while (self->first) {
        struct queue *queue = self->first;
        self->first = queue->next;
        while (queue->first)
            drop_first(queue);
        free(queue);
    }
    map_destroy(&self->by_key);
    free(self);
}

bool backlog_is_empty(const backlog_t *self)
{
    return !self->first;
}

static struct span make_key(uint8_t *to, size_t socket, struct span peer)
{
    assert(peer.size <= BACKLOG_PEER_MAX);
    memcpy(to, &socket, sizeof socket);
    memcpy(to + sizeof socket, peer.data, peer.size);
    return span_of(to, sizeof socket + peer.size);
}

bool backlog_holds(const backlog_t *self, size_t socket, struct span peer)
{
    if (backlog_is_empty(self))
        return false;
    uint8_t key[sizeof socket + BACKLOG_PEER_MAX];
    return map_get(self->by_key, make_key(key, socket, peer));
}

static struct queue *get_queue(backlog_t *self, size_t socket, struct span peer)
{
    uint8_t bytes[sizeof socket + BACKLOG_PEER_MAX];
    struct span key = make_key(bytes, socket, peer);
    struct queue *queue = map_get(self->by_key, key);
    if (queue)
        return queue;
    queue = calloc(1, sizeof *queue + key.size);
    if (!queue)
        return NULL;
    queue->socket = socket;
    queue->key_size = key.size;
    memcpy(queue->key, key.data, key.size);
    if (!map_put(self->by_key, queue)) {
        free(queue);
        return NULL;
    }
    queue->next = self->first;
    self->first = queue;
    return queue;
}

bool backlog_put(backlog_t *self, size_t socket, struct span peer, struct span bytes, void *owner)
{
    struct queue *queue = get_queue(self, socket, peer);
    if (!queue || queue->count >= self->max_messages ||
        (queue->count > 0 && queue->bytes + bytes.size > BACKLOG_PEER_BYTES))
        return false;
    struct message *message = malloc(sizeof *message + bytes.size);
    if (!message)
        return false;
    *message = (struct message){.owner = owner, .size = bytes.size};
    if (bytes.size)
        memcpy(message->bytes, bytes.data, bytes.size);
    *(queue->first ? &queue->last->next : &queue->first) = message;
    queue->last = message;
    queue->count++;
    queue->bytes += bytes.size;
    return true;
}

static void retry_queue(struct queue *queue, backlog_try_fn *try_send, void *arg)
{
    struct span peer =
        span_of(queue->key + sizeof queue->socket, queue->key_size - sizeof queue->socket);
    while (queue->first) {
        struct message *message = queue->first;
        if (!try_send(queue->socket, peer, span_of(message->bytes, message->size), message->owner,
                      arg))
            return;
        drop_first(queue);
    }
}

void backlog_retry(backlog_t *self, backlog_try_fn *try_send, void *arg)
{
    for (struct queue **at = &self->first; *at;) {
        struct queue *queue = *at;
        retry_queue(queue, try_send, arg);
        if (queue->first) {
            at = &queue->next;
            continue;
        }
        *at = queue->next;
        map_remove(self->by_key, queue_key(queue));
        free(queue);
    }
}
