#include <stdio.h>
#include <string.h>

#include "core_world.h"
#include "unit.h"

/* Random publishes, commits, failures and questions, against a model of what everybody was told. */

#define CHANNELS 3
#define STEPS    20000
#define QUEUE    64

static const char *const names[CHANNELS] = {"a", "b", "c"};

/* What XPUB carried last, by channel. */
static struct place {
    uint64_t epoch, offset;
} published[CHANNELS];

/* The store: tickets accepted and not yet reported. */
static struct accepted {
    uint64_t ticket;
    size_t channel;
} queue[QUEUE];
static size_t queued;

static uint64_t acknowledged, delivered, refused;
static uint64_t state;

static uint32_t chance(uint32_t limit)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33) % limit;
}

static size_t channel_of(struct span key)
{
    for (size_t i = 0; i < CHANNELS; i++)
        if (span_equal(key, world_key(names[i], NULL)))
            return i;
    ck_abort_msg("an address that nobody used");
}

static void publish(void)
{
    char request[100];
    snprintf(request, sizeof request, "{'op':'publish','id':1,'channel':'%s','payload':{}}",
             names[chance(CHANNELS)]);
    world_request(0, "p", request);
}

static void accept(const struct store_append *append)
{
    ck_assert_uint_lt(queued, QUEUE);
    queue[queued++] = (struct accepted){append->ticket, channel_of(append->stream)};
}

static void deliver(const struct core_effect *effect)
{
    uint8_t bytes[200];
    memcpy(bytes, effect->bytes.data, effect->bytes.size);
    memcpy(bytes + effect->bytes.size, effect->body.data, effect->body.size);
    struct bus_delivery delivery;
    ck_assert(bus_get_delivery(span_of(bytes, effect->bytes.size + effect->body.size), address_size,
                               &delivery));
    struct place *place = &published[channel_of(delivery.address)];
    bool joins = delivery.epoch == place->epoch && delivery.offset == place->offset + 1;
    bool begins = delivery.epoch > place->epoch && delivery.offset == 1;
    ck_assert(joins || begins);
    *place = (struct place){delivery.epoch, delivery.offset};
    delivered++;
}

static void read_reply(struct span reply)
{
    if (memmem(reply.data, reply.size, "error", 5))
        refused++;
    else
        acknowledged++;
    /* Everything that is acknowledged was delivered before. */
    ck_assert_uint_le(acknowledged, delivered);
}

static void read_answer(struct span frame)
{
    struct bus_answer answer;
    struct bus_reply reply;
    ck_assert(bus_get_answer(frame, &answer));
    while (answer.items.size) {
        ck_assert(bus_next_reply(&answer.items, &reply));
        const struct place *place = &published[reply.token];
        if (reply.epoch == place->epoch)
            ck_assert_uint_eq(reply.offset, place->offset);
        else
            ck_assert_uint_eq(reply.offset, 0); /* a new epoch, nothing published yet */
    }
}

static void take_effects(void)
{
    struct core_effect effect;
    for (core_take_effect(world, &effect); effect.kind; core_take_effect(world, &effect)) {
        if (effect.kind == CORE_APPEND)
            accept(&effect.append);
        else if (effect.kind == CORE_PUBLISH)
            deliver(&effect);
        else if (effect.kind == CORE_REPLY)
            read_reply(effect.bytes);
        else if (effect.kind == CORE_SEND)
            read_answer(effect.bytes);
        if (effect.to)
            core_sent(world, effect.to, CORE_SENT);
    }
}

/* The oldest append is reported. When it was not committed, later ones of its channel may still be
 * reported as anything, or never: nobody may believe it. */
static void report(void)
{
    if (queued == 0)
        return;
    struct accepted first = queue[0];
    memmove(queue, queue + 1, --queued * sizeof *queue);
    enum store_outcome outcome = STORE_COMMITTED;
    if (chance(20) == 0)
        outcome = (enum store_outcome[]){STORE_FAILED, STORE_FULL, STORE_DOUBTED,
                                         STORE_UNKNOWN}[chance(4)];
    core_stored(world, first.ticket, outcome, world_now);
    size_t kept = 0;
    for (size_t i = 0; i < queued; i++) {
        bool is_void = outcome != STORE_COMMITTED && queue[i].channel == first.channel;
        if (is_void && chance(2))
            core_stored(world, queue[i].ticket, STORE_COMMITTED, world_now);
        if (!is_void)
            queue[kept++] = queue[i];
    }
    queued = kept;
}

static void ask(void)
{
    size_t channel = chance(CHANNELS);
    struct bus_question question = {
        .kind = BUS_POSITION, .token = channel, .address = world_key(names[channel], NULL)};
    world_ask("g", &question, 1);
    core_answer(world, SIZE_MAX, world_now);
}

START_TEST(everybody_is_told_the_same_story)
{
    state = (uint64_t)_i;
    world_settings.unanswered_requests = QUEUE;
    world_start();
    world_gateway("g", 1);
    for (size_t i = 0; i < CHANNELS; i++)
        world_subscribe(names[i], NULL, true);
    uint64_t asked = 0;
    for (int step = 0; step < STEPS; step++) {
        uint32_t what = chance(10);
        if (what < 4 && queued < QUEUE / 2) {
            publish();
            asked++;
        } else if (what < 8) {
            report();
        } else {
            ask();
        }
        if (chance(3) == 0)
            take_effects();
    }
    take_effects();
    while (queued > 0) {
        report();
        take_effects();
    }
    ck_assert(core_is_settled(world));
    ck_assert_uint_eq(acknowledged + refused, asked);
    ck_assert_uint_eq(acknowledged, delivered);
    ck_assert_uint_gt(refused, 100);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("core_random");
    TCase *tests = tcase_create("core_random");
    tcase_add_checked_fixture(tests, world_setup, world_teardown);
    tcase_add_loop_test(tests, everybody_is_told_the_same_story, 1, 11);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
