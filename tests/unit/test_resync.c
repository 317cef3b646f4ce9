#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/hub.h"
#include "proto/bus_codec.h"
#include "proto/limits.h"
#include "unit.h"

/* A gateway with ten thousand addresses: when all are to be asked for again, how many frames does
 * that take, how many are under way at once, and does everybody get a turn? */

#define SESSIONS  100
#define CHANNELS  100 /* of each session, all different */
#define ADDRESSES (SESSIONS * CHANNELS)
#define IN_FLIGHT (8 * LIMIT_ASK_ITEMS)
#define BROKER    7
#define EPOCH     3

static hub_t *hub;
static int64_t now_ms;
static session_t *sessions[SESSIONS];
static uint64_t canary, epoch;

/* The hub's frames that nobody has answered yet, in order. */
static struct buffer *frames;
static size_t frame_count, unanswered, most_unanswered;
static uint64_t fence;          /* the last one that was subscribed to, 0: none since */
static size_t asked[ADDRESSES]; /* how often each address was asked for */
static size_t answered[ADDRESSES];
static size_t frames_total, questions_total;

/* Addresses are "c<number>"; their canonical bytes end with that. */
static size_t number_of(struct span address)
{
    size_t number = 0, scale = 1;
    for (size_t i = address.size; i-- > 0 && scale <= ADDRESSES;) {
        uint8_t digit = address.data[i];
        if (digit == 'c')
            return number;
        if (digit < '0' || digit > '9')
            continue; /* the length of the resource, which is 0 */
        number += (size_t)(digit - '0') * scale;
        scale *= 10;
    }
    return number;
}

static void count(struct span bytes)
{
    struct bus_ask ask;
    struct bus_question question;
    ck_assert(bus_get_ask(bytes, &ask));
    ck_assert_uint_le(ask.count, LIMIT_ASK_ITEMS);
    while (ask.items.size > 0) {
        ck_assert(bus_next_question(&ask.items, &question));
        asked[number_of(question.address) % ADDRESSES]++;
        questions_total++;
    }
    frames_total++;
    unanswered += ask.count;
    if (unanswered > most_unanswered)
        most_unanswered = unanswered;
}

static void keep(struct span bytes)
{
    count(bytes);
    frames = realloc(frames, (frame_count + 1) * sizeof *frames);
    ck_assert_ptr_nonnull(frames);
    frames[frame_count] = (struct buffer){0};
    buffer_put_span(&frames[frame_count++], bytes);
}

static void take_effects(void)
{
    struct hub_effect effect;
    for (;;) {
        hub_take_effect(hub, &effect);
        switch (effect.kind) {
        case HUB_NOTHING:
            return;
        case HUB_LISTEN: {
            uint64_t incarnation, number;
            if (bus_get_fence(effect.bytes, &incarnation, &number))
                fence = number;
            break;
        }
        case HUB_SEND:
            keep(effect.bytes);
            break;
        case HUB_WRITE:
            hub_session_sent(hub, effect.session, 1, now_ms);
            break;
        default:
            break;
        }
    }
}

static void pass_fence(void)
{
    uint8_t topic[BUS_FENCE_BYTES];
    ck_assert_uint_ne(fence, 0);
    bus_write_fence(topic, 1, fence);
    fence = 0;
    hub_publication(hub, span_of(topic, sizeof topic), now_ms);
    take_effects();
}

/* The oldest frame of questions: nothing is missing anywhere. */
static void answer_frame(void)
{
    struct bus_ask ask;
    struct bus_question question;
    struct buffer items = {0}, answer = {0};
    ck_assert_uint_gt(frame_count, 0);
    ck_assert(bus_get_ask(buffer_span(&frames[0]), &ask));
    while (ask.items.size > 0) {
        ck_assert(bus_next_question(&ask.items, &question));
        answered[number_of(question.address) % ADDRESSES]++;
        bus_put_reply(&items, &(struct bus_reply){.token = question.token,
                                                  .flags = BUS_REPLY_RECOVERED,
                                                  .epoch = epoch,
                                                  .grant_ms = BUS_GRANT_FOREVER});
    }
    bus_put_answer(&answer, &(struct bus_answer){.count = ask.count, .items = buffer_span(&items)});
    unanswered -= ask.count;
    buffer_free(&frames[0]);
    memmove(frames, frames + 1, --frame_count * sizeof *frames);
    hub_answer(hub, buffer_span(&answer), now_ms);
    buffer_free(&answer);
    buffer_free(&items);
    take_effects();
}

