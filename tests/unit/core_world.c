#include "core_world.h"
#include "asserts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/address.h"
#include "proto/json_doc.h"
#include "proto/json_text.h"
#include "proto/wire.h"

core_t *world;
struct core_settings world_settings;
struct broker_metrics world_metrics;
int64_t world_now;

static sites_t *sites;
static policy_t *policy;
static uint64_t numbers;
static struct buffer scratch, text, bytes;
static struct core_effect effect;
static uint8_t key[ADDRESS_KEY_MAX];

static uint64_t next_number(void *arg)
{
    (void)arg;
    return ++numbers;
}

void world_start(void)
{
    core_destroy(&world);
    numbers = 0;
    world_metrics = (struct broker_metrics){0};
    world = core_new(&world_settings, world_now);
    ck_assert_ptr_nonnull(world);
    ck_assert_uint_eq(core_nonce(world), WORLD_NONCE);
}

void world_setup(void)
{
    static const struct sites_principal principals[] = {
        {"default", "", "publish history preview handle revoke"},
        {"acme", "chess", "publish history handle revoke"},
        {"none", "", ""},
    };
    size_t index;
    sites = sites_new(principals, 3, &index, &scratch);
    ck_assert_ptr_nonnull(sites);
    world_now = 1000000;
    policy = policy_new(&(struct policy_settings){0}, &index, &scratch);
    ck_assert_ptr_nonnull(policy);
    world_settings = (struct core_settings){
        .node = "node-1",
        .sites = sites,
        .policy = policy,
        .asks = {.checks = 300, .batches = 3, .grants = 3, .check_ms = 3000, .again_ms = 1000},
        .revocations = {.kept = 3, .limit_ms = 1000},
        .handlers = 10,
        .streams = {.rule = {{512, 1 << 20, 300000}, true, PRESENCE_OFF},
                    .total_bytes = 256 << 20,
                    .headers = 1000,
                    .header_ms = 3600000,
                    .random = next_number},
        .payload_bytes = 200,
        .unanswered_requests = 4,
        .idempotency_ms = 300000,
        .idempotency_keys = 10,
        .random = next_number,
        .metrics = &world_metrics,
    };
    world_start();
}

void world_policy(const struct policy_settings *settings)
{
    size_t index;
    policy_destroy(&policy);
    policy = policy_new(settings, &index, &scratch);
    ck_assert_ptr_nonnull(policy);
    world_settings.policy = policy;
    world_start();
}

void world_teardown(void)
{
    core_destroy(&world);
    policy_destroy(&policy);
    sites_destroy(&sites);
    buffer_free(&scratch);
    buffer_free(&text);
    buffer_free(&bytes);
}

struct span world_key(const char *channel, const char *resource)
{
    struct address address = {.view = VIEW_LIVE,
                              .site = span_text("default"),
                              .channel = span_text(channel),
                              .resource = span_text(resource)};
    return span_of(key, address_encode(&address, key));
}

/* --- events --- */

/* Replaces ' by ". Valid until the next call. */
static struct span json_of(const char *quoted)
{
    buffer_reset(&text);
    for (; *quoted; quoted++)
        buffer_put_byte(&text, *quoted == '\'' ? '"' : (uint8_t)*quoted);
    return buffer_span(&text);
}

void world_request_bytes(size_t endpoint, const char *peer, struct span request)
{
    core_backend_request(world, endpoint, span_text(peer), request, world_now);
}

void world_request(size_t endpoint, const char *peer, const char *json)
{
    struct buffer why = {0};
    json_doc_t *doc = json_doc_parse(json_of(json), 30, &why);
    ck_assert_msg(doc, "%s: %.*s", json, SPAN_ARG(buffer_span(&why)));
    buffer_reset(&scratch);
    json_to_wire(&scratch, json_doc_root(doc));
    json_doc_destroy(&doc);
    buffer_free(&why);
    world_request_bytes(endpoint, peer, buffer_span(&scratch));
}

void world_frame(const char *peer, const struct buffer *frame)
{
    core_gateway_frame(world, span_text(peer), buffer_span(frame), world_now);
}

void world_hello(const char *peer, const char *gateway, uint64_t incarnation)
{
    buffer_reset(&scratch);
    bus_put_hello(&scratch, &(struct bus_hello){.version = BUS_VERSION,
                                                .gateway = span_text(gateway),
                                                .incarnation = incarnation,
                                                .started_ms = incarnation});
    world_frame(peer, &scratch);
}

