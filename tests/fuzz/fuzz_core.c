/* Whatever peers send to the broker, in whatever order: every effect is well formed, every request
 * with an id is answered once, every publication is decided, and nothing is owed at the end.
 *
 * Input: events, one behind the other: kind (1 byte), size (2, big-endian), bytes. */
#include <string.h>

#include "broker/core.h"
#include "broker/core_handlers.h"
#include "broker/core_revoke.h"
#include "broker/handlers.h"
#include "fuzz.h"
#include "proto/bus_codec.h"
#include "proto/json_doc.h"
#include "proto/wire.h"

static const struct sites_principal principals[] = {
    {"default", "shop", "publish history preview handle revoke"}};
static sites_t *sites;
static policy_t *policy;
static struct broker_metrics metrics;
static uint64_t numbers;

static uint64_t next_number(void *arg)
{
    (void)arg;
    return ++numbers;
}

static core_t *start(void)
{
    struct buffer why = {0};
    size_t index;
    if (!sites)
        sites = sites_new(principals, 1, &index, &why);
    if (!policy)
        policy = policy_new(&(struct policy_settings){0}, &index, &why);
    numbers = 0;
    metrics = (struct broker_metrics){0};
    const struct core_settings settings = {
        .node = "node",
        .sites = sites,
        .policy = policy,
        .streams = {.rule = {.limits = {4, 4096, 1000},
                             .client_history = true,
                             .presence = PRESENCE_FULL},
                    .total_bytes = 8192,
                    .headers = 4,
                    .header_ms = 2000,
                    .random = next_number},
        .presence = {.clients = 2, .users = 2, .rounds = 1, .questions = 3, .return_ms = 100},
        .asks = {.checks = 3, .batches = 2, .grants = 2, .check_ms = 500, .again_ms = 200},
        .revocations = {.kept = 2, .limit_ms = 500},
        .handlers = 3,
        .payload_bytes = 1000,
        .unanswered_requests = 3,
        .idempotency_ms = 1000,
        .idempotency_keys = 2,
        .is_durable = true,
        .random = next_number,
        .metrics = &metrics,
    };
    core_t *core = core_new(&settings, 0);
    FUZZ_CHECK(core);
    return core;
}

static void check_reply(struct span bytes)
{
    wire_reader_t *reader = wire_reader_new();
    const char *why;
    const struct wire_value *reply = wire_read(reader, bytes, 32, 1000000, &why);
    FUZZ_CHECK(reply && wire_type(reply) == WIRE_MAP);
    wire_reader_destroy(&reader);
}

static void check_send(struct span bytes)
{
    struct bus_answer answer;
    struct bus_reply reply;
    struct bus_presence_ask ask;
    FUZZ_CHECK(bytes.size <= LIMIT_BUS_FRAME_BYTES && bus_frame_type(bytes) != 0);
    FUZZ_CHECK(bus_frame_type(bytes) != BUS_PRESENCE_ASK || bus_get_presence_ask(bytes, &ask));
    if (!bus_get_answer(bytes, &answer))
        return;
    for (uint16_t i = 0; i < answer.count; i++)
        FUZZ_CHECK(bus_next_reply(&answer.items, &reply));
    FUZZ_CHECK(answer.items.size == 0);
}

/* What the store is told of streams: only of addresses, and a new one has an epoch. */
static void check_note(const struct store_note *note)
{
    struct address address;
    FUZZ_CHECK(address_decode(note->stream, &address));
    FUZZ_CHECK(note->kind <= STORE_ENDED);
    FUZZ_CHECK(note->kind != STORE_MADE || note->epoch > 0);
    FUZZ_CHECK(note->kind != STORE_TRIMMED || note->first > 0);
}

static void check_append(const struct store_append *append)
{
    FUZZ_CHECK(append->epoch > 0 && append->first > 0 && append->first <= append->offset);
    FUZZ_CHECK(append->once.key.size == 0 || append->once.until_ms > 0);
}

