#include "broker/core_handlers.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "broker/core_priv.h"

/* Handlers in one reply. */
#define LIST_MAX 1000

/* A request until the store has decided all of it. */
struct registering {
    struct reply_to to;
    size_t open; /* entries that are not decided, and one more while they are being read */
    size_t failed, removed;
    bool is_removal;
};

/* What the store was told. */
struct registration {
    TAILQ_ENTRY(registration) link;
    struct registering *of;
    uint64_t ticket;
    bool removed;
    size_t key_size;
    uint8_t key[];
};

struct registrations {
    TAILQ_HEAD(, registration) pending; /* in the order of their tickets */
    struct registration *told;          /* the last one that went to the store, while it is there */
    uint64_t ticket;
};

registrations_t *registrations_new(void)
{
    registrations_t *self = calloc(1, sizeof *self);
    if (self)
        TAILQ_INIT(&self->pending);
    return self;
}

void registrations_destroy(registrations_t **self_p)
{
    registrations_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    struct registration *next;
    while ((next = TAILQ_FIRST(&self->pending))) {
        TAILQ_REMOVE(&self->pending, next, link);
        if (--next->of->open == 0)
            free(next->of);
        free(next);
    }
    free(self);
}

/* --- the request --- */

static void reply(core_t *core, const struct registering *of)
{
    const struct wire_value *id;
    struct buffer *to = core_begin_reply(core, &of->to, &id);
    if (!to)
        return;
    if (of->failed > 0)
        backend_write_error(to, id, STATUS_UNAVAILABLE,
                            span_text(of->is_removal ? "handlers: could not be removed from the "
                                                       "store; see the broker's log"
                                                     : "handlers: could not be stored; see the "
                                                       "broker's log"));
    else if (of->is_removal)
        backend_write_removed(to, id, of->removed);
    else
        backend_write_done(to, id);
    core_end_reply(core, of->to.party);
}

static void close_registering(core_t *core, struct registering *of)
{
    if (--of->open > 0)
        return;
    reply(core, of);
    free(of);
}

static void fail(struct registering *of)
{
    of->failed++;
}

/* Tells the store. False when memory is exhausted. */
static bool tell_store(core_t *core, struct registering *of, handler_t *handler, bool removed)
{
    registrations_t *self = core->registrations;
    struct registration *registration = calloc(1, sizeof *registration + handler->key_size);
    if (!registration || !effects_register(&core->effects, self->ticket + 1)) {
        free(registration);
        return false;
    }
    registration->of = of;
    registration->ticket = handler->ticket = ++self->ticket;
    registration->removed = handler->is_leaving = removed;
    registration->key_size = handler->key_size;
    memcpy(registration->key, handler->key, handler->key_size);
    TAILQ_INSERT_TAIL(&self->pending, registration, link);
    of->open++;
    return true;
}

bool core_no_registering(const core_t *core)
{
    return TAILQ_EMPTY(&core->registrations->pending);
}

static struct span key_of(const struct registration *registration)
{
    return span_of(registration->key, registration->key_size);
}

/* They are told in their order, so the next one is looked for behind the last. */
bool core_find_registration(core_t *core, uint64_t ticket, struct store_registration *out)
{
    registrations_t *self = core->registrations;
    struct registration *next =
        self->told ? TAILQ_NEXT(self->told, link) : TAILQ_FIRST(&self->pending);
    while (next && next->ticket != ticket)
        next = TAILQ_NEXT(next, link);
    if (!next)
        return false;
    self->told = next;
    *out = (struct store_registration){ticket, key_of(next), next->removed};
    return true;
}

/* --- what the store says --- */

static void end_handler(core_t *core, handler_t *handler)
{
    core_asks_end(core, handler);
    handlers_remove(core->handlers, &handler);
}

/* Somebody else may have told the store something since: that decides then. */
static void settle(core_t *core, const struct registration *registration, bool committed)
{
    handler_t *handler = handlers_find(core->handlers, key_of(registration));
    if (!committed)
        fail(registration->of);
    if (!handler)
        return;
    bool is_last = handler->ticket == registration->ticket;
    if (is_last)
        handler->is_leaving = false;
    if (registration->removed && committed) {
        handler->is_stored = false;
        registration->of->removed += is_last;
        if (is_last)
            end_handler(core, handler);
    } else if (committed) {
        handler->is_stored = true;
    } else if (!registration->removed && !handler->is_stored && is_last) {
        end_handler(core, handler);
    }
}

