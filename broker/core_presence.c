#include "broker/core_presence.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "broker/away.h"
#include "broker/core_priv.h"
#include "broker/tally.h"
#include "common/map.h"

/* A question that waits for the end of a round. */
struct asker {
    party_t *gateway;
    uint64_t token;
};

struct askers {
    struct asker *items;
    size_t count, room;
    int64_t deadline_ms; /* of the first one */
};

/* One address and kind of question. */
struct round {
    TAILQ_ENTRY(round) link; /* in `running`, `resting` or `waiting` */
    uint64_t number;         /* while it runs, else 0 */
    int64_t rests_until_ms;
    struct askers asked; /* get what the running round brings, or the one to come */
    struct askers next;  /* came after it began */
    party_t **expected;  /* gateways that have not answered yet */
    size_t expected_count;
    struct tally tally;
    uint16_t key_size;
    uint8_t key[]; /* kind, canonical address */
};

struct presence {
    struct presence_settings settings;
    map_t *by_key, *by_number;
    TAILQ_HEAD(rounds, round) running, resting, waiting;
    size_t running_count, questions;
    party_t *gateways; /* those that said hello */
    size_t gateway_count;
    struct away away;
    struct buffer answers;
    uint64_t number; /* of the last round */
    int64_t now_ms;  /* as of the last event */
};

static const char is_away[] = "a gateway is away: nobody knows yet who is there";

/* --- coming and going --- */

static struct span round_key(const void *item)
{
    const struct round *round = item;
    return span_of(round->key, round->key_size);
}

static struct span round_number(const void *item)
{
    const struct round *round = item;
    return span_of(&round->number, sizeof round->number);
}

presence_t *presence_new(const struct presence_settings *settings, int64_t now_ms)
{
    presence_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->settings = *settings;
    self->now_ms = now_ms;
    TAILQ_INIT(&self->running);
    TAILQ_INIT(&self->resting);
    TAILQ_INIT(&self->waiting);
    away_init(&self->away, settings->return_ms, now_ms);
    self->by_key = map_new(round_key);
    self->by_number = map_new(round_number);
    if (!self->by_key || !self->by_number)
        presence_destroy(&self);
    return self;
}

void presence_configure(presence_t *self, const struct presence_settings *settings)
{
    self->settings = *settings;
    self->away.return_ms = settings->return_ms;
}

/* It is in no list and waits for nothing any more. */
static void round_destroy(presence_t *self, struct round *round)
{
    map_remove(self->by_key, round_key(round));
    free(round->asked.items);
    free(round->next.items);
    free(round->expected);
    tally_free(&round->tally);
    free(round);
}

static void destroy_all(presence_t *self, struct rounds *rounds)
{
    struct round *round;
    while ((round = TAILQ_FIRST(rounds))) {
        TAILQ_REMOVE(rounds, round, link);
        round_destroy(self, round);
    }
}

void presence_destroy(presence_t **self_p)
{
    presence_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    destroy_all(self, &self->running);
    destroy_all(self, &self->resting);
    destroy_all(self, &self->waiting);
    map_destroy(&self->by_key);
    map_destroy(&self->by_number);
    buffer_free(&self->answers);
    free(self);
}

/* --- answers --- */

/* Puts the reply for all askers of one gateway into one frame; the items stand there once. */
static uint16_t put_replies(presence_t *self, struct askers *askers, size_t from,
                            struct bus_reply reply)
{
    const party_t *gateway = askers->items[from].gateway;
    uint16_t count = 0;
    for (size_t i = from; i < askers->count && count < LIMIT_ASK_ITEMS; i++) {
        if (askers->items[i].gateway != gateway)
            continue;
        reply.token = askers->items[i].token;
        bus_put_reply(&self->answers, &reply);
        askers->items[i].gateway = NULL;
        if (count++ > 0 || reply.count == 0)
            continue;
        reply.flags |= BUS_REPLY_SAME;
        reply.count = 0;
        reply.publications = (struct span){0};
    }
    return count;
}

static struct bus_reply refusal(enum status status, const char *why)
{
    return (struct bus_reply){.status = (uint16_t)status, .message = span_text(why)};
}