void world_gateway(const char *peer, uint64_t incarnation)
{
    world_hello(peer, peer, incarnation);
    expect_log(CORE_GATEWAY_JOINED, peer);
    ck_assert_uint_eq(bus_frame_type(take_frame(peer)), BUS_WELCOME);
    ck_assert_uint_eq(bus_frame_type(take_frame(peer)), BUS_STANDING);
}

void world_ask(const char *peer, const struct bus_question *questions, size_t count)
{
    struct buffer items = {0}, asker = {0};
    bus_put_asker(&asker, &(struct bus_asker){.type = SUBSCRIBER_VISITOR, .within_ms = 4000});
    for (size_t i = 0; i < count; i++) {
        struct bus_question question = questions[i];
        if (question.kind == BUS_SUBSCRIBE && question.asker.size == 0)
            question.asker = buffer_span(&asker);
        bus_put_question(&items, &question);
    }
    buffer_free(&asker);
    buffer_reset(&scratch);
    bus_put_ask(&scratch,
                &(struct bus_ask){.count = (uint16_t)count, .items = buffer_span(&items)});
    world_frame(peer, &scratch);
    buffer_free(&items);
}

void world_event(bool on, struct span topic)
{
    buffer_reset(&scratch);
    buffer_put_byte(&scratch, on);
    buffer_put_span(&scratch, topic);
    core_xpub_event(world, buffer_span(&scratch), world_now);
}

void world_subscribe(const char *channel, const char *resource, bool on)
{
    uint8_t topic[1 + ADDRESS_KEY_MAX] = {BUS_TOPIC_PUBLICATION};
    struct span address = world_key(channel, resource);
    memcpy(topic + 1, address.data, address.size);
    world_event(on, span_of(topic, 1 + address.size));
}

void post(int id, int n)
{
    char request[200];
    snprintf(request, sizeof request,
             "{'op':'publish','id':%d,'channel':'chat','payload':{'n':%d}}", id, n);
    world_request(0, "p", request);
}

void post_key(int id, int n, const char *with)
{
    char request[200];
    snprintf(request, sizeof request,
             "{'op':'publish','id':%d,'channel':'chat','payload':{'n':%d},'key':'%s'}", id, n,
             with);
    world_request(0, "p", request);
}

void stored(uint64_t ticket, enum store_outcome outcome)
{
    core_stored(world, ticket, outcome, world_now);
}

void world_publish(const char *channel, size_t count)
{
    struct buffer request = {0};
    for (size_t i = 0; i < count; i++) {
        buffer_reset(&request);
        buffer_printf(&request, "{'op':'publish','channel':'%s','payload':{'n':%zu}}%c", channel,
                      i + 1, '\0');
        world_request(0, "publisher", (const char *)request.data);
        core_take_effect(world, &effect);
        ck_assert_int_eq(effect.kind, CORE_APPEND);
        core_stored(world, effect.append.ticket, STORE_COMMITTED, world_now);
        drop_effects();
    }
    buffer_free(&request);
}

void registered(uint64_t ticket, enum store_outcome outcome)
{
    core_registered(world, ticket, outcome, world_now);
}

void world_advance(int64_t ms)
{
    for (int64_t end = world_now + ms; world_now < end;) {
        world_now += end - world_now < 50 ? end - world_now : 50;
        core_tick(world, world_now);
        core_answer(world, SIZE_MAX, world_now);
    }
}

void world_read(const char *peer, const struct world_question *from)
{
    struct buffer asker = {0};
    bus_put_asker(&asker, &(struct bus_asker){.type = (uint8_t)from->type,
                                              .id = span_text(from->id),
                                              .within_ms = 4000});
    struct bus_question question = {.kind = from->kind ? from->kind : BUS_SUBSCRIBE,
                                    .flags = from->flags,
                                    .token = from->token,
                                    .address = world_key(from->channel, from->resource),
                                    .asker = buffer_span(&asker)};
    uint8_t address[ADDRESS_KEY_MAX];
    memcpy(address, question.address.data, question.address.size);
    address[0] = from->is_preview ? VIEW_PREVIEW : VIEW_LIVE;
    question.address.data = address;
    world_ask(peer, &question, 1);
    core_answer(world, SIZE_MAX, world_now);
    buffer_free(&asker);
}