/* The broker, or its answers, are too late. */
static void lose_frames(void)
{
    while (frame_count > 0)
        buffer_free(&frames[--frame_count]);
    unanswered = 0;
}

static void answer_all(void)
{
    while (frame_count > 0)
        answer_frame();
}

static void hear_canary(void)
{
    uint8_t message[BUS_CANARY_BYTES];
    bus_write_canary(message, BROKER, ++canary);
    hub_publication(hub, span_of(message, sizeof message), now_ms);
    take_effects();
}

static void begin_counting(void)
{
    memset(asked, 0, sizeof asked);
    memset(answered, 0, sizeof answered);
    frames_total = questions_total = most_unanswered = 0;
}

static void open_session(size_t index)
{
    static const char connect[] = "{\"id\":1,\"connect\":{}}";
    sessions[index] = hub_session_opened(hub, NULL, now_ms);
    hub_session_frame(hub, sessions[index], span_text(connect), now_ms);
    for (size_t i = 0; i < CHANNELS; i++) {
        char text[100];
        snprintf(text, sizeof text, "{\"id\":%zu,\"subscribe\":{\"channel\":\"c%zu\"}}", i + 2,
                 index * CHANNELS + i);
        hub_session_frame(hub, sessions[index], span_text(text), now_ms);
    }
    take_effects();
}

static void setup(void)
{
    struct hub_settings settings = {.site = "default",
                                    .incarnation = 1,
                                    .subscriptions = CHANNELS,
                                    .pending_commands = CHANNELS + 1,
                                    .held_messages = 8,
                                    .held_bytes = 1 << 20,
                                    .linger_addresses = 1,
                                    .queue_bytes = 1 << 20,
                                    .queue_ms = 20000,
                                    .anonymous = true,
                                    .connect_ms = 10000,
                                    .ping_ms = 100000000,
                                    .pong_ms = 10000,
                                    .reply_ms = 4000,
                                    .fence_ms = 1000,
                                    .linger_ms = 0,
                                    .audit_ms = 40000};
    now_ms = 1000000;
    epoch = EPOCH;
    hub = hub_new(&settings, now_ms);
    ck_assert_ptr_nonnull(hub);
    hub_broker_up(hub, BROKER, 0, now_ms);
    for (size_t i = 0; i < SESSIONS; i++)
        open_session(i);
    pass_fence();
    answer_all();
    hear_canary();
    begin_counting();
}

static void teardown(void)
{
    for (size_t i = 0; i < SESSIONS; i++)
        hub_session_closed(hub, sessions[i], now_ms);
    hub_destroy(&hub);
    while (frame_count > 0)
        buffer_free(&frames[--frame_count]);
    free(frames);
    frames = NULL;
}

static size_t never(const size_t *happened)
{
    size_t number = 0;
    for (size_t i = 0; i < ADDRESSES; i++)
        number += happened[i] == 0;
    return number;
}

START_TEST(ten_thousand_addresses_are_a_few_frames)
{
    hub_publications_lost(hub, now_ms);
    take_effects();
    ck_assert_uint_eq(frames_total, 0); /* first the fence, one for all */
    pass_fence();
    ck_assert_uint_eq(frames_total, 8);
    answer_all();
    ck_assert_uint_eq(frames_total, (ADDRESSES + LIMIT_ASK_ITEMS - 1) / LIMIT_ASK_ITEMS);
    ck_assert_uint_eq(questions_total, ADDRESSES);
    ck_assert_uint_eq(never(asked), 0);
    ck_assert_uint_eq(most_unanswered, IN_FLIGHT);
}
END_TEST