/* Answers all of them. A gateway that takes its frames too slowly gets an error instead of more. */
static void answer(core_t *core, struct askers *askers, const struct bus_reply *reply)
{
    presence_t *self = core->presence;
    for (size_t i = 0; i < askers->count; i++) {
        party_t *gateway = askers->items[i].gateway;
        if (!gateway)
            continue;
        buffer_reset(&self->answers);
        struct bus_reply busy = refusal(STATUS_UNAVAILABLE, "the gateway takes no more answers");
        bool takes = gateway->unanswered <= GATEWAY_WINDOW + self->settings.rounds;
        uint16_t count = put_replies(self, askers, i, takes ? *reply : busy);
        if (reply->status != STATUS_OK || !takes)
            core->metrics->questions_refused_total += count;
        if (self->answers.failed) {
            core->metrics->answers_dropped_total++;
            continue;
        }
        bus_put_answer(effects_begin(&core->effects),
                       &(struct bus_answer){.count = count, .items = buffer_span(&self->answers)});
        core_end_send(core, gateway);
    }
    self->questions -= askers->count;
    askers->count = 0;
    buffer_free(&self->answers); /* it was as large as all answers of a gateway together */
}

/* --- rounds --- */

/* Rests, also when nothing has gathered meanwhile: a client that asks again and again would
 * otherwise keep the gateways counting. */
static void leave_running(presence_t *self, struct round *round)
{
    TAILQ_REMOVE(&self->running, round, link);
    self->running_count--;
    map_remove(self->by_number, round_number(round));
    round->number = 0;
    tally_free(&round->tally);
    struct askers empty = round->asked;
    round->asked = round->next;
    round->next = empty;
    round->rests_until_ms = self->now_ms + PRESENCE_REST_MS;
    TAILQ_INSERT_TAIL(&self->resting, round, link);
}

/* Goes on with what gathered meanwhile, or ends. */
static void end_rests(presence_t *self)
{
    struct round *round;
    while ((round = TAILQ_FIRST(&self->resting)) && round->rests_until_ms <= self->now_ms) {
        TAILQ_REMOVE(&self->resting, round, link);
        if (round->asked.count > 0)
            TAILQ_INSERT_TAIL(&self->waiting, round, link);
        else
            round_destroy(self, round);
    }
}

static void finish(core_t *core, struct round *round, const struct bus_reply *reply)
{
    answer(core, &round->asked, reply);
    leave_running(core->presence, round);
}

static void fail(core_t *core, struct round *round, enum status status)
{
    presence_t *self = core->presence;
    struct buffer why = {0};
    if (status == STATUS_TOO_LARGE && round->tally.kind == BUS_PRESENCE)
        buffer_printf(&why, "more than %u clients, or their ids take too much: only presence_stats",
                      (unsigned)self->settings.clients);
    else if (status == STATUS_TOO_LARGE)
        buffer_printf(&why, "more than %u users", (unsigned)self->settings.users);
    else
        buffer_put_text(&why, "a gateway could not answer");
    core->metrics->presence_failures_total += status != STATUS_TOO_LARGE;
    struct bus_reply reply = {.status = (uint16_t)status, .message = buffer_span(&why)};
    finish(core, round, &reply);
    buffer_free(&why);
}

static void complete(core_t *core, struct round *round)
{
    struct bus_reply reply = {.status = STATUS_OK};
    reply.publications = tally_items(&round->tally, &reply.count);
    if (round->tally.items.failed)
        fail(core, round, STATUS_INTERNAL);
    else
        finish(core, round, &reply);
}

/* A waiting round is given up. */
static void drop_waiting(core_t *core, struct round *round, const struct bus_reply *reply)
{
    answer(core, &round->asked, reply);
    TAILQ_REMOVE(&core->presence->waiting, round, link);
    round_destroy(core->presence, round);
}

static void ask_gateways(core_t *core, struct round *round)
{
    struct bus_presence_ask ask = {
        .round = round->number,
        .kind = (uint8_t)round->tally.kind,
        .limit = round->tally.limit,
        .seed = core->settings.random(core->settings.random_arg),
        .address = span_of(round->key + 1, round->key_size - (size_t)1),
    };
    for (size_t i = 0; i < round->expected_count; i++) {
        bus_put_presence_ask(effects_begin(&core->effects), &ask);
        core_end_send(core, round->expected[i]);
    }
    core->metrics->presence_rounds_total++;
}

/* False when memory is exhausted. */
static bool prepare(presence_t *self, struct round *round)
{
    free(round->expected);
    round->expected = calloc(self->gateway_count + 1, sizeof(party_t *));
    round->number = ++self->number;
    if (!round->expected || !map_put(self->by_number, round)) {
        round->number = 0;
        return false;
    }
    round->expected_count = 0;
    for (party_t *gateway = self->gateways; gateway; gateway = gateway->next_gateway)
        round->expected[round->expected_count++] = gateway;
    enum bus_question_kind kind = round->key[0];
    tally_init(&round->tally, kind,
               kind == BUS_PRESENCE ? self->settings.clients : self->settings.users);
    return true;
}

