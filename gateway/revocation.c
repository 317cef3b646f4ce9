#include <assert.h>
#include <stdlib.h>

#include "gateway/hub_priv.h"

/* revocation - the site takes back who may read, or who may be connected.
 *
 * What is confirmed is done: from then on nothing that is published reaches those who lost the
 * right. A recheck takes the right from all that it matches at once, and is confirmed when the
 * broker has said of each whether it gets it back, or after a while: who then still waits gets
 * nothing either, but is not counted as ended.
 *
 * Subscriptions that the broker is yet to answer are its business: it asks again for them. */

#define CONFIRM_MS 800
/* Beyond these a revocation does not wait for what becomes of it. */
#define REVOCATIONS_MAX 1024
#define WATCHES_MAX     262144

struct revocation {
    TAILQ_ENTRY(revocation) link; /* in hub->revocations, the oldest first */
    uint64_t number;
    uint32_t affected, ended;
    uint32_t undecided;
    int64_t until_ms;
    struct watches watches;
};

/* One revocation that waits for one guard. */
struct watch {
    LIST_ENTRY(watch) of_guard, of_revocation;
    revocation_t *revocation;
};

/* --- who is meant --- */

static bool matches_subscriber(const struct bus_revoke *revoke, const session_t *session)
{
    if (session->state != SESSION_OPEN)
        return false;
    const struct subscriber *subscriber = session_subscriber(session);
    if (revoke->scope & BUS_SCOPE_TYPE && revoke->type != (uint8_t)subscriber->type)
        return false;
    return !(revoke->scope & BUS_SCOPE_SUBSCRIBER) ||
           span_equal(revoke->subscriber, subscriber->id);
}

static bool matches_address(const struct bus_revoke *revoke, const interest_t *interest)
{
    struct address address;
    if (!address_decode(interest_address(interest), &address) || address.view != VIEW_LIVE)
        return false;
    if (revoke->scope & BUS_SCOPE_SITE && !span_equal(revoke->site, address.site))
        return false;
    if (revoke->scope & BUS_SCOPE_APP && !span_equal(revoke->app, address.app))
        return false;
    if (revoke->scope & BUS_SCOPE_CHANNEL && !span_equal(revoke->channel, address.channel))
        return false;
    return !(revoke->scope & BUS_SCOPE_RESOURCE) || span_equal(revoke->resource, address.resource);
}

/* The subscriptions that are meant, listed before anything happens to one of them. */
struct matches {
    hub_t *hub;
    const struct bus_revoke *revoke;
    subscription_t **items;
    size_t count, room;
    bool failed; /* no memory */
};

static void add(struct matches *matches, subscription_t *subscription)
{
    if (matches->count == matches->room) {
        size_t room = matches->room ? matches->room * 2 : 64;
        subscription_t **items = realloc(matches->items, room * sizeof(*items));
        if (!items) {
            matches->failed = true;
            return;
        }
        matches->items = items;
        matches->room = room;
    }
    matches->items[matches->count++] = subscription;
}

static void add_members(void *item, void *arg)
{
    interest_t *interest = item;
    struct matches *matches = arg;
    group_t *group;
    if (!matches_address(matches->revoke, interest))
        return;
    LIST_FOREACH (group, &interest->groups, link) {
        for (uint32_t i = 0; i < group->member_count; i++)
            if (matches_subscriber(matches->revoke, group->members[i]->session))
                add(matches, group->members[i]);
    }
}

/* Those that are no members, but on the way to become some, or lost, and wait for an answer. */
static void add_askers(struct matches *matches)
{
    size_t at = 0;
    enum question_kind kind;
    void *asker;
    while ((asker = question_next(matches->hub->questions, &at, &kind))) {
        if (kind != QUESTION_CATCH_UP && kind != QUESTION_HISTORY && kind != QUESTION_PRESENCE)
            continue;
        subscription_t *subscription = asker;
        if (subscription->state != SUBSCRIPTION_LIVE &&
            matches_subscriber(matches->revoke, subscription->session) &&
            matches_address(matches->revoke, subscription_interest(subscription)))
            add(matches, subscription);
    }
}

static void add_of_sessions(struct matches *matches)
{
    session_t *session;
    subscription_t *subscription;
    TAILQ_FOREACH (session, &matches->hub->sessions, all) {
        if (!matches_subscriber(matches->revoke, session))
            continue;
        LIST_FOREACH (subscription, &session->subscriptions, link) {
            if (matches_address(matches->revoke, subscription_interest(subscription)))
                add(matches, subscription);
        }
    }
}