/* Takes all effects; commits what is appended and registered, or lets it fail; peers take what is
 * for them, or are gone. */
static void settle_with(core_t *core, enum store_outcome outcome, enum core_sent sent,
                        int64_t now_ms)
{
    struct core_effect effect;
    for (core_take_effect(core, &effect); effect.kind; core_take_effect(core, &effect)) {
        if (effect.kind == CORE_REPLY)
            check_reply(effect.bytes);
        if (effect.kind == CORE_SEND)
            check_send(effect.bytes);
        if (effect.kind == CORE_NOTE)
            check_note(&effect.note);
        if (effect.kind == CORE_APPEND)
            check_append(&effect.append);
        if (effect.kind == CORE_APPEND)
            core_stored(core, effect.append.ticket, outcome, now_ms);
        if (effect.kind == CORE_REGISTER)
            core_registered(core, effect.registration.ticket, outcome, now_ms);
        if (effect.to)
            core_sent(core, effect.to, sent);
    }
    /* A revocation waits for its gateways, or for its time. */
    FUZZ_CHECK(core_is_settled(core) || !core_no_revoking(core));
}

static void settle(core_t *core, enum store_outcome outcome, int64_t now_ms)
{
    settle_with(core, outcome, CORE_SENT, now_ms);
}

/* Whatever gateways call themselves and tell: one JSON object of printable ASCII. */
static void check_status(core_t *core, int64_t now_ms)
{
    struct buffer page = {0}, why = {0};
    core_write_status(core, 1, &page, now_ms);
    for (size_t i = 0; i < page.size; i++)
        FUZZ_CHECK(page.data[i] >= 0x20 && page.data[i] < 0x7f);
    json_doc_t *doc = json_doc_parse(buffer_span(&page), 8, &why);
    FUZZ_CHECK(doc &&
               json_at(json_member(json_doc_root(doc), "gateways"), metrics.gateways) == NULL);
    json_doc_destroy(&doc);
    buffer_free(&page);
    buffer_free(&why);
}

static void run_event(core_t *core, uint8_t kind, struct span bytes, int64_t *now_ms)
{
    struct span peer = span_of(&kind, kind & 1); /* one for each odd kind, and one */
    switch (kind >> 1 & 3) {
    case 0:
        core_backend_request(core, 0, peer, bytes, *now_ms);
        break;
    case 1:
        core_gateway_frame(core, peer, bytes, *now_ms);
        break;
    case 2:
        core_xpub_event(core, bytes, *now_ms);
        break;
    case 3:
        *now_ms += 64 * (int64_t)bytes.size;
        core_tick(core, *now_ms);
        break;
    }
    if (kind & 8)
        settle_with(core,
                    kind & 16    ? STORE_COMMITTED
                    : kind & 128 ? STORE_DOUBTED
                                 : STORE_UNKNOWN,
                    kind & 64 ? CORE_GONE : CORE_SENT, *now_ms);
    if (kind & 32)
        core_answer(core, 1, *now_ms);
}

/* What a store may hold: only the one form of the key of a handler is taken for it. */
static void check_handler_key(core_t *core, struct span key)
{
    struct address address;
    uint8_t again[ADDRESS_KEY_MAX];
    bool is_key = handler_address(key, &address);
    FUZZ_CHECK(core_restore_handler(core, key) == is_key);
    if (!is_key)
        return;
    enum permission_level level = address.resource.size  ? LEVEL_RESOURCE
                                  : address.channel.size ? LEVEL_CHANNEL
                                                         : LEVEL_DEFAULT;
    FUZZ_CHECK(span_equal(span_of(again, handler_key(&address, level, again)), key));
    FUZZ_CHECK(!core_restore_handler(core, key)); /* it is there already */
}