void core_presence_start(core_t *core, int64_t now_ms)
{
    presence_t *self = core->presence;
    struct round *round;
    self->now_ms = now_ms;
    end_rests(self);
    while (self->running_count < self->settings.rounds && (round = TAILQ_FIRST(&self->waiting))) {
        bool blind = away_any(&self->away, now_ms);
        if (blind || !prepare(self, round)) {
            struct bus_reply reply = blind ? refusal(STATUS_UNAVAILABLE, is_away)
                                           : refusal(STATUS_INTERNAL, "out of memory");
            drop_waiting(core, round, &reply);
            continue;
        }
        TAILQ_REMOVE(&self->waiting, round, link);
        TAILQ_INSERT_TAIL(&self->running, round, link);
        self->running_count++;
        ask_gateways(core, round);
    }
}

/* --- questions --- */

static bool add_asker(struct askers *askers, struct asker asker, int64_t deadline_ms)
{
    if (askers->count == askers->room) {
        size_t room = askers->room ? askers->room * 2 : 4;
        struct asker *items = reallocarray(askers->items, room, sizeof *items);
        if (!items)
            return false;
        askers->items = items;
        askers->room = room;
    }
    if (askers->count == 0)
        askers->deadline_ms = deadline_ms;
    askers->items[askers->count++] = asker;
    return true;
}

/* The round of this kind and address; made, and put among the waiting ones, when there is none.
 * NULL when memory is exhausted. */
static struct round *get_round(presence_t *self, uint8_t kind, struct span address)
{
    uint8_t key[1 + ADDRESS_KEY_MAX] = {kind};
    memcpy(key + 1, address.data, address.size);
    struct span span = span_of(key, 1 + address.size);
    struct round *round = map_get(self->by_key, span);
    if (round)
        return round;
    round = calloc(1, sizeof *round + span.size);
    if (!round)
        return NULL;
    round->key_size = (uint16_t)span.size;
    memcpy(round->key, span.data, span.size);
    if (!map_put(self->by_key, round)) {
        free(round);
        return NULL;
    }
    TAILQ_INSERT_TAIL(&self->waiting, round, link);
    return round;
}

static bool refuse(struct bus_reply *reply, enum status status, const char *why)
{
    *reply = (struct bus_reply){.token = reply->token};
    reply->status = (uint16_t)status;
    reply->message = span_text(why);
    return false;
}

bool core_presence_question(core_t *core, party_t *gateway, const stream_header_t *header,
                            const struct bus_question *question, struct bus_reply *reply,
                            int64_t now_ms)
{
    presence_t *self = core->presence;
    self->now_ms = now_ms;
    core->metrics->presence_questions_total++;
    if (header->rule->presence == PRESENCE_OFF)
        return refuse(reply, STATUS_FORBIDDEN, "the channel has no presence");
    if (header->rule->presence == PRESENCE_STATS && question->kind == BUS_PRESENCE)
        return refuse(reply, STATUS_FORBIDDEN, "the channel has presence_stats only");
    if (self->questions >= self->settings.questions)
        return refuse(reply, STATUS_TOO_MANY, "too many presence questions wait");
    if (away_any(&self->away, now_ms))
        return refuse(reply, STATUS_UNAVAILABLE, is_away);

    struct round *round = get_round(self, question->kind, stream_header_key(header));
    if (!round)
        return refuse(reply, STATUS_INTERNAL, "out of memory");
    struct askers *askers = round->number ? &round->next : &round->asked;
    core->metrics->presence_shared_total += askers->count > 0;
    if (!add_asker(askers, (struct asker){gateway, question->token}, now_ms + PRESENCE_LIMIT_MS)) {
        if (!round->number && !round->rests_until_ms && askers->count == 0)
            drop_waiting(core, round, reply);
        return refuse(reply, STATUS_INTERNAL, "out of memory");
    }
    self->questions++;
    return true;
}

/* --- gateways --- */

/* False when nothing was expected of it. */
static bool take_expected(struct round *round, const party_t *gateway)
{
    for (size_t i = 0; i < round->expected_count; i++) {
        if (round->expected[i] == gateway) {
            round->expected[i] = round->expected[--round->expected_count];
            return true;
        }
    }
    return false;
}

void core_presence_part(core_t *core, party_t *gateway, struct span frame, int64_t now_ms)
{
    presence_t *self = core->presence;
    self->now_ms = now_ms;
    struct bus_presence_part part;
    if (!bus_get_presence_part(frame, &part)) {
        core->metrics->gateway_frames_malformed_total++;
        return;
    }
    struct round *round = map_get(self->by_number, span_of(&part.round, sizeof part.round));
    if (!round || !take_expected(round, gateway)) {
        core->metrics->presence_strays_total++;
        return;
    }
    enum status status = tally_add(&round->tally, &part);
    core->metrics->gateway_frames_malformed_total += status == STATUS_BAD_INPUT;
    if (status != STATUS_OK)
        fail(core, round, status == STATUS_BAD_INPUT ? STATUS_INTERNAL : status);
    else if (round->expected_count == 0)
        complete(core, round);
}

