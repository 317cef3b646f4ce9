#include "hub_history.h"

#include <stdio.h>

#include "asserts.h"
#include "proto/backend_codec.h"
#include "proto/json_doc.h"
#include "proto/status.h"

#define STEPS 3000
/* The permissions of all streams but the last one end so soon; of that one, never by themselves. */
#define GRANT_MS 40
/* Ids of commands that are no subscribe or unsubscribe. */
#define OTHER_IDS (INT64_C(1) << 30)

enum subscribed {
    OFF,
    ASKED,
    ON,
    LEAVING,
    ENDED /* by the server, while leaving */
};

struct place {
    enum subscribed state;
    bool knows; /* a position from an earlier subscription */
    uint64_t epoch, offset;
    bool recovers;
};

static struct world world;
static struct place places[WORLD_CLIENTS][WORLD_STREAMS];
static struct history_kind kind;
static struct history_seen *seen;

/* What the rules are about a stream, as far as it is known here. */
static struct {
    uint64_t changes;       /* of the verdict */
    bool is_closed;         /* revoked, and refused ever since */
    size_t answers_ahead;   /* that may still say yes, although the broker now says no */
    int64_t readable_until; /* nobody may hear it from then on */
} rules[WORLD_STREAMS];

/* Revocations on their way. */
static struct revoking {
    size_t stream;
    uint64_t changes;
} revoking[STEPS];
static size_t revoking_count, revoking_done;

/* A small generator of our own: the same seed gives the same history everywhere. */
static uint64_t random_state;

static uint32_t roll(uint32_t sides)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 33) % sides;
}

static size_t stream_named(struct span channel)
{
    for (size_t i = 0; i < WORLD_STREAMS; i++)
        if (span_is(channel, world_channel(i)))
            return i;
    ck_abort_msg("a channel that nobody asked for");
}

static uint64_t member_int(const struct json_value *object, const char *name)
{
    const struct json_value *value = json_member(object, name);
    return value ? (uint64_t)json_int_of(value) : 0;
}

static bool member_true(const struct json_value *object, const char *name)
{
    const struct json_value *value = json_member(object, name);
    return value && json_bool_of(value);
}

static void may_hear(size_t stream)
{
    ck_assert(!rules[stream].is_closed);
    ck_assert_int_lt(world.now_ms, rules[stream].readable_until);
}

/* What is told to be left out in front of it, which is never nothing. */
static uint64_t missed_before(const struct json_value *publication)
{
    const struct json_value *tags = json_member(publication, "tags");
    if (!tags)
        return 0;
    uint64_t missed = 0;
    struct span text = json_string_of(json_member(tags, "missed"));
    for (size_t i = 0; i < text.size; i++)
        missed = missed * 10 + (text.data[i] - (uint64_t)'0');
    ck_assert_uint_gt(missed, 0);
    return missed;
}

static void hear_publication(struct place *place, const struct json_value *publication)
{
    const struct json_value *data = json_member(publication, "data");
    place->offset += missed_before(publication);
    ck_assert_uint_eq(member_int(publication, "offset"), place->offset + 1);
    ck_assert_uint_eq(member_int(data, "n"), place->offset + 1);
    ck_assert_uint_eq(member_int(data, "e"), place->epoch);
    place->offset++;
    seen->heard++;
}

static void hear_subscribed(struct place *place, const struct json_value *result)
{
    uint64_t epoch;
    ck_assert_int_eq(place->state, ASKED);
    ck_assert(epoch_parse(json_string_of(json_member(result, "epoch")), &epoch));
    ck_assert_int_eq(member_true(result, "was_recovering"), place->recovers);
    if (member_true(result, "recovered")) {
        ck_assert(place->recovers);
        ck_assert_uint_eq(epoch, place->epoch);
        ck_assert_uint_eq(member_int(result, "offset"), place->offset);
        seen->recovered++;
    } else {
        ck_assert_ptr_null(json_member(result, "publications"));
        place->epoch = epoch;
        place->offset = member_int(result, "offset");
        seen->not_recovered += place->recovers;
    }
    const struct json_value *publications = json_member(result, "publications");
    if (publications)
        for (size_t i = 0; json_at(publications, i); i++)
            hear_publication(place, json_at(publications, i));
    place->state = ON;
    place->knows = true;
}

