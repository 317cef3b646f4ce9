#include "broker/away.h"

#include <string.h>

void away_init(struct away *self, int64_t return_ms, int64_t now_ms)
{
    *self = (struct away){.return_ms = return_ms, .blind_until_ms = now_ms + return_ms};
}

static struct span name_of(const struct away_gateway *gateway)
{
    return span_of(gateway->name, gateway->name_size);
}

static void drop(struct away *self, size_t index)
{
    self->gateways[index] = self->gateways[--self->count];
}

static void drop_overdue(struct away *self, int64_t now_ms)
{
    for (size_t i = self->count; i > 0; i--) {
        if (self->gateways[i - 1].until_ms <= now_ms)
            drop(self, i - 1);
    }
}

void away_lost(struct away *self, const struct away_who *who, int64_t now_ms)
{
    int64_t until_ms = now_ms + self->return_ms;
    drop_overdue(self, now_ms);
    if (self->count == AWAY_MAX) {
        self->blind_until_ms = until_ms;
        return;
    }
    struct away_gateway *gateway = &self->gateways[self->count++];
    *gateway = (struct away_gateway){.incarnation = who->incarnation,
                                     .started_ms = who->started_ms,
                                     .until_ms = until_ms,
                                     .has_twin = who->has_twin};
    gateway->name_size = (uint8_t)(who->name.size < AWAY_NAME ? who->name.size : AWAY_NAME);
    if (who->name.size)
        memcpy(gateway->name, who->name.data, gateway->name_size);
}

/* It was started after the one that is away, in whose place. */
static bool succeeds(const struct away_who *who, const struct away_gateway *gateway)
{
    return span_equal(name_of(gateway), who->name) && !gateway->has_twin &&
           who->started_ms > gateway->started_ms;
}

void away_returned(struct away *self, const struct away_who *who)
{
    for (size_t i = self->count; i > 0; i--) {
        const struct away_gateway *gateway = &self->gateways[i - 1];
        if (gateway->incarnation == who->incarnation || succeeds(who, gateway))
            drop(self, i - 1);
    }
}

bool away_any(struct away *self, int64_t now_ms)
{
    drop_overdue(self, now_ms);
    return self->count > 0 || now_ms < self->blind_until_ms;
}
