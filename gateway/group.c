#include <assert.h>
#include <stdlib.h>

#include "gateway/hub_priv.h"

/* --- finding, making, ending --- */

group_t *group_new(hub_t *self, interest_t *interest, struct span name)
{
    group_t *group = calloc(1, sizeof *group + name.size);
    if (!group)
        return NULL;
    group->interest = interest;
    group->number = ++self->group_number;
    group->name_size = (uint32_t)name.size;
    memcpy(group->name, name.data, name.size);
    client_write_push_head(&group->head, name);
    if (group->head.failed) {
        buffer_free(&group->head);
        free(group);
        return NULL;
    }
    LIST_INSERT_HEAD(&interest->groups, group, link);
    return group;
}

group_t *group_find(const interest_t *interest, struct span name)
{
    group_t *group;
    LIST_FOREACH (group, &interest->groups, link) {
        if (span_equal(span_of(group->name, group->name_size), name))
            return group;
    }
    return NULL;
}

void group_destroy(group_t **group_p)
{
    group_t *group = *group_p;
    *group_p = NULL;
    assert(group->subscriptions == 0);
    LIST_REMOVE(group, link);
    buffer_free(&group->head);
    free(group->members);
    free(group);
}

/* --- members --- */

bool group_add(group_t *group, subscription_t *subscription)
{
    if (group->member_count == group->member_room) {
        uint32_t room = group->member_room ? group->member_room * 2 : 1;
        subscription_t **members = realloc(group->members, room * sizeof(*members));
        if (!members)
            return false;
        group->members = members;
        group->member_room = room;
    }
    subscription->slot = group->member_count;
    group->members[group->member_count++] = subscription;
    return true;
}

/* The last one who stays must not keep the room of a crowd that has left. Below a quarter, so that
 * one who comes and goes does not move all others each time. */
static void give_room_back(group_t *group)
{
    if (group->member_room < 16 || group->member_count >= group->member_room / 4)
        return;
    uint32_t room = group->member_room / 2;
    subscription_t **members = realloc(group->members, room * sizeof(*members));
    if (!members)
        return; /* it is as large as before */
    group->members = members;
    group->member_room = room;
}

void group_remove(group_t *group, subscription_t *subscription)
{
    assert(group->members[subscription->slot] == subscription);
    subscription_t *last = group->members[--group->member_count];
    group->members[subscription->slot] = last;
    last->slot = subscription->slot;
    give_room_back(group);
}

/* --- delivering --- */

payload_t *group_frame(const hub_t *self, const group_t *group, struct span body, uint64_t offset)
{
    struct span head = buffer_span(&group->head);
    struct frame_about about = {.since_ms = self->now_ms,
                                .stream = group->number,
                                .at = (uint32_t)head.size,
                                .policy = (enum slow_reader)group->interest->slow_reader};
    uint8_t *text;
    payload_t *frame = frame_new(client_push_size(head, body, offset), &about, &text);
    if (frame)
        client_write_push(text, head, body, offset);
    return frame;
}

/* Between two publications the memory of members and sessions leaves the processor's caches: it is
 * asked for some members ahead, in two steps, because the second needs what the first has brought.
 */
static void fetch_ahead(const group_t *group, uint32_t at)
{
    if (at + 12 >= group->member_count)
        return;
    __builtin_prefetch(group->members[at + 12]);
    __builtin_prefetch(group->members[at + 6]->session, 1);
}

void group_deliver(hub_t *self, group_t *group, struct span body, uint64_t offset)
{
    if (group->member_count == 0)
        return;
    payload_t *frame = group_frame(self, group, body, offset);
    const int64_t now_ms = self->now_ms;
    for (uint32_t i = 0; i < group->member_count; i++) {
        subscription_t *member = group->members[i];
        fetch_ahead(group, i);
        if (offset <= member->after)
            continue;
        if (__builtin_expect(now_ms >= member->until_ms, 0)) {
            if (!guard_hold(self, member, frame))
                i--; /* the last member has taken its place */
            continue;
        }
        if (frame)
            session_send(self, member->session, frame);
        else /* it must not miss one silently: it comes back and recovers */
            session_close(self, member->session, CLIENT_CLOSE_SERVER_ERROR, true);
        self->metrics.deliveries_total++;
    }
    payload_release(&frame);
}