static void subscribe(size_t client, size_t stream)
{
    struct place *place = &places[client][stream];
    char epoch[EPOCH_TEXT_BYTES];
    epoch_write(epoch, place->epoch);
    place->state = ASKED;
    if (!world.clients[client].session)
        return; /* it says so when it is back */
    place->recovers = place->knows && roll(8) != 0;
    /* The id names the stream, so that the reply does. */
    long long id = (long long)(world.clients[client].commands += WORLD_STREAMS) / WORLD_STREAMS *
                       WORLD_STREAMS +
                   (long long)stream;
    world.clients[client].commands = id;
    if (place->recovers)
        world_send(
            &world, client,
            "{\"id\":%lld,\"subscribe\":{\"channel\":\"%s\",\"recover\":true,\"epoch\":\"%.16s\","
            "\"offset\":%llu}}",
            id, world_channel(stream), epoch, (unsigned long long)place->offset);
    else
        world_send(&world, client, "{\"id\":%lld,\"subscribe\":{\"channel\":\"%s\"}}", id,
                   world_channel(stream));
}

static void unsubscribe(size_t client, size_t stream)
{
    long long id = (long long)(world.clients[client].commands += WORLD_STREAMS) / WORLD_STREAMS *
                       WORLD_STREAMS +
                   (long long)stream;
    world.clients[client].commands = id;
    places[client][stream].state = LEAVING;
    world_send(&world, client, "{\"id\":%lld,\"unsubscribe\":{\"channel\":\"%s\"}}", id,
               world_channel(stream));
}

static void hear_push(size_t client, const struct json_value *push)
{
    size_t stream = stream_named(json_string_of(json_member(push, "channel")));
    struct place *place = &places[client][stream];
    const struct json_value *publication = json_member(push, "pub");
    if (publication) {
        ck_assert(place->state == ON || place->state == LEAVING);
        may_hear(stream);
        seen->missed_of[stream] += missed_before(publication);
        hear_publication(place, publication);
        return;
    }
    uint64_t code = member_int(json_member(push, "unsubscribe"), "code");
    bool is_final = code == 2403 || code == 2410 || code == 2453;
    ck_assert(code == 2500 || (is_final && kind.with_permissions));
    seen->told += code == 2500;
    seen->refused += code == 2403;
    seen->revoked += code == 2410;
    if (place->state == LEAVING)
        place->state = ENDED;
    if (place->state != ON)
        return;
    place->state = OFF;
    if (!is_final)
        subscribe(client, stream); /* as the SDK does: at once, with its position */
}

static void hear(size_t client, char *text)
{
    struct buffer why = {0};
    json_doc_t *doc = json_doc_parse(span_text(text), 16, &why);
    ck_assert_msg(doc != NULL, "%s", text);
    const struct json_value *root = json_doc_root(doc);
    struct place *place = &places[client][member_int(root, "id") % WORLD_STREAMS];
    if (member_int(root, "id") >= OTHER_IDS) {
        if (json_member(root, "history"))
            may_hear((size_t)(member_int(root, "id") - OTHER_IDS));
    } else if (json_member(root, "push")) {
        hear_push(client, json_member(root, "push"));
    } else if (json_member(root, "subscribe")) {
        hear_subscribed(place, json_member(root, "subscribe"));
    } else if (json_member(root, "unsubscribe")) {
        ck_assert(place->state == LEAVING || place->state == ENDED);
        place->state = OFF;
    } else if (json_member(root, "error")) {
        ck_assert_int_eq(place->state, ASKED);
        ck_assert(member_true(json_member(root, "error"), "temporary") || kind.with_permissions);
        place->state = OFF;
    }
    json_doc_destroy(&doc);
    buffer_free(&why);
    free(text);
}

