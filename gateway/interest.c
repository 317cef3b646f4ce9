#include <assert.h>
#include <stdlib.h>

#include "gateway/hub_priv.h"
#include "proto/status.h"

/* How many ranges are asked for at once: one full ask frame eight times. */
#define REPAIRS_IN_FLIGHT (8 * LIMIT_ASK_ITEMS)

struct span interest_address(const interest_t *interest)
{
    return span_of(interest->topic + 1, (size_t)interest->topic_size - 1);
}

/* --- finding, making, ending --- */

static void start_fencing(hub_t *self, interest_t *interest)
{
    interest->state = INTEREST_FENCING;
    interest->fence = 0;
    TAILQ_INSERT_TAIL(&self->fencing, interest, fence_link);
}

static interest_t *interest_new(hub_t *self, struct span key)
{
    interest_t *interest = calloc(1, sizeof *interest + 1 + key.size);
    if (!interest)
        return NULL;
    interest->topic_size = (uint16_t)(1 + key.size);
    interest->topic[0] = BUS_TOPIC_PUBLICATION;
    memcpy(interest->topic + 1, key.data, key.size);
    TAILQ_INIT(&interest->fenced);
    if (!map_put(self->interests, interest)) {
        free(interest);
        return NULL;
    }
    if (!hub_queue(self, HUB_LISTEN, span_of(interest->topic, interest->topic_size))) {
        map_remove(self->interests, key);
        free(interest);
        return NULL;
    }
    start_fencing(self, interest);
    audit_begin(self, interest);
    return interest;
}

static void close_question(hub_t *self, interest_t *interest)
{
    if (!interest->question)
        return;
    question_close(self->questions, &interest->question);
    deadline_clear(&interest->repair_timer);
    TAILQ_REMOVE(&self->repairs_asked, interest, repair_link);
    self->repairs_in_flight--;
}

/* Leaves whatever list its state has put it into. */
static void leave_queues(hub_t *self, interest_t *interest)
{
    if (interest->state == INTEREST_FENCING)
        TAILQ_REMOVE(&self->fencing, interest, fence_link);
    if (interest->is_queued)
        TAILQ_REMOVE(&self->repairs, interest, repair_link);
    if (interest->is_releasing)
        TAILQ_REMOVE(&self->releasing, interest, repair_link);
    interest->is_queued = interest->is_releasing = false;
    close_question(self, interest);
}

static void stop_linger(hub_t *self, interest_t *interest)
{
    if (!interest->is_lingering)
        return;
    interest->is_lingering = false;
    deadline_clear(&interest->linger);
    TAILQ_REMOVE(&self->lingering, interest, linger_link);
    self->lingering_count--;
}

void interest_destroy(hub_t *self, interest_t **interest_p)
{
    interest_t *interest = *interest_p;
    *interest_p = NULL;
    assert(interest->subscriptions == 0);
    hub_queue(self, HUB_UNLISTEN, span_of(interest->topic, interest->topic_size));
    leave_queues(self, interest);
    audit_end(self, interest);
    stop_linger(self, interest);
    recent_destroy(&interest->recent);
    map_remove(self->interests, interest_address(interest));
    free(interest);
}

/* Nobody subscribes any more. Clients choose the names: when too many linger, the first ones go. */
static void start_linger(hub_t *self, interest_t *interest)
{
    interest->is_lingering = true;
    deadline_set(self->linger_timers, &interest->linger, self->now_ms + self->settings.linger_ms);
    TAILQ_INSERT_TAIL(&self->lingering, interest, linger_link);
    if (++self->lingering_count <= self->settings.linger_addresses)
        return;
    self->metrics.linger_cut_total++;
    interest_t *first = TAILQ_FIRST(&self->lingering);
    interest_destroy(self, &first);
}

group_t *interest_join(hub_t *self, const struct address *address, struct span name)
{
    uint8_t bytes[ADDRESS_KEY_MAX];
    struct span key = span_of(bytes, address_encode(address, bytes));
    interest_t *interest = map_get(self->interests, key);
    if (!interest)
        interest = interest_new(self, key);
    if (!interest)
        return NULL;

    group_t *group = group_find(interest, name);
    if (!group)
        group = group_new(self, interest, name);
    if (!group) {
        if (interest->subscriptions == 0 && !interest->is_lingering)
            start_linger(self, interest);
        return NULL;
    }
    stop_linger(self, interest);
    group->subscriptions++;
    interest->subscriptions++;
    return group;
}