/* Where the list says so; at its end when it does not. */
static party_t **find_gateway(presence_t *self, const party_t *gateway)
{
    party_t **at = &self->gateways;
    while (*at && *at != gateway)
        at = &(*at)->next_gateway;
    return at;
}

static bool has_twin(const presence_t *self, const party_t *gateway)
{
    bool found = gateway->knows;
    for (const party_t *at = self->gateways; at && !found; at = at->next_gateway)
        found = at != gateway && span_equal(party_name(at), party_name(gateway));
    return found;
}

static struct away_who who(const presence_t *self, const party_t *gateway)
{
    return (struct away_who){.incarnation = gateway->incarnation,
                             .started_ms = gateway->started_ms,
                             .name = party_name(gateway),
                             .has_twin = has_twin(self, gateway)};
}

void core_presence_joined(core_t *core, party_t *gateway)
{
    presence_t *self = core->presence;
    struct away_who returned = who(self, gateway);
    away_returned(&self->away, &returned);
    party_t **at = find_gateway(self, gateway);
    if (*at)
        return;
    *at = gateway;
    gateway->next_gateway = NULL;
    self->gateway_count++;
}

/* A newer one has its name, and it was gone before it could be told: it is dead, and is not waited
 * for. */
static bool has_successor(const party_t *gateway)
{
    return gateway->replaced && !gateway->knows;
}

/* Its own questions need no answer any more. */
static void forget_askers(presence_t *self, struct askers *askers, const party_t *gateway)
{
    size_t kept = 0;
    for (size_t i = 0; i < askers->count; i++) {
        if (askers->items[i].gateway != gateway)
            askers->items[kept++] = askers->items[i];
    }
    self->questions -= askers->count - kept;
    askers->count = kept;
}

void core_presence_left(core_t *core, party_t *gateway)
{
    presence_t *self = core->presence;
    party_t **at = find_gateway(self, gateway);
    if (*at) {
        *at = gateway->next_gateway;
        self->gateway_count--;
    }
    struct away_who lost = who(self, gateway);
    if (!has_successor(gateway))
        away_lost(&self->away, &lost, self->now_ms);

    struct bus_reply reply = refusal(STATUS_UNAVAILABLE, is_away);
    struct round *round, *next;
    TAILQ_FOREACH (round, &self->resting, link)
        forget_askers(self, &round->asked, gateway);
    for (round = TAILQ_FIRST(&self->waiting); round; round = next) {
        next = TAILQ_NEXT(round, link);
        forget_askers(self, &round->asked, gateway);
        if (round->asked.count == 0)
            drop_waiting(core, round, &reply);
    }
    for (round = TAILQ_FIRST(&self->running); round; round = next) {
        next = TAILQ_NEXT(round, link);
        forget_askers(self, &round->asked, gateway);
        forget_askers(self, &round->next, gateway);
        if (!take_expected(round, gateway))
            continue;
        core->metrics->presence_failures_total++;
        finish(core, round, &reply);
    }
}

/* --- time --- */

static bool end_late(core_t *core, struct askers *askers)
{
    struct bus_reply reply = refusal(STATUS_UNAVAILABLE, "a gateway did not answer in time");
    if (askers->count == 0 || askers->deadline_ms > core->presence->now_ms)
        return false;
    answer(core, askers, &reply);
    return true;
}

void core_presence_tick(core_t *core, int64_t now_ms)
{
    presence_t *self = core->presence;
    self->now_ms = now_ms;
    end_rests(self);
    struct round *next;
    for (struct round *round = TAILQ_FIRST(&self->waiting); round; round = next) {
        next = TAILQ_NEXT(round, link);
        end_late(core, &round->asked);
        if (round->asked.count == 0) {
            TAILQ_REMOVE(&self->waiting, round, link);
            round_destroy(self, round);
        }
    }
    for (struct round *round = TAILQ_FIRST(&self->running); round; round = next) {
        next = TAILQ_NEXT(round, link);
        end_late(core, &round->next);
        core->metrics->presence_failures_total += end_late(core, &round->asked);
        if (round->asked.count == 0)
            leave_running(self, round);
    }
    core_presence_start(core, now_ms);
}

size_t core_presence_lost(core_t *core, int64_t now_ms)
{
    struct away *away = &core->presence->away;
    if (!away_any(away, now_ms))
        return 0;
    return away->count > 0 ? away->count : core->gateways == 0; /* all may be, after the start */
}

void core_presence_measure(const core_t *core)
{
    core->metrics->presence_waiting = core->presence->questions;
    core->metrics->presence_running = core->presence->running_count;
}
