#include "bench/witness.h"

#include <string.h>

void witness_publication(struct witness *self, const struct herd_publication *publication,
                         struct herd_text channel, struct witness_faults *faults)
{
    struct herd_text about = publication->about;
    if (about.size > 0 &&
        (about.size != channel.size || memcmp(about.bytes, channel.bytes, about.size) != 0))
        faults->foreign++;
    if (!offsets_take(&self->offsets, publication->offset, &faults->offsets) ||
        publication->number == 0)
        return;
    if (publication->number <= self->number)
        faults->repeated++;
    self->number = publication->number;
}

static bool is_our_epoch(const struct witness *self, struct herd_text epoch)
{
    return strlen(self->epoch) == epoch.size && memcmp(self->epoch, epoch.bytes, epoch.size) == 0;
}

/* Everything is there: the reply repeats our position, and the publications move it. */
static void take_recovered(struct witness *self, struct herd_line *reply, struct herd_text channel,
                           struct witness_faults *faults)
{
    struct herd_publication publication;
    if (reply->offset != witness_position(self) || !is_our_epoch(self, reply->epoch))
        faults->replies++;
    while (herd_line_publication(reply, &publication))
        witness_publication(self, &publication, channel, faults);
}

/* From here on. A position never goes back within its epoch. */
static void take_position(struct witness *self, struct herd_line *reply,
                          struct witness_faults *faults)
{
    struct herd_publication publication;
    bool is_back = self->has_position && is_our_epoch(self, reply->epoch) &&
                   reply->offset < witness_position(self);
    if (is_back || herd_line_publication(reply, &publication) || reply->epoch.size == 0 ||
        reply->epoch.size > WITNESS_EPOCH_MAX) {
        faults->replies++;
        return;
    }
    memcpy(self->epoch, reply->epoch.bytes, reply->epoch.size);
    self->epoch[reply->epoch.size] = '\0';
    offsets_begin(&self->offsets, reply->offset);
    self->has_position = true;
}

bool witness_subscribed(struct witness *self, struct herd_line *reply, bool asked,
                        struct herd_text channel, struct witness_faults *faults)
{
    if (reply->was_recovering != asked || (reply->recovered && !asked)) {
        faults->replies++;
        return false;
    }
    if (reply->recovered)
        take_recovered(self, reply, channel, faults);
    else
        take_position(self, reply, faults);
    return reply->recovered;
}