void group_leave(hub_t *self, group_t **group_p)
{
    group_t *group = *group_p;
    interest_t *interest = group->interest;
    *group_p = NULL;
    assert(group->subscriptions > 0 && interest->subscriptions > 0);
    interest->subscriptions--;
    if (--group->subscriptions == 0)
        group_destroy(&group);
    if (interest->subscriptions == 0)
        start_linger(self, interest);
}

/* Nothing is held without a reason. */
static void release_recent(interest_t *interest)
{
    if (interest->joining == 0 && interest->state == INTEREST_LIVE)
        recent_destroy(&interest->recent);
}

bool interest_joining(hub_t *self, interest_t *interest)
{
    if (!interest->recent)
        interest->recent = recent_new(self->settings.held_messages, &self->held);
    if (!interest->recent)
        return false;
    interest->joining++;
    return true;
}

void interest_joined(interest_t *interest)
{
    assert(interest->joining > 0);
    interest->joining--;
    release_recent(interest);
}

/* --- delivering --- */

static void deliver(hub_t *self, interest_t *interest, struct span body, uint64_t offset)
{
    assert(offset == interest->offset + 1);
    interest->offset = offset;
    group_t *group;
    LIST_FOREACH (group, &interest->groups, link)
        group_deliver(self, group, body, offset);
}

static void hold(hub_t *self, interest_t *interest, const struct bus_delivery *delivery)
{
    enum recent_result result = RECENT_NO_MEMORY;
    if (!interest->recent)
        interest->recent = recent_new(self->settings.held_messages, &self->held);
    if (interest->recent)
        result = recent_put(interest->recent, delivery->epoch, delivery->offset, delivery->body);
    if (result == RECENT_OVERFLOW)
        self->metrics.held_overflow_total++;
    if (result == RECENT_NO_ROOM)
        self->metrics.held_refused_total++;
    bool is_missing = result == RECENT_NO_ROOM || result == RECENT_NO_MEMORY;
    if (is_missing && interest->state != INTEREST_LIVE)
        interest->has_hidden_hole = true;
}

/* --- repairing --- */

static void repair(hub_t *self, interest_t *interest)
{
    assert(interest->has_position && !interest->is_releasing);
    interest->state = INTEREST_REPAIRING;
    interest->is_queued = true;
    TAILQ_INSERT_TAIL(&self->repairs, interest, repair_link);
    interests_ask_repairs(self);
}

void interests_ask_repairs(hub_t *self)
{
    interest_t *interest;
    while (self->broker_is_up && self->repairs_in_flight < REPAIRS_IN_FLIGHT &&
           (interest = TAILQ_FIRST(&self->repairs))) {
        interest->question = question_open(self->questions, QUESTION_RANGE, interest);
        if (!interest->question)
            return; /* no memory: the next answer or tick tries again */
        TAILQ_REMOVE(&self->repairs, interest, repair_link);
        interest->is_queued = false;
        TAILQ_INSERT_TAIL(&self->repairs_asked, interest, repair_link);
        self->repairs_in_flight++;
        deadline_set(self->repair_timers, &interest->repair_timer,
                     self->now_ms + self->settings.reply_ms);
        bool is_of_before = interest->broker != self->broker;
        interest->has_hidden_hole = false; /* what is missing so far was published before */
        hub_ask(self, &(struct bus_question){.kind = BUS_RANGE,
                                             .flags = is_of_before ? BUS_QUESTION_OF_BEFORE : 0,
                                             .token = interest->question,
                                             .address = interest_address(interest),
                                             .epoch = interest->epoch,
                                             .offset = interest->offset});
    }
}

void interest_repair_again(hub_t *self, interest_t *interest)
{
    close_question(self, interest);
    if (interest->state == INTEREST_REPAIRING && !interest->is_queued)
        repair(self, interest);
}

/* Of what is held so much is put before clients are written to: a part of what may wait for one. */
static bool may_release(const hub_t *self)
{
    return self->released < self->settings.queue_bytes / 2;
}