void world_handler(const char *peer, const char *handlers)
{
    char request[300];
    snprintf(request, sizeof request, "{'op':'handle','id':1,'handlers':%s}", handlers);
    world_request(0, peer, request);
    for (;;) {
        core_take_effect(world, &effect);
        if (effect.kind != CORE_REGISTER)
            break;
        registered(effect.registration.ticket, STORE_COMMITTED);
    }
    ck_assert_int_eq(effect.kind, CORE_REPLY);
    core_sent(world, effect.to, CORE_SENT);
    expect_nothing();
}

/* --- effects --- */

static void take(enum core_effect_kind kind)
{
    core_take_effect(world, &effect);
    ck_assert_int_eq(effect.kind, kind);
}

void drop_effects(void)
{
    for (;;) {
        core_take_effect(world, &effect);
        if (effect.kind == CORE_NOTHING)
            return;
        if (effect.to)
            core_sent(world, effect.to, CORE_SENT);
    }
}

void expect_nothing(void)
{
    take(CORE_NOTHING);
}

static void expect_text(struct span got, struct span expected)
{
    ck_assert_msg(span_equal(got, expected), "got %.*s, expected %.*s", SPAN_ARG(got),
                  SPAN_ARG(expected));
}

/* The reply as JSON, in `bytes`. */
static void take_reply(const char *peer)
{
    take(CORE_REPLY);
    expect_text(effect.peer, span_text(peer));
    wire_reader_t *reader = wire_reader_new();
    const char *why;
    struct buffer problem = {0};
    const struct wire_value *reply = wire_read(reader, effect.bytes, 30, 100000, &why);
    ck_assert_msg(reply, "%s", why);
    buffer_reset(&bytes);
    ck_assert(json_text_from_wire(&bytes, reply, "reply", 30, &problem));
    wire_reader_destroy(&reader);
    buffer_free(&problem);
}

party_t *expect_unsent_reply(const char *peer, const char *json)
{
    take_reply(peer);
    expect_text(buffer_span(&bytes), json_of(json));
    return effect.to;
}

void expect_reply(const char *peer, const char *json)
{
    core_sent(world, expect_unsent_reply(peer, json), CORE_SENT);
}

void expect_pong(const char *peer, const char *id)
{
    char reply[200];
    snprintf(reply, sizeof reply, "{'id':%s,'ok':true,'instance':'%016x'}", id, WORLD_NONCE);
    expect_reply(peer, reply);
}

void expect_ok(int id, const char *epoch, int offset)
{
    char reply[200];
    snprintf(reply, sizeof reply, "{'id':%d,'ok':true,'epoch':'%s','offset':%d}", id, epoch,
             offset);
    expect_reply("p", reply);
}

void expect_duplicate(int id, const char *epoch, int offset)
{
    char reply[200];
    snprintf(reply, sizeof reply, "{'id':%d,'ok':true,'epoch':'%s','offset':%d,'duplicate':true}",
             id, epoch, offset);
    expect_reply("p", reply);
}

void expect_refusal(const char *peer, const char *id, enum status status, const char *words)
{
    take_reply(peer);
    buffer_put_byte(&bytes, 0);
    buffer_reset(&scratch);
    buffer_printf(&scratch, "{'id':%s,'ok':false,'error':{'status':%d,'code':'%s','message':'%c",
                  id, (int)status, status_slug(status), '\0');
    struct span start = json_of((const char *)scratch.data);
    ck_assert_msg(bytes.size > start.size && memcmp(bytes.data, start.data, start.size) == 0,
                  "got %s, expected %.*s", (const char *)bytes.data, SPAN_ARG(start));
    ck_assert_msg(strstr((const char *)bytes.data + start.size, words), "got %s, expected %s",
                  (const char *)bytes.data, words);
    core_sent(world, effect.to, CORE_SENT);
}

void expect_refusals(const char *peer, const struct world_refusal *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        world_request(cases[i].endpoint, peer, cases[i].json);
        expect_refusal(peer, "1", cases[i].status, cases[i].words);
        expect_nothing();
    }
}

void expect_check(const char *peer, const char *json)
{
    take_reply(peer);
    buffer_put_byte(&bytes, 0);
    /* Questions are numbered at random places of a run: one x stands for the number. */
    for (char *at = (char *)bytes.data; (at = strstr(at, "\"request_id\":\""));) {
        at += strlen("\"request_id\":\"");
        size_t digits = strspn(at, "0123456789abcdef");
        memmove(at + 1, at + digits, strlen(at + digits) + 1);
        *at = 'x';
    }
    expect_text(span_text((const char *)bytes.data), json_of(json));
    core_sent(world, effect.to, CORE_SENT);
}

