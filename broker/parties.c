#include "broker/parties.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/map.h"

#define KEY_MAX (sizeof(size_t) + PARTY_ID_MAX)

struct parties {
    map_t *by_key;
    party_t *first;
    party_t *last_used; /* messages come in runs: mostly the next one is from the same party */
};

static struct span party_key(const void *item)
{
    const party_t *party = item;
    return span_of(party->key, party->key_size);
}

parties_t *parties_new(void)
{
    parties_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->by_key = map_new(party_key);
    if (!self->by_key)
        parties_destroy(&self);
    return self;
}

static void free_party(party_t *party)
{
    while (party->first_ask)
        party_drop_ask(party);
    free(party);
}

void parties_destroy(parties_t **self_p)
{
    parties_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    for (party_t *party = self->first, *next; party; party = next) {
        next = party->next;
        free_party(party);
    }
    map_destroy(&self->by_key);
    free(self);
}

static party_t *make(parties_t *self, size_t endpoint, struct span key, int64_t now_ms)
{
    party_t *party = calloc(1, sizeof *party + key.size);
    if (!party)
        return NULL;
    party->endpoint = endpoint;
    party->heard_ms = now_ms;
    LIST_INIT(&party->workers);
    LIST_INIT(&party->asked);
    TAILQ_INIT(&party->permits);
    TAILQ_INIT(&party->decided);
    party->key_size = key.size;
    memcpy(party->key, key.data, key.size);
    if (!map_put(self->by_key, party)) {
        free(party);
        return NULL;
    }
    party->next = self->first;
    self->first = party;
    return party;
}

party_t *parties_get(parties_t *self, size_t endpoint, struct span id, int64_t now_ms)
{
    assert(id.size <= PARTY_ID_MAX);
    uint8_t bytes[KEY_MAX];
    memcpy(bytes, &endpoint, sizeof endpoint);
    if (id.size)
        memcpy(bytes + sizeof endpoint, id.data, id.size);
    struct span key = span_of(bytes, sizeof endpoint + id.size);

    party_t *party = self->last_used;
    if (!party || !span_equal(party_key(party), key))
        party = map_get(self->by_key, key);
    if (!party)
        party = make(self, endpoint, key, now_ms);
    if (party)
        party->heard_ms = now_ms;
    return self->last_used = party;
}

struct span party_id(const party_t *party)
{
    return span_of(party->key + sizeof party->endpoint, party->key_size - sizeof party->endpoint);
}

struct span party_name(const party_t *gateway)
{
    return span_of(gateway->name, gateway->name_size);
}

bool party_put_ask(party_t *party, struct span items, uint32_t count)
{
    struct ask *ask = calloc(1, sizeof *ask + items.size);
    if (!ask)
        return false;
    ask->size = items.size;
    ask->left = count;
    if (items.size)
        memcpy(ask->bytes, items.data, items.size);
    *(party->last_ask ? &party->last_ask->next : &party->first_ask) = ask;
    party->last_ask = ask;
    party->asks++;
    return true;
}

void party_drop_ask(party_t *party)
{
    struct ask *ask = party->first_ask;
    assert(ask);
    party->first_ask = ask->next;
    if (!ask->next)
        party->last_ask = NULL;
    party->asks--;
    free(ask);
}

static bool stays(const party_t *party, int64_t heard_ms)
{
    return party->heard_ms >= heard_ms || party->unanswered || party->welcome || party->ready ||
           !LIST_EMPTY(&party->workers) || !LIST_EMPTY(&party->asked);
}

void parties_visit(parties_t *self, party_visit_fn *visit, void *arg)
{
    for (party_t *party = self->first; party; party = party->next)
        visit(party, arg);
}

void parties_sweep(parties_t *self, int64_t heard_ms)
{
    self->last_used = NULL;
    for (party_t **at = &self->first; *at;) {
        party_t *party = *at;
        if (stays(party, heard_ms)) {
            at = &party->next;
            continue;
        }
        *at = party->next;
        map_remove(self->by_key, party_key(party));
        free_party(party);
    }
}

size_t parties_backends(const parties_t *self)
{
    size_t count = 0;
    for (const party_t *party = self->first; party; party = party->next)
        count += party->endpoint != PARTY_GATEWAY;
    return count;
}