/* Causes of which each lets one frame through: whoever had waited longest is in it. */
START_TEST(causes_that_come_fast_starve_nobody)
{
    for (int round = 0; round < (ADDRESSES + LIMIT_ASK_ITEMS - 1) / LIMIT_ASK_ITEMS; round++) {
        hub_publications_lost(hub, now_ms);
        take_effects();
        pass_fence();
        answer_frame();
        lose_frames();
    }
    ck_assert_uint_eq(never(answered), 0);
}
END_TEST

/* Causes that come before any frame is answered, or even before the fence has passed, change
 * nothing in the order. */
START_TEST(causes_keep_the_order)
{
    for (int round = 0; round < (ADDRESSES + LIMIT_ASK_ITEMS - 1) / LIMIT_ASK_ITEMS; round++) {
        for (int cause = 0; cause < 3; cause++) {
            hub_publications_lost(hub, now_ms);
            take_effects();
            if (cause > 0)
                pass_fence();
            if (cause < 2)
                lose_frames();
        }
        answer_frame();
        lose_frames();
    }
    ck_assert_uint_eq(never(answered), 0);
}
END_TEST

START_TEST(audits_are_spread_over_their_time)
{
    size_t most = 0;
    for (int second = 0; second < 40; second++) {
        size_t before = questions_total, frames_before = frames_total;
        now_ms += 1000;
        hub_tick(hub, now_ms);
        take_effects();
        hear_canary();
        answer_all();
        if (questions_total - before > most)
            most = questions_total - before;
        ck_assert_uint_le(frames_total - frames_before, 2);
    }
    ck_assert_uint_eq(never(asked), 0);
    ck_assert_uint_le(questions_total, ADDRESSES + ADDRESSES / 40 + 100);
    ck_assert_uint_le(most, 3 * ADDRESSES / 40); /* two slices may fall into one tick */
    const struct hub_metrics *metrics = hub_metrics(hub, now_ms);
    ck_assert_uint_eq(metrics->audited_total, questions_total);
    ck_assert_uint_eq(metrics->audit_holes_total, 0);
}
END_TEST

START_TEST(audits_under_way_are_bounded)
{
    for (int second = 0; second < 39; second++) { /* and nobody answers */
        now_ms += 1000;
        hub_tick(hub, now_ms);
        take_effects();
        hear_canary();
    }
    ck_assert_uint_eq(most_unanswered, IN_FLIGHT);
    answer_all(); /* now those that waited */
    ck_assert_uint_ge(questions_total, ADDRESSES * 9 / 10);
    ck_assert_uint_eq(most_unanswered, IN_FLIGHT);
}
END_TEST

static uint64_t told(void)
{
    return hub_metrics(hub, now_ms)->lost_told_total;
}

/* The SDK subscribes again at once, without any backoff: whoever tells all of them in one go has
 * all of them at the door. */
START_TEST(those_who_lost_their_stream_are_told_at_a_pace)
{
    epoch = EPOCH + 1; /* the broker has forgotten everything */
    hub_broker_up(hub, BROKER + 1, 0, now_ms);
    take_effects();
    pass_fence();
    answer_all();
    ck_assert_uint_eq(told(), 0);
    uint64_t at[8000 / 16 + 1] = {0};
    size_t ticks = 0;
    while (told() < ADDRESSES && ticks < 8000 / 16) {
        ck_assert_int_le(hub_wait(hub, now_ms), 16);
        now_ms += 16;
        hub_tick(hub, now_ms);
        take_effects();
        at[++ticks] = told();
        ck_assert_uint_le(at[ticks] - at[ticks - 1], 128);
        size_t second_ago = ticks > 62 ? ticks - 62 : 0;
        ck_assert_uint_le(at[ticks] - at[second_ago], 2000 + 128);
    }
    ck_assert_uint_eq(told(), ADDRESSES);
    ck_assert_uint_ge(ticks * 16, ADDRESSES / 2000 * 1000 - 100);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("resync");
    TCase *tests = tcase_create("resync");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, ten_thousand_addresses_are_a_few_frames);
    tcase_add_test(tests, causes_that_come_fast_starve_nobody);
    tcase_add_test(tests, causes_keep_the_order);
    tcase_add_test(tests, audits_are_spread_over_their_time);
    tcase_add_test(tests, audits_under_way_are_bounded);
    tcase_add_test(tests, those_who_lost_their_stream_are_told_at_a_pace);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