void core_registered(core_t *core, uint64_t ticket, enum store_outcome outcome, int64_t now_ms)
{
    core->now_ms = now_ms;
    registrations_t *self = core->registrations;
    struct registration *registration = TAILQ_FIRST(&self->pending);
    while (registration && registration->ticket != ticket)
        registration = TAILQ_NEXT(registration, link);
    if (!registration)
        return;
    TAILQ_REMOVE(&self->pending, registration, link);
    if (self->told == registration)
        self->told = NULL;
    bool committed = outcome == STORE_COMMITTED;
    core->metrics->registrations_failed_total += !committed;
    settle(core, registration, committed);
    close_registering(core, registration->of);
    free(registration);
}

bool core_restore_handler(core_t *core, struct span key)
{
    struct address address;
    if (!handler_address(key, &address) || handlers_find(core->handlers, key))
        return false;
    handler_t *handler = handlers_add(core->handlers, key, &address);
    if (handler)
        handler->is_stored = true;
    return handler;
}

/* --- handle, unhandle --- */

static enum permission_level level_of(const struct backend_target *target)
{
    if (!target->has_channel)
        return LEVEL_DEFAULT;
    return target->resource.size > 0 ? LEVEL_RESOURCE : LEVEL_CHANNEL;
}

/* The checked place of one entry. */
static enum status read_entry(core_t *core, const party_t *from,
                              const struct backend_request *request, size_t index,
                              struct address *address, enum permission_level *level)
{
    struct backend_target target;
    enum status status = backend_decode_handler(request, index, &target, &core->why);
    if (status)
        return status;
    *level = level_of(&target);
    size_t mark = core->why.size;
    buffer_printf(&core->why, "handlers[%zu]: ", index);
    status = *level == LEVEL_DEFAULT ? sites_scope(core->settings.sites, from->endpoint,
                                                   SITE_HANDLE, &target, address, &core->why)
                                     : sites_resolve(core->settings.sites, from->endpoint,
                                                     SITE_HANDLE, &target, address, &core->why);
    if (!status)
        core->why.size = mark;
    return status;
}

/* All entries are read before the first one counts. */
static enum status check_entries(core_t *core, const party_t *from,
                                 const struct backend_request *request, size_t *added)
{
    struct address address;
    enum permission_level level;
    enum status status = sites_scope(core->settings.sites, from->endpoint, SITE_HANDLE,
                                     &request->target, &address, &core->why);
    *added = 0;
    for (size_t i = 0; !status && i < wire_count(request->items); i++) {
        status = read_entry(core, from, request, i, &address, &level);
        uint8_t key[ADDRESS_KEY_MAX];
        if (!status &&
            !handlers_find(core->handlers, span_of(key, handler_key(&address, level, key))))
            ++*added;
    }
    if (status || request->op != BACKEND_HANDLE ||
        handlers_of_site(core->handlers, address.site) + *added <= core->settings.handlers)
        return status;
    buffer_printf(&core->why, "handlers: more than %zu of this site", core->settings.handlers);
    return STATUS_TOO_MANY;
}

static bool is_refused(core_t *core, party_t *from, const struct backend_request *request)
{
    size_t added;
    enum status status = check_entries(core, from, request, &added);
    if (status)
        core_refuse(core, from, request, status, buffer_span(&core->why));
    return status;
}

static struct registering *registering_new(core_t *core, party_t *from,
                                           const struct backend_request *request)
{
    struct registering *of = calloc(1, sizeof *of);
    if (of && core_keep_reply(core, &of->to, from, request->id)) {
        of->open = 1;
        of->is_removal = request->op == BACKEND_UNHANDLE;
        return of;
    }
    free(of);
    core_refuse(core, from, request, STATUS_UNAVAILABLE, span_text("out of memory"));
    return NULL;
}