/* The one address that is meant, if it is one. */
static bool names_address(const struct bus_revoke *revoke, uint8_t key[ADDRESS_KEY_MAX],
                          struct span *out)
{
    const uint8_t all = BUS_SCOPE_SITE | BUS_SCOPE_APP | BUS_SCOPE_CHANNEL | BUS_SCOPE_RESOURCE;
    struct address address = {.view = VIEW_LIVE,
                              .site = revoke->site,
                              .app = revoke->app,
                              .channel = revoke->channel,
                              .resource = revoke->resource};
    if ((revoke->scope & all) != all || !address_is_id(address.site) ||
        address_check(&address) != ADDRESS_OK)
        return false;
    *out = span_of(key, address_encode(&address, key));
    return true;
}

/* By whatever way has the fewest to look at. */
static void find_matches(struct matches *matches)
{
    uint8_t bytes[ADDRESS_KEY_MAX];
    struct span key;
    if (names_address(matches->revoke, bytes, &key)) {
        interest_t *interest = map_get(matches->hub->interests, key);
        if (!interest)
            return;
        add_members(interest, matches);
        add_askers(matches);
    } else if (matches->revoke->scope & BUS_SCOPE_SUBSCRIBER) {
        add_of_sessions(matches);
    } else {
        map_visit(matches->hub->interests, add_members, matches);
        add_askers(matches);
    }
}

/* --- confirming --- */

static void confirm(hub_t *self, uint64_t number, uint32_t affected, uint32_t ended)
{
    struct buffer frame = {0};
    bus_put_revoked(&frame,
                    &(struct bus_revoked){.number = number, .affected = affected, .ended = ended});
    if (!frame.failed) /* without memory the broker waits in vain, and says so */
        hub_queue(self, HUB_SEND, buffer_span(&frame));
    buffer_free(&frame);
}

static void forget_watch(hub_t *self, struct watch *watch)
{
    LIST_REMOVE(watch, of_guard);
    LIST_REMOVE(watch, of_revocation);
    self->watch_count--;
    free(watch);
}

static void revocation_end(hub_t *self, revocation_t *revocation)
{
    struct watch *watch;
    while ((watch = LIST_FIRST(&revocation->watches)))
        forget_watch(self, watch);
    TAILQ_REMOVE(&self->revocations, revocation, link);
    self->revocation_count--;
    free(revocation);
}

static void finish(hub_t *self, revocation_t *revocation)
{
    confirm(self, revocation->number, revocation->affected, revocation->ended);
    revocation_end(self, revocation);
}

static void decide(hub_t *self, revocation_t *revocation, bool ended)
{
    revocation->ended += ended;
    if (--revocation->undecided == 0)
        finish(self, revocation);
}

void revocation_watch(hub_t *self, revocation_t *revocation, struct watches *of_guard)
{
    struct watch *watch = self->watch_count < WATCHES_MAX ? malloc(sizeof *watch) : NULL;
    if (!watch)
        return;
    watch->revocation = revocation;
    LIST_INSERT_HEAD(of_guard, watch, of_guard);
    LIST_INSERT_HEAD(&revocation->watches, watch, of_revocation);
    revocation->undecided++;
    self->watch_count++;
}

void revocations_decided(hub_t *self, struct watches *of_guard, bool ended)
{
    struct watch *watch;
    while ((watch = LIST_FIRST(of_guard))) {
        revocation_t *revocation = watch->revocation;
        forget_watch(self, watch);
        decide(self, revocation, ended);
    }
}

void revocations_tick(hub_t *self)
{
    revocation_t *first;
    while ((first = TAILQ_FIRST(&self->revocations)) && first->until_ms <= self->now_ms)
        finish(self, first);
}

int64_t revocations_wait(const hub_t *self, int64_t now_ms)
{
    const revocation_t *first = TAILQ_FIRST(&self->revocations);
    if (!first)
        return -1;
    return first->until_ms > now_ms ? first->until_ms - now_ms : 0;
}

void revocations_end(hub_t *self)
{
    revocation_t *first;
    while ((first = TAILQ_FIRST(&self->revocations)))
        revocation_end(self, first);
}

/* --- doing it --- */

static bool is_granted(const subscription_t *subscription)
{
    return subscription->state == SUBSCRIPTION_LIVE || subscription->state == SUBSCRIPTION_CATCHING;
}

static void deny(hub_t *self, uint64_t number, const struct matches *matches)
{
    uint32_t ended = 0;
    for (size_t i = 0; i < matches->count; i++) {
        subscription_t *subscription = matches->items[i];
        if (!is_granted(subscription)) {
            subscription_ask_again(self, subscription);
            continue;
        }
        ended++;
        self->metrics.revoked_total++;
        subscription_revoke(self, subscription);
    }
    confirm(self, number, ended, ended);
}