static void listen_to_all(void)
{
    for (size_t client = 0; client < WORLD_CLIENTS; client++)
        for (char *text; (text = world_next(&world, client));)
            hear(client, text);
}

static void reconnect(size_t client)
{
    world_disconnect(&world, client);
    world_connect(&world, client);
    for (size_t stream = 0; stream < WORLD_STREAMS; stream++)
        if (places[client][stream].state != OFF) {
            places[client][stream].state = OFF;
            subscribe(client, stream);
        }
}

/* Those that were cut off. */
static void come_back(void)
{
    for (size_t client = 0; client < WORLD_CLIENTS; client++) {
        if (world.clients[client].session)
            continue;
        ck_assert(kind.with_stalls && world.clients[client].code == CLIENT_CLOSE_SLOW);
        ck_assert(world.clients[client].is_stalled); /* nobody else is slow */
        seen->cut_off++;
        reconnect(client);
    }
}

static void stall_step(size_t client)
{
    struct world_client *of = &world.clients[client];
    if (!of->is_stalled && roll(4) == 0)
        world_stall(&world, client);
    else if (of->is_stalled && roll(60) == 0)
        world_go_on(&world, client);
    else if (of->is_stalled && roll(10) == 0)
        world_read(&world, client, roll(8));
}

static void client_step(size_t client, size_t stream)
{
    if (roll(40) == 0)
        reconnect(client);
    else if (places[client][stream].state == OFF)
        subscribe(client, stream);
    else if (places[client][stream].state == ON && roll(6) == 0)
        unsubscribe(client, stream);
    else if (kind.with_permissions && places[client][stream].state == ON && roll(3) == 0)
        world_send(&world, client, "{\"id\":%lld,\"history\":{\"channel\":\"%s\"}}",
                   (long long)OTHER_IDS + (long long)stream, world_channel(stream));
}

/* --- permissions --- */

static uint32_t usual_grant(size_t stream)
{
    return kind.with_permissions && stream < WORLD_STREAMS - 1 ? GRANT_MS : BUS_GRANT_FOREVER;
}

static void stop_reading(size_t stream)
{
    rules[stream].readable_until =
        usual_grant(stream) == BUS_GRANT_FOREVER ? INT64_MAX : world.now_ms + GRANT_MS;
}

static void set_verdict(size_t stream, struct world_verdict verdict)
{
    bool was_ok = world.streams[stream].verdict.status == STATUS_OK;
    world.streams[stream].verdict = verdict;
    rules[stream].changes++;
    if (verdict.status == STATUS_OK) {
        rules[stream].is_closed = false;
        rules[stream].answers_ahead = 0;
        rules[stream].readable_until = INT64_MAX;
    } else if (was_ok) {
        rules[stream].answers_ahead = world.answers.count;
        if (world.answers.count == 0)
            stop_reading(stream);
    }
}

static void change_rules(size_t stream)
{
    static const struct world_verdict refusals[] = {{STATUS_FORBIDDEN, false, 0},
                                                    {STATUS_UNAVAILABLE, true, 0},
                                                    {STATUS_UNAVAILABLE, false, 0}};
    bool once = roll(2) && usual_grant(stream) == GRANT_MS;
    if (roll(3) > 0)
        set_verdict(stream, (struct world_verdict){.grant_ms = once ? BUS_GRANT_ONCE
                                                                    : usual_grant(stream)});
    else
        set_verdict(stream, refusals[roll(3)]);
}

static void take_back(size_t stream)
{
    if (roll(2))
        set_verdict(stream, (struct world_verdict){.status = STATUS_FORBIDDEN});
    revoking[revoking_count++] = (struct revoking){stream, rules[stream].changes};
    world_revoke(&world, (struct bus_revoke){.mode = roll(2) ? BUS_REVOKE_RECHECK : BUS_REVOKE_DENY,
                                             .scope = BUS_SCOPE_CHANNEL | BUS_SCOPE_RESOURCE,
                                             .channel = span_text(world_channel(stream))});
}

