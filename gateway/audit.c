#include "gateway/hub_priv.h"
#include "proto/status.h"

/* audit - the last resort against silence: every address' position is compared with the broker's
 * once in audit_ms, whatever digests and canaries said.
 *
 * The questions of one slice share frames, and so do their answers; the slices are spread over the
 * period. An answer may overtake publications that are still on their way, so a position beyond
 * ours is only doubted: of two canaries that come after the answer the second was published after
 * it, and all that the position speaks of came before it or never will. */

#define SLICE_MS 1000
/* How many positions are asked for at once: one full ask frame eight times. */
#define AUDITS_IN_FLIGHT (8 * LIMIT_ASK_ITEMS)
#define DOUBT_CANARIES   2

/* On whole slices, so that what is due together is asked together. */
static void set_timer(hub_t *self, interest_t *interest, int64_t in_ms)
{
    int64_t at_ms = self->now_ms + in_ms;
    deadline_set(self->audit_timers, &interest->audit.timer, at_ms - at_ms % SLICE_MS);
}

void audit_begin(hub_t *self, interest_t *interest)
{
    int64_t period_ms = self->settings.audit_ms;
    if (period_ms == 0)
        return;
    uint64_t scattered = ++self->audit_number * 0x9e3779b97f4a7c15u >> 32;
    set_timer(self, interest, 1 + (int64_t)(scattered % (uint64_t)period_ms));
}

void audit_drop(hub_t *self, interest_t *interest)
{
    struct audit *audit = &interest->audit;
    switch ((enum audit_state)audit->state) {
    case AUDIT_IDLE:
        break;
    case AUDIT_WAITING:
        TAILQ_REMOVE(&self->audits, interest, audit.link);
        break;
    case AUDIT_ASKED:
        question_close(self->questions, &audit->question);
        self->audits_in_flight--;
        break;
    case AUDIT_DOUBTED:
        TAILQ_REMOVE(&self->doubts, interest, audit.link);
        break;
    }
    audit->state = AUDIT_IDLE;
}

void audit_end(hub_t *self, interest_t *interest)
{
    deadline_clear(&interest->audit.timer);
    audit_drop(self, interest);
}

static void restart(void *item, void *arg)
{
    interest_t *interest = item;
    deadline_clear(&interest->audit.timer);
    audit_begin(arg, interest);
}

void audits_restart(hub_t *self)
{
    map_visit(self->interests, restart, self);
}

void audit_due(hub_t *self, interest_t *interest)
{
    set_timer(self, interest, self->settings.audit_ms);
    if (interest->audit.state == AUDIT_ASKED) {
        self->metrics.audit_unanswered_total++;
        audit_drop(self, interest);
    }
    if (interest->audit.state != AUDIT_IDLE)
        return;
    interest->audit.state = AUDIT_WAITING;
    TAILQ_INSERT_TAIL(&self->audits, interest, audit.link);
}

void audits_ask(hub_t *self)
{
    interest_t *interest;
    while (self->broker_is_up && self->audits_in_flight < AUDITS_IN_FLIGHT &&
           (interest = TAILQ_FIRST(&self->audits))) {
        audit_drop(self, interest);
        if (interest->state != INTEREST_LIVE)
            continue; /* the broker is being asked for more than its position */
        interest->audit.question = question_open(self->questions, QUESTION_POSITION, interest);
        if (!interest->audit.question)
            continue; /* no memory: the next time */
        interest->audit.state = AUDIT_ASKED;
        self->audits_in_flight++;
        hub_ask(self, &(struct bus_question){.kind = BUS_POSITION,
                                             .token = interest->audit.question,
                                             .address = interest_address(interest)});
    }
}

static bool is_reached(const interest_t *interest, uint64_t epoch, uint64_t offset)
{
    return interest->epoch == epoch && interest->offset >= offset;
}

void audit_answered(hub_t *self, interest_t *interest, const struct bus_reply *reply)
{
    struct audit *audit = &interest->audit;
    audit_drop(self, interest);
    if (reply->status != STATUS_OK) {
        self->metrics.audit_unanswered_total++;
    } else {
        self->metrics.audited_total++;
        if (interest->state == INTEREST_LIVE &&
            !is_reached(interest, reply->epoch, reply->offset)) {
            audit->state = AUDIT_DOUBTED;
            audit->epoch = reply->epoch;
            audit->offset = reply->offset;
            audit->canaries = self->canaries;
            TAILQ_INSERT_TAIL(&self->doubts, interest, audit.link);
        }
    }
    audits_ask(self);
}

void audits_canary(hub_t *self)
{
    interest_t *interest;
    while ((interest = TAILQ_FIRST(&self->doubts)) &&
           self->canaries - interest->audit.canaries >= DOUBT_CANARIES) {
        audit_drop(self, interest);
        if (interest->state != INTEREST_LIVE ||
            is_reached(interest, interest->audit.epoch, interest->audit.offset))
            continue;
        self->metrics.audit_holes_total++;
        interest_mend(self, interest);
    }
}