/* One record that a store may hold: two numbers, then a key or a message. */
static bool restore_record(const struct store_loader *to, uint8_t kind, struct span bytes)
{
    uint8_t one = bytes.data[0], other = bytes.data[1];
    struct span rest = span_of(bytes.data + 2, bytes.size - 2);
    const struct store_key key = {.key = rest, .until_ms = 5000 + 8 * (int64_t)other};
    switch (kind & 3) {
    case 0:
        return to->stream(to->arg, rest, one, other);
    case 1:
        return to->message(to->arg, one, 8 * (int64_t)other, rest);
    case 2:
        return to->key(to->arg, &key, 1, one);
    default:
        return to->handler(to->arg, rest);
    }
}

/* Whatever a store holds, the core stays within its limits, and lives on. */
static void check_restore(const uint8_t *data, size_t size)
{
    core_t *core = start();
    struct store_loader loader;
    struct core_restored restored;
    core_restore(core, 0, 5000, &loader);
    while (size >= 5 && 3 + ((size_t)data[1] << 8 | data[2]) <= size) {
        size_t bytes = (size_t)data[1] << 8 | data[2];
        if (bytes >= 2 && !restore_record(&loader, data[0], span_of(data + 3, bytes)))
            break;
        data += 3 + bytes;
        size -= 3 + bytes;
    }
    core_end_restore(core, &restored);
    core_measure(core);
    FUZZ_CHECK(metrics.streams <= 4 && metrics.idempotency_keys <= 2);
    FUZZ_CHECK(metrics.retained_bytes <= 8192);
    for (int64_t now_ms = 0; now_ms < 10000; now_ms += 500) {
        core_tick(core, now_ms);
        settle(core, STORE_COMMITTED, now_ms);
    }
    core_measure(core);
    FUZZ_CHECK(metrics.streams == 0 && metrics.retained_bytes == 0);
    core_destroy(&core);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_restore(data, size);
    core_t *core = start();
    check_handler_key(core, span_of(data, size));
    int64_t now_ms = 0;
    while (size >= 3) {
        uint8_t kind = data[0];
        size_t bytes = (size_t)data[1] << 8 | data[2];
        data += 3;
        size -= 3;
        if (bytes > size)
            bytes = size;
        /* A copy of exactly its size, for the address sanitizer. */
        uint8_t *copy = malloc(bytes + 1);
        FUZZ_CHECK(copy);
        memcpy(copy + 1, data, bytes);
        run_event(core, kind, span_of(copy + 1, bytes), &now_ms);
        free(copy);
        data += bytes;
        size -= bytes;
    }
    settle(core, STORE_COMMITTED, now_ms);
    while (core_can_answer(core)) {
        core_answer(core, SIZE_MAX, now_ms);
        settle(core, STORE_COMMITTED, now_ms);
    }
    /* What was asked of gateways and handlers that say nothing is given up in its time. */
    now_ms += 2 * PRESENCE_LIMIT_MS;
    for (int i = 0; i < 3; i++) {
        core_tick(core, now_ms += PRESENCE_LIMIT_MS);
        settle(core, STORE_COMMITTED, now_ms);
        core_answer(core, SIZE_MAX, now_ms);
        settle(core, STORE_COMMITTED, now_ms);
    }
    core_measure(core);
    FUZZ_CHECK(metrics.checks_open == 0 && metrics.batches_open == 0);
    FUZZ_CHECK(metrics.revocations_pending == 0);
    FUZZ_CHECK(metrics.grants <= 2 && metrics.handlers <= 4);
    FUZZ_CHECK(metrics.checks_answered_total > 0 || metrics.grants == 0);
    FUZZ_CHECK(metrics.presence_waiting == 0 && metrics.presence_running == 0);
    check_status(core, now_ms);
    FUZZ_CHECK(metrics.questions_waiting == 0 && metrics.appends_pending == 0);
    FUZZ_CHECK(metrics.streams <= 4 && metrics.idempotency_keys <= 2);
    FUZZ_CHECK(metrics.retained_bytes <= 8192);
    core_destroy(&core);
    return 0;
}