/* Delivers what was held beyond the position, in order; a hole is repaired. */
static void deliver_held(hub_t *self, interest_t *interest)
{
    interest->state = INTEREST_LIVE;
    for (uint32_t i = 0; i < recent_count(interest->recent); i++) {
        const struct recent_entry *entry = recent_at(interest->recent, i);
        bool is_ours = entry->epoch == interest->epoch;
        if (is_ours && entry->offset <= interest->offset)
            continue;
        if (is_ours && entry->offset == interest->offset + 1 && !may_release(self)) {
            interest->state = INTEREST_REPAIRING;
            interest->is_releasing = true;
            TAILQ_INSERT_TAIL(&self->releasing, interest, repair_link);
            return;
        }
        if (is_ours && entry->offset == interest->offset + 1) {
            self->released += RECENT_ENTRY_BYTES + entry->body->size;
            deliver(self, interest, payload_span(entry->body), entry->offset);
            continue;
        }
        /* A foreign epoch is older than our position or newer; the broker's answer tells, and
         * covers it either way, since it was published before we ask. */
        recent_keep_epoch(interest->recent, interest->epoch);
        self->metrics.gaps_total++;
        repair(self, interest);
        return;
    }
    release_recent(interest);
    if (interest->has_hidden_hole)
        interest_mend(self, interest);
}

void interests_release(hub_t *self)
{
    interest_t *interest;
    while (may_release(self) && (interest = TAILQ_FIRST(&self->releasing))) {
        TAILQ_REMOVE(&self->releasing, interest, repair_link);
        interest->is_releasing = false;
        deliver_held(self, interest);
    }
}

void interest_publication(hub_t *self, interest_t *interest, const struct bus_delivery *delivery)
{
    if (interest->state != INTEREST_LIVE) {
        hold(self, interest, delivery);
        return;
    }
    bool is_ours = delivery->epoch == interest->epoch;
    if (is_ours && delivery->offset <= interest->offset)
        return;
    if (is_ours && delivery->offset == interest->offset + 1) {
        if (interest->joining > 0)
            hold(self, interest, delivery);
        deliver(self, interest, delivery->body, delivery->offset);
        return;
    }
#ifdef WITHOUT_REPAIR /* only in the gateway that the fault suite must see fail */
    if (is_ours) {
        interest->offset = delivery->offset - 1;
        deliver(self, interest, delivery->body, delivery->offset);
        return;
    }
#endif
    hold(self, interest, delivery);
    interest_mend(self, interest);
}

void interest_mend(hub_t *self, interest_t *interest)
{
    self->metrics.gaps_total++;
    repair(self, interest);
}

void interest_mark(hub_t *self, interest_t *interest, uint64_t epoch, uint64_t offset)
{
    if (interest->state != INTEREST_LIVE)
        return;
    if (epoch == interest->epoch && offset <= interest->offset)
        return;
    interest_mend(self, interest);
}

static void set_position(const hub_t *self, interest_t *interest, uint64_t epoch, uint64_t offset)
{
    interest->epoch = epoch;
    interest->offset = offset;
    interest->broker = self->broker;
}

/* The stream goes on at another place, and nobody can have what lies between. */
static void lose(hub_t *self, interest_t *interest, uint64_t epoch, uint64_t offset)
{
    group_t *group;
    LIST_FOREACH (group, &interest->groups, link) {
        while (group->member_count > 0)
            subscription_lose(self, group->members[group->member_count - 1]);
    }
    audit_drop(self, interest);
    set_position(self, interest, epoch, offset);
}

void interest_learn(hub_t *self, interest_t *interest, uint64_t epoch, uint64_t offset)
{
    if (!interest->has_position) {
        set_position(self, interest, epoch, offset);
        interest->has_position = true;
        return;
    }
    if (epoch == interest->epoch)
        return;
    lose(self, interest, epoch, offset);
    if (interest->state == INTEREST_REPAIRING) { /* a range of the old epoch helps nobody */
        leave_queues(self, interest);
        interest->state = INTEREST_ASKING;
    }
}

void interest_settle(hub_t *self, interest_t *interest)
{
    if (interest->state == INTEREST_ASKING)
        deliver_held(self, interest);
}

static void deliver_range(hub_t *self, interest_t *interest, const struct bus_reply *reply)
{
    struct span rest = reply->publications;
    struct bus_publication publication;
    while (rest.size > 0 && bus_next_publication(&rest, &publication)) {
        if (publication.offset != interest->offset + 1)
            continue;
        deliver(self, interest, publication.body, publication.offset);
        self->metrics.repaired_total++;
    }
}