/* The answers that were on their way are gone. */
static void forget_answers(void)
{
    revoking_done = revoking_count;
    for (size_t stream = 0; stream < WORLD_STREAMS; stream++) {
        if (rules[stream].answers_ahead > 0)
            stop_reading(stream);
        rules[stream].answers_ahead = 0;
    }
}

static void move_answer(void)
{
    bool is_revocation = world.answers.count > 0 && world.answers.items[0].data[0] == BUS_REVOKE;
    listen_to_all(); /* what came before it may have been heard */
    if (!world_move_answer(&world))
        return;
    for (size_t stream = 0; stream < WORLD_STREAMS; stream++)
        if (rules[stream].answers_ahead > 0 && --rules[stream].answers_ahead == 0)
            stop_reading(stream);
    if (!is_revocation)
        return;
    const struct revoking *done = &revoking[revoking_done++];
    if (world.streams[done->stream].verdict.status != STATUS_OK &&
        rules[done->stream].changes == done->changes)
        rules[done->stream].is_closed = true;
}

static void everybody_may_read(void)
{
    for (size_t stream = 0; stream < WORLD_STREAMS; stream++)
        set_verdict(stream, (struct world_verdict){.grant_ms = BUS_GRANT_FOREVER});
}

/* The broker's second, as far as it gets through. */
static void second(void)
{
    if (kind.faults != FAULTS_AND_SILENCE)
        world_digest(&world);
    if (kind.faults == FAULTS_AND_SILENCE && roll(30) == 0)
        world.canary++; /* lost */
    if (kind.faults == FAULTS_AND_SILENCE && roll(60) == 0) {
        world_advance(&world, 2000 + roll(4000)); /* no word of it for so long */
        seen->silences++;
    }
    world_canary(&world);
}

static void fault(size_t stream)
{
    if (roll(20) == 0) {
        world_forget(&world, stream);
    } else if (roll(60) == 0) {
        world_break_link(&world);
        forget_answers();
        world_mend_link(&world);
    } else if (roll(40) == 0) {
        hub_publications_lost(world.hub, world.now_ms);
    } else if (roll(100) == 0) {
        world_restart_broker(&world);
        forget_answers();
    }
}

static void step(void)
{
    bool with_faults = kind.faults != NO_FAULTS;
    size_t stream = roll(WORLD_STREAMS);
    switch (roll(16)) {
    case 0:
    case 1:
        client_step(roll(WORLD_CLIENTS), stream);
        break;
    case 2:
    case 3:
    case 4:
    case 5:
        if (with_faults)
            world.lose_next = roll(12) == 0;
        world_publish(&world, stream);
        break;
    case 6:
        for (uint32_t burst = roll(20); burst > 0 && roll(4) == 0; burst--)
            world_publish(&world, stream);
        break;
    case 7:
    case 8:
        world_move_topic(&world);
        break;
    case 9:
    case 10:
        world.refuse_next = with_faults && roll(8) == 0;
        world_move_question(&world);
        break;
    case 11:
    case 12:
        move_answer();
        break;
    case 13:
        if (with_faults)
            fault(stream);
        break;
    case 14:
        second();
        break;
    default:
        world_advance(&world, roll(30));
    }
    for (uint32_t moves = roll(3); moves > 0; moves--)
        world_move_publication(&world);
    listen_to_all();
    come_back();
    if (kind.with_stalls)
        stall_step(roll(WORLD_CLIENTS));
    if (kind.with_other_policies && roll(50) == 0)
        world.streams[roll(WORLD_STREAMS)].slow_reader = (enum slow_reader)roll(3);
    listen_to_all();
    if (kind.with_permissions && roll(20) == 0)
        change_rules(stream);
    if (kind.with_permissions && roll(40) == 0)
        take_back(stream);
}