static void add_handler(core_t *core, party_t *from, struct registering *of, struct span key,
                        const struct address *address)
{
    handler_t *handler = handlers_find(core->handlers, key);
    if (!handler)
        handler = handlers_add(core->handlers, key, address);
    if (!handler || !handler_add_worker(core->handlers, handler, from)) {
        fail(of);
        return;
    }
    if (handler->is_stored && !handler->is_leaving)
        return;
    if (tell_store(core, of, handler, false))
        return;
    fail(of);
    if (!handler->is_stored && handler->ticket == 0)
        end_handler(core, handler);
}

static void drop_handler(core_t *core, party_t *from, struct registering *of, struct span key,
                         bool everywhere)
{
    handler_t *handler = handlers_find(core->handlers, key);
    if (!handler)
        return;
    size_t before = handler->worker_count;
    handler_drop_worker(core->handlers, handler, from);
    bool was_last = before > 0 && handler->worker_count == 0;
    if ((was_last || everywhere) && !tell_store(core, of, handler, true))
        fail(of);
}

void core_handle(core_t *core, party_t *from, const struct backend_request *request)
{
    struct registering *of =
        is_refused(core, from, request) ? NULL : registering_new(core, from, request);
    if (!of)
        return;
    for (size_t i = 0; i < wire_count(request->items); i++) {
        struct address address;
        enum permission_level level;
        uint8_t bytes[ADDRESS_KEY_MAX];
        if (read_entry(core, from, request, i, &address, &level) != STATUS_OK)
            continue; /* cannot be: all were read before */
        struct span key = span_of(bytes, handler_key(&address, level, bytes));
        if (request->op == BACKEND_HANDLE)
            add_handler(core, from, of, key, &address);
        else
            drop_handler(core, from, of, key, request->everywhere);
    }
    close_registering(core, of);
}

void core_backend_gone(core_t *core, party_t *backend)
{
    core->metrics->workers_gone_total += !LIST_EMPTY(&backend->workers);
    handlers_drop_party(core->handlers, backend);
    core_asks_gone(core, backend);
}

/* --- the list --- */

struct listing {
    core_t *core;
    const struct backend_target *target;
    size_t endpoint;
    struct address scope;
    struct buffer *to; /* NULL: only count */
    size_t total, left;
};

static bool is_listed(const struct listing *listing, const struct address *address)
{
    if (!span_equal(address->site, listing->scope.site))
        return false;
    if (listing->target->has_app)
        return span_equal(address->app, listing->scope.app);
    return sites_acts_for(listing->core->settings.sites, listing->endpoint, address->app);
}

static void list_handler(handler_t *handler, void *arg)
{
    struct listing *listing = arg;
    struct address address;
    if (!handler_address(span_of(handler->key, handler->key_size), &address) ||
        !is_listed(listing, &address))
        return;
    listing->total++;
    if (!listing->to || listing->left == 0)
        return;
    listing->left--;
    backend_put_handler(listing->to, &(struct backend_handler){.site = address.site,
                                                               .app = address.app,
                                                               .channel = address.channel,
                                                               .resource = address.resource,
                                                               .workers = handler->worker_count,
                                                               .is_open = handler->breaker.is_open,
                                                               .questions = handler->questions,
                                                               .failures = handler->failures});
}

void core_list_handlers(core_t *core, party_t *from, const struct backend_request *request)
{
    struct listing listing = {.core = core, .target = &request->target, .endpoint = from->endpoint};
    enum status status = sites_scope(core->settings.sites, from->endpoint, SITE_HANDLE,
                                     &request->target, &listing.scope, &core->why);
    if (status) {
        core_refuse(core, from, request, status, buffer_span(&core->why));
        return;
    }
    struct reply_to to;
    const struct wire_value *id;
    if (!core_keep_reply(core, &to, from, request->id)) {
        core_refuse(core, from, request, STATUS_UNAVAILABLE, span_text("out of memory"));
        return;
    }
    handlers_visit(core->handlers, list_handler, &listing);
    struct buffer *buffer = core_begin_reply(core, &to, &id);
    if (!buffer)
        return;
    listing.left = listing.total < LIST_MAX ? listing.total : LIST_MAX;
    backend_begin_handlers(buffer, id, listing.total, listing.left);
    listing.to = buffer;
    listing.total = 0;
    handlers_visit(core->handlers, list_handler, &listing);
    core_end_reply(core, from);
}
