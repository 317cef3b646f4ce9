#include "broker/handlers.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/map.h"

struct handlers {
    map_t *by_key, *sites;
    LIST_HEAD(, handler) all;
    uint64_t number;
    size_t workers;
};

static struct span key_of_handler(const void *item)
{
    const handler_t *handler = item;
    return span_of(handler->key, handler->key_size);
}

static struct span key_of_site(const void *item)
{
    const struct handler_site *site = item;
    return span_of(site->key, site->key_size);
}

handlers_t *handlers_new(void)
{
    handlers_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    LIST_INIT(&self->all);
    self->by_key = map_new(key_of_handler);
    self->sites = map_new(key_of_site);
    if (!self->by_key || !self->sites)
        handlers_destroy(&self);
    return self;
}

void handlers_destroy(handlers_t **self_p)
{
    handlers_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    handler_t *handler;
    while ((handler = LIST_FIRST(&self->all)))
        handlers_remove(self, &handler);
    map_destroy(&self->by_key);
    map_destroy(&self->sites);
    free(self);
}

/* --- keys --- */

size_t handler_key(const struct address *address, enum permission_level level,
                   uint8_t out[ADDRESS_KEY_MAX])
{
    struct address place = *address;
    place.view = VIEW_LIVE;
    if (level != LEVEL_RESOURCE)
        place.resource = (struct span){0};
    if (level == LEVEL_DEFAULT)
        place.channel = (struct span){0};
    return address_encode(&place, out);
}

/* A default handler has a key that is no address: with a channel in it, it must be one. */
bool handler_address(struct span key, struct address *out)
{
    if (address_decode(key, out))
        return out->view == VIEW_LIVE;
    size_t site_size = key.size > 1 ? key.data[1] : 0;
    if (key.size < 2 + site_size + 1 || key.data[0] != VIEW_LIVE)
        return false;
    size_t app_size = key.data[2 + site_size];
    if (key.size != 2 + site_size + 1 + app_size + 3)
        return false;
    *out = (struct address){.view = VIEW_LIVE,
                            .site = span_of(key.data + 2, site_size),
                            .app = span_of(key.data + 3 + site_size, app_size)};
    uint8_t again[ADDRESS_KEY_MAX];
    return address_is_id(out->site) && (app_size == 0 || address_is_id(out->app)) &&
           span_equal(key, span_of(again, address_encode(out, again)));
}

/* --- registrations --- */

handler_t *handlers_find(const handlers_t *self, struct span key)
{
    return map_get(self->by_key, key);
}

static struct handler_site *use_site(handlers_t *self, struct span name)
{
    struct handler_site *site = map_get(self->sites, name);
    if (site)
        return site;
    site = calloc(1, sizeof *site + name.size);
    if (!site)
        return NULL;
    site->key_size = name.size;
    if (name.size)
        memcpy(site->key, name.data, name.size);
    if (map_put(self->sites, site))
        return site;
    free(site);
    return NULL;
}

static void leave_site(handlers_t *self, struct handler_site *site)
{
    if (site->handlers > 0)
        return;
    map_remove(self->sites, key_of_site(site));
    free(site);
}

handler_t *handlers_add(handlers_t *self, struct span key, const struct address *address)
{
    struct handler_site *site = use_site(self, address->site);
    if (!site)
        return NULL;
    handler_t *handler = calloc(1, sizeof *handler + key.size);
    if (!handler) {
        leave_site(self, site);
        return NULL;
    }
    handler->number = ++self->number;
    handler->key_size = key.size;
    memcpy(handler->key, key.data, key.size);
    TAILQ_INIT(&handler->workers);
    TAILQ_INIT(&handler->waiting);
    LIST_INIT(&handler->checks);
    LIST_INIT(&handler->asked);
    if (!map_put(self->by_key, handler)) {
        free(handler);
        leave_site(self, site);
        return NULL;
    }
    LIST_INSERT_HEAD(&self->all, handler, all);
    handler->site = site;
    site->handlers++;
    return handler;
}

static void forget_worker(handlers_t *self, struct worker *worker)
{
    TAILQ_REMOVE(&worker->handler->workers, worker, of_handler);
    LIST_REMOVE(worker, of_party);
    worker->handler->worker_count--;
    self->workers--;
    free(worker);
}

void handlers_remove(handlers_t *self, handler_t **handler_p)
{
    handler_t *handler = *handler_p;
    *handler_p = NULL;
    assert(LIST_EMPTY(&handler->checks) && LIST_EMPTY(&handler->asked) && !handler->is_ready);
    struct worker *worker;
    while ((worker = TAILQ_FIRST(&handler->workers)))
        forget_worker(self, worker);
    map_remove(self->by_key, key_of_handler(handler));
    LIST_REMOVE(handler, all);
    handler->site->handlers--;
    leave_site(self, handler->site);
    free(handler);
}

size_t handlers_count(const handlers_t *self)
{
    return map_count(self->by_key);
}

size_t handlers_workers(const handlers_t *self)
{
    return self->workers;
}

size_t handlers_of_site(const handlers_t *self, struct span site)
{
    const struct handler_site *found = map_get(self->sites, site);
    return found ? found->handlers : 0;
}

void handlers_visit(handlers_t *self, handlers_visit_fn *visit, void *arg)
{
    for (handler_t *handler = LIST_FIRST(&self->all), *next; handler; handler = next) {
        next = LIST_NEXT(handler, all);
        visit(handler, arg);
    }
}

/* --- workers --- */

static struct worker *find_worker(const handler_t *handler, const party_t *party)
{
    struct worker *worker;
    TAILQ_FOREACH (worker, &handler->workers, of_handler) {
        if (worker->party == party)
            return worker;
    }
    return NULL;
}

bool handler_add_worker(handlers_t *self, handler_t *handler, party_t *party)
{
    if (find_worker(handler, party))
        return true;
    struct worker *worker = calloc(1, sizeof *worker);
    if (!worker)
        return false;
    worker->handler = handler;
    worker->party = party;
    TAILQ_INSERT_HEAD(&handler->workers, worker, of_handler);
    LIST_INSERT_HEAD(&party->workers, worker, of_party);
    handler->worker_count++;
    self->workers++;
    breaker_hurry(&handler->breaker);
    return true;
}

void handler_drop_worker(handlers_t *self, handler_t *handler, const party_t *party)
{
    struct worker *worker = find_worker(handler, party);
    if (worker)
        forget_worker(self, worker);
}

void handlers_drop_party(handlers_t *self, party_t *party)
{
    struct worker *worker;
    while ((worker = LIST_FIRST(&party->workers)))
        forget_worker(self, worker);
}

bool handler_is_awake(const handler_t *handler)
{
    const struct worker *worker;
    TAILQ_FOREACH (worker, &handler->workers, of_handler) {
        if (!worker->party->is_silent)
            return true;
    }
    return false;
}

static bool may_choose(const party_t *party, const party_t *except)
{
    return party != except && !party->is_silent;
}

party_t *handler_choose(handler_t *handler, const party_t *except)
{
    struct worker *least = NULL, *worker;
    TAILQ_FOREACH (worker, &handler->workers, of_handler) {
        if (may_choose(worker->party, except) &&
            (!least || worker->party->batches < least->party->batches))
            least = worker;
    }
    if (!least)
        return NULL;
    TAILQ_REMOVE(&handler->workers, least, of_handler);
    TAILQ_INSERT_TAIL(&handler->workers, least, of_handler);
    return least->party;
}