/* Who is there, as the gateway says it, are those that think so. */
static void check_presence(size_t stream)
{
    if (kind.with_stalls)
        return; /* those who do not read do not know */
    const struct bus_presence_part *part = world_presence(&world, stream, BUS_PRESENCE, 100);
    size_t expected = 0;
    for (size_t client = 0; client < WORLD_CLIENTS; client++)
        expected += places[client][stream].state == ON || places[client][stream].state == LEAVING;
    ck_assert_uint_eq(part->clients, expected);
}

/* The last message of each stream: no later one shows that it is missing. */
static void lose_last(void)
{
    world_settle(&world);
    world_advance(&world, 16);
    world_settle(&world);
    listen_to_all();
    for (size_t stream = 0; stream < WORLD_STREAMS; stream++) {
        world.lose_next = true;
        world_publish(&world, stream);
    }
}

/* Nothing is lost any more; what is still missing must come by itself. Without digests only the
 * audit can find it. */
static void come_to_rest(void)
{
    world.refuse_next = false;
    world.lose_next = false;
    everybody_may_read();
    come_back();
    for (size_t client = 0; client < WORLD_CLIENTS; client++)
        world_go_on(&world, client);
    for (int round = 0; round < 30; round++) {
        world_settle(&world);
        listen_to_all();
        come_back();
        if (kind.faults != FAULTS_AND_SILENCE)
            world_digest(&world);
        world_canary(&world);
        world_advance(&world, 500);
        for (size_t client = 0; client < WORLD_CLIENTS; client++)
            for (size_t stream = 0; stream < WORLD_STREAMS; stream++)
                if (places[client][stream].state == OFF)
                    subscribe(client, stream);
    }
}

void history_run(uint64_t seed, struct history_kind of, struct history_seen *sum)
{
    kind = of;
    seen = sum;
    random_state = seed * 0x9e3779b97f4a7c15u + 1;
    memset(places, 0, sizeof places);
    memset(rules, 0, sizeof rules);
    revoking_count = revoking_done = 0;
    struct hub_settings settings = world_settings();
    settings.audit_ms = kind.faults == FAULTS_AND_SILENCE ? 5000 : 40000;
    settings.ping_ms = 10000000; /* clients here do not answer them */
    if (kind.with_stalls) {
        settings.queue_bytes = 1400; /* less than what is recovered, or repaired at once */
        settings.queue_ms = 400;
    }
    if (kind.with_little_room)
        settings.held_bytes = 400;
    world_open(&world, &settings);
    for (size_t stream = 0; kind.with_stalls && stream < WORLD_STREAMS; stream++)
        world.streams[stream].slow_reader = (enum slow_reader)stream;
    for (size_t stream = 0; stream < WORLD_STREAMS; stream++)
        set_verdict(stream, (struct world_verdict){.grant_ms = usual_grant(stream)});
    for (size_t client = 0; client < WORLD_CLIENTS; client++)
        world_connect(&world, client);
    for (int i = 0; i < STEPS; i++) {
        step();
        check_presence(roll(WORLD_STREAMS));
    }
    if (kind.faults == FAULTS_AND_SILENCE)
        lose_last();
    come_to_rest();
    for (size_t client = 0; client < WORLD_CLIENTS; client++)
        for (size_t stream = 0; stream < WORLD_STREAMS; stream++) {
            const struct place *place = &places[client][stream];
            ck_assert_int_eq(place->state, ON);
            ck_assert_uint_eq(place->epoch, world.streams[stream].epoch);
            ck_assert_uint_eq(place->offset, world.streams[stream].position);
        }
    const struct hub_metrics *metrics = hub_metrics(world.hub, world.now_ms);
    seen->gaps += metrics->gaps_total;
    seen->audit_holes += metrics->audit_holes_total;
    seen->resyncs += metrics->resyncs_total;
    seen->not_held += metrics->held_refused_total;
    world_close(&world);
}