void interest_answered(hub_t *self, interest_t *interest, const struct bus_reply *reply)
{
    close_question(self, interest);
    uint64_t before = interest->offset;

    if (reply->status != STATUS_OK) { /* the broker cannot say: nothing can be vouched for */
        lose(self, interest, interest->epoch, interest->offset);
        interest->has_position = false;
        interest->state = INTEREST_ASKING;
    } else if (!(reply->flags & BUS_REPLY_RECOVERED) || reply->epoch != interest->epoch) {
        lose(self, interest, reply->epoch, reply->offset);
        deliver_held(self, interest);
    } else {
        interest->broker = self->broker;
        deliver_range(self, interest, reply);
        if (interest->offset < reply->offset && interest->offset > before)
            repair(self, interest); /* the answer was cut at its size: the rest */
        else
            deliver_held(self, interest);
    }
    interests_ask_repairs(self);
}

/* --- fences --- */

void interests_send_fence(hub_t *self)
{
    interest_t *interest = TAILQ_LAST(&self->fencing, fencing);
    if (!self->broker_is_up || !interest || interest->fence != 0)
        return;
    if (self->fence == self->fence_passed)
        self->fence_at_ms = self->now_ms;
    self->fence++;
    self->metrics.fences_total++;
    for (; interest && interest->fence == 0; interest = TAILQ_PREV(interest, fencing, fence_link))
        interest->fence = self->fence;

    uint8_t topic[BUS_FENCE_BYTES];
    bus_write_fence(topic, self->settings.incarnation, self->fence);
    hub_queue(self, HUB_LISTEN, span_of(topic, sizeof topic));
}

/* Up to this number they have come back or are given up. */
static void drop_fences(hub_t *self, uint64_t number)
{
    while (self->fence_passed < number) {
        uint8_t topic[BUS_FENCE_BYTES];
        bus_write_fence(topic, self->settings.incarnation, ++self->fence_passed);
        hub_queue(self, HUB_UNLISTEN, span_of(topic, sizeof topic));
    }
}

void interests_fence_late(hub_t *self)
{
    self->metrics.fences_late_total++;
    drop_fences(self, self->fence);
    interest_t *interest;
    TAILQ_FOREACH (interest, &self->fencing, fence_link)
        interest->fence = 0;
    interests_send_fence(self);
}

static void fence_passed(hub_t *self, interest_t *interest)
{
    TAILQ_REMOVE(&self->fencing, interest, fence_link);
    interest->state = INTEREST_ASKING;
    if (interest->has_position)
        repair(self, interest);
    subscription_t *subscription;
    while ((subscription = TAILQ_FIRST(&interest->fenced))) {
        TAILQ_REMOVE(&interest->fenced, subscription, queue);
        subscription_fence_passed(self, subscription);
    }
}

void interests_fence_passed(hub_t *self, uint64_t number)
{
    if (number <= self->fence_passed || number > self->fence)
        return; /* given up: a newer one is under way */
    drop_fences(self, number);
    self->fence_at_ms = self->now_ms;
    interest_t *interest;
    while ((interest = TAILQ_FIRST(&self->fencing)) && interest->fence != 0 &&
           interest->fence <= number)
        fence_passed(self, interest);
}

static void fence_again(hub_t *self, interest_t *interest)
{
    leave_queues(self, interest);
    audit_drop(self, interest);
    start_fencing(self, interest);
}

static void unsync(void *item, void *arg)
{
    interest_t *interest = item;
    if (interest->state != INTEREST_FENCING)
        fence_again(arg, interest);
}

/* Those that the last causes have not come round to stay first, in their order: causes that come
 * faster than all can be asked must not keep the same ones waiting for ever. */
static void unsync_waiting(hub_t *self)
{
    struct fencing fenced = TAILQ_HEAD_INITIALIZER(fenced);
    interest_t *interest;
    TAILQ_CONCAT(&fenced, &self->fencing, fence_link);
    while ((interest = TAILQ_FIRST(&self->repairs_asked)))
        fence_again(self, interest);
    while ((interest = TAILQ_FIRST(&self->repairs)))
        fence_again(self, interest);
    TAILQ_FOREACH (interest, &fenced, fence_link)
        interest->fence = 0;
    TAILQ_CONCAT(&self->fencing, &fenced, fence_link);
}

/* What the fence lets pass is then asked for by ranges, not by positions: a range that misses
 * nothing is answered by as few bytes as a position is, and one that does saves a second question.
 */
void interests_unsync(hub_t *self)
{
    self->metrics.resyncs_total++;
    unsync_waiting(self);
    map_visit(self->interests, unsync, self);
    drop_fences(self, self->fence);
}