void world_lost(const char *peer)
{
    take(CORE_REPLY);
    expect_text(effect.peer, span_text(peer));
    core_sent(world, effect.to, CORE_GONE);
}

uint64_t expect_registration(bool removed)
{
    take(CORE_REGISTER);
    ck_assert_int_eq(effect.registration.removed, removed);
    return effect.registration.ticket;
}

struct bus_reply expect_answer(const char *peer, uint64_t token, enum status status)
{
    core_answer(world, SIZE_MAX, world_now);
    struct bus_answer answer;
    struct bus_reply reply;
    ck_assert(bus_get_answer(take_frame(peer), &answer));
    ck_assert_uint_eq(answer.count, 1);
    ck_assert(bus_next_reply(&answer.items, &reply));
    ck_assert_uint_eq(reply.token, token);
    ck_assert_uint_eq(reply.status, status);
    return reply;
}

uint64_t expect_append(const char *channel, const char *resource, uint64_t epoch, uint64_t offset,
                       const char *body)
{
    take(CORE_APPEND);
    ck_assert(span_equal(effect.append.stream, world_key(channel, resource)));
    ck_assert_uint_eq(effect.append.epoch, epoch);
    ck_assert_uint_eq(effect.append.offset, offset);
    if (body)
        expect_text(effect.append.body, json_of(body));
    return effect.append.ticket;
}

void expect_note(enum store_note_kind kind, const char *channel, const char *resource,
                 uint64_t number)
{
    take(CORE_NOTE);
    ck_assert_int_eq(effect.note.kind, kind);
    ck_assert(span_equal(effect.note.stream, world_key(channel, resource)));
    ck_assert_uint_eq(kind == STORE_TRIMMED ? effect.note.first : effect.note.epoch, number);
}

void expect_publication(const char *channel, const char *resource, uint64_t epoch, uint64_t offset,
                        const char *body)
{
    take(CORE_PUBLISH);
    buffer_reset(&bytes);
    buffer_put_span(&bytes, effect.bytes);
    buffer_put_span(&bytes, effect.body);
    struct bus_delivery delivery;
    ck_assert(bus_get_delivery(buffer_span(&bytes), address_size, &delivery));
    ck_assert(span_equal(delivery.address, world_key(channel, resource)));
    ck_assert_uint_eq(delivery.epoch, epoch);
    ck_assert_uint_eq(delivery.offset, offset);
    if (body)
        expect_text(delivery.body, json_of(body));
}

void expect_published_bytes(struct span expected)
{
    take(CORE_PUBLISH);
    ck_assert(span_equal(effect.bytes, expected));
    ck_assert_uint_eq(effect.body.size, 0);
}

void expect_log(enum core_effect_kind kind, const char *gateway)
{
    take(kind);
    expect_text(effect.bytes, span_text(gateway));
}

party_t *take_unsent_frame(const char *peer, struct span *frame)
{
    take(CORE_SEND);
    expect_text(effect.peer, span_text(peer));
    buffer_reset(&bytes);
    buffer_put_span(&bytes, effect.bytes);
    *frame = buffer_span(&bytes);
    return effect.to;
}

struct span take_frame(const char *peer)
{
    struct span frame;
    core_sent(world, take_unsent_frame(peer, &frame), CORE_SENT);
    return frame;
}

const struct world_answers *take_answer_frame(const char *peer)
{
    static struct world_answers answers;
    struct bus_answer answer;
    ck_assert(bus_get_answer(take_frame(peer), &answer));
    answers.count = answer.count;
    ck_assert_uint_le(answers.count, LIMIT_ASK_ITEMS);
    for (size_t i = 0; i < answers.count; i++)
        ck_assert(bus_next_reply(&answer.items, &answers.replies[i]));
    ck_assert_uint_eq(answer.items.size, 0);
    return &answers;
}

const struct world_answers *take_answers(const char *peer)
{
    core_answer(world, SIZE_MAX, world_now);
    return take_answer_frame(peer);
}

const char *world_publications(const struct bus_reply *reply)
{
    struct span rest = reply->publications;
    struct bus_publication publication;
    buffer_reset(&text);
    for (uint32_t i = 0; i < reply->count; i++) {
        ck_assert(bus_next_publication(&rest, &publication));
        buffer_printf(&text, "%u:%.*s ", (unsigned)publication.offset, SPAN_ARG(publication.body));
    }
    ck_assert_uint_eq(rest.size, 0);
    buffer_put_byte(&text, 0);
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] == '"')
            text.data[i] = '\'';
    return (const char *)text.data;
}