/* NULL: it cannot wait. It counts itself among the undecided, so that it does not end while it is
 * being applied. */
static revocation_t *revocation_new(hub_t *self, uint64_t number)
{
    revocation_t *revocation =
        self->revocation_count < REVOCATIONS_MAX ? calloc(1, sizeof *revocation) : NULL;
    if (!revocation)
        return NULL;
    revocation->number = number;
    revocation->undecided = 1;
    revocation->until_ms = self->now_ms + CONFIRM_MS;
    LIST_INIT(&revocation->watches);
    TAILQ_INSERT_TAIL(&self->revocations, revocation, link);
    self->revocation_count++;
    return revocation;
}

static void recheck(hub_t *self, uint64_t number, const struct matches *matches)
{
    revocation_t *revocation = revocation_new(self, number);
    uint32_t affected = 0, ended = 0;
    for (size_t i = 0; i < matches->count; i++) {
        subscription_t *subscription = matches->items[i];
        bool was_granted = is_granted(subscription);
        if (was_granted)
            guard_recheck(self, subscription, revocation);
        subscription_ask_again(self, subscription);
        affected += was_granted;
        ended += was_granted && !is_granted(subscription);
    }
    if (!revocation) {
        confirm(self, number, affected, ended);
        return;
    }
    revocation->affected = affected;
    revocation->ended += ended;
    decide(self, revocation, false);
}

static void disconnect(hub_t *self, const struct bus_revoke *revoke)
{
    uint32_t closed = 0;
    session_t *session;
    TAILQ_FOREACH (session, &self->sessions, all) {
        if (!matches_subscriber(revoke, session))
            continue;
        if (revoke->scope & BUS_SCOPE_SITE &&
            !span_equal(revoke->site, session_subscriber(session)->site))
            continue;
        closed++;
        session_disconnect(self, session, revoke->reason);
    }
    self->metrics.disconnected_total += closed;
    confirm(self, revoke->number, closed, closed);
}

/* False when memory is exhausted: then nothing is done, and nothing is confirmed. */
static bool revoke_subscriptions(hub_t *self, const struct bus_revoke *revoke)
{
    struct matches matches = {.hub = self, .revoke = revoke};
    find_matches(&matches);
    if (!matches.failed && revoke->mode == BUS_REVOKE_DENY)
        deny(self, revoke->number, &matches);
    else if (!matches.failed)
        recheck(self, revoke->number, &matches);
    free(matches.items);
    return !matches.failed;
}

/* Whom the lost ones were about is not known: nobody goes on reading unasked. It has no number that
 * the broker waits for. */
static bool take_from_all(hub_t *self)
{
    return revoke_subscriptions(self, &(struct bus_revoke){.mode = BUS_REVOKE_RECHECK});
}

/* The link asks for what is missing; what comes behind it is sent again then. */
static bool miss(hub_t *self)
{
    if (!self->misses_revocations) {
        self->metrics.revocations_missed_total++;
        self->misses_revocations = true;
        (void)take_from_all(self);
    }
    return false;
}

static bool apply(hub_t *self, const struct bus_revoke *revoke)
{
    if (revoke->scope & BUS_SCOPE_FORGOTTEN)
        return take_from_all(self);
    if (revoke->mode != BUS_REVOKE_DISCONNECT)
        return revoke_subscriptions(self, revoke);
    disconnect(self, revoke);
    return true;
}

bool hub_revoke(hub_t *self, struct span frame, int64_t now_ms)
{
    self->now_ms = now_ms;
    struct bus_revoke revoke;
    if (!bus_get_revoke(frame, &revoke) || revoke.mode < BUS_REVOKE_RECHECK ||
        revoke.mode > BUS_REVOKE_DISCONNECT) {
        self->metrics.publications_malformed_total++;
        return true;
    }
    bool is_forgotten = revoke.scope & BUS_SCOPE_FORGOTTEN;
    if (!is_forgotten && revoke.number <= self->revoked)
        return true; /* sent again, and applied before */
    if (!is_forgotten && revoke.number != self->revoked + 1)
        return miss(self);
    self->metrics.revocations_total++;
    if (!apply(self, &revoke))
        return false;
    self->revoked = revoke.number;
    self->misses_revocations = false;
    return true;
}

bool hub_check_revoked(hub_t *self, uint64_t revoked, int64_t now_ms)
{
    self->now_ms = now_ms;
    return self->revoked == revoked || miss(self);
}
