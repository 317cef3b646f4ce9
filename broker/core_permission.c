#include "broker/core_permission.h"

#include <stdlib.h>
#include <string.h>

#include "broker/core_priv.h"
#include "proto/json_text.h"

/* An explanation may take as long as the question of a client. */
#define EXPLAIN_MS 4000

/* --- the cascade --- */

enum ruling { BY_HANDLER, BY_RULE, BY_NOTHING, BY_REQUIREMENT, BY_PREVIEW };

struct ruler {
    enum ruling by;
    enum permission_level level; /* HANDLER, RULE */
    handler_t *handler;          /* HANDLER */
    const rule_t *rule;          /* RULE */
};

static handler_t *find_handler(const core_t *core, const struct address *address,
                               enum permission_level level)
{
    uint8_t key[ADDRESS_KEY_MAX];
    return handlers_find(core->handlers, span_of(key, handler_key(address, level, key)));
}

static struct ruler find_ruler(const core_t *core, const struct address *address)
{
    if (address->view == VIEW_PREVIEW)
        return (struct ruler){.by = BY_PREVIEW};
    bool has_handlers = handlers_count(core->handlers) > 0;
    int level = address->resource.size > 0 ? LEVEL_RESOURCE : LEVEL_CHANNEL;
    for (; level < LEVELS; level++) {
        struct ruler ruler = {.level = (enum permission_level)level};
        if (has_handlers)
            ruler.handler = find_handler(core, address, ruler.level);
        if (!ruler.handler)
            ruler.rule = policy_find(core->settings.policy, address, ruler.level);
        ruler.by = ruler.handler ? BY_HANDLER : BY_RULE;
        if (ruler.handler || ruler.rule)
            return ruler;
    }
    bool required = policy_site(core->settings.policy, address->site)->require_handlers;
    return (struct ruler){.by = required ? BY_REQUIREMENT : BY_NOTHING};
}

static const char *const requirement =
    "this site requires a permission handler, and none is registered";

/* False: the handler has to be asked. */
static bool decide_here(const struct ruler *ruler, enum subscriber_type type,
                        struct decision *decision)
{
    *decision = (struct decision){.status = STATUS_OK};
    switch (ruler->by) {
    case BY_HANDLER:
        return false;
    case BY_RULE:
        if (!rule_allows(ruler->rule, type))
            decision->status = STATUS_FORBIDDEN;
        break;
    case BY_REQUIREMENT:
        decision->status = STATUS_FORBIDDEN;
        decision->message = span_text(requirement);
        break;
    case BY_NOTHING:
    case BY_PREVIEW:
        break;
    }
    return true;
}

static void count_decision(struct broker_metrics *metrics, enum status status)
{
    metrics->permissions_granted_total += status == STATUS_OK;
    metrics->permissions_refused_bad_input_total += status == STATUS_BAD_INPUT;
    metrics->permissions_refused_forbidden_total += status == STATUS_FORBIDDEN;
    metrics->permissions_refused_unavailable_total += status == STATUS_UNAVAILABLE;
}

/* --- questions of gateways --- */

static uint32_t grant_of(const struct decision *decision)
{
    return decision->has_ttl ? decision->ttl_ms : BUS_GRANT_FOREVER;
}

static bool is_temporary(const core_t *core, const struct address *address, uint8_t flags)
{
    switch (policy_site(core->settings.policy, address->site)->unavailable) {
    case UNAVAILABLE_RETRY:
        return true;
    case UNAVAILABLE_REFUSE:
        return false;
    case UNAVAILABLE_AUTO:
        break;
    }
    return flags & BUS_QUESTION_RESUMES;
}

/* As much of a text as fits, whole characters only. */
static void keep_message(struct permit *permit, struct span message)
{
    size_t size = message.size;
    if (size > LIMIT_MESSAGE_BYTES) {
        size = LIMIT_MESSAGE_BYTES;
        while (size > 0 && (message.data[size] & 0xc0) == 0x80)
            size--;
    }
    if (size > 0)
        memcpy(permit->message, message.data, size);
    permit->message[size] = '\0';
}

static void take_decision(core_t *core, struct permit *permit, const struct decision *decision)
{
    struct address address;
    if (!address_decode(permit->question.address, &address))
        return; /* it was decoded before */
    count_decision(core->metrics, decision->status);
    permit->status = decision->status;
    permit->grant_ms = grant_of(decision);
    permit->is_temporary = decision->status == STATUS_UNAVAILABLE &&
                           is_temporary(core, &address, permit->question.flags);
    keep_message(permit, decision->message);
}

/* The handler's word on a question that waited. */
static void permit_decided(core_t *core, struct inquiry *inquiry, const struct decision *decision)
{
    struct permit *permit = (struct permit *)inquiry; /* its first member */
    take_decision(core, permit, decision);
    TAILQ_REMOVE(&permit->gateway->permits, permit, link);
    TAILQ_INSERT_TAIL(&permit->gateway->decided, permit, link);
    core_make_ready(core, permit->gateway);
}

bool core_put_decision(const struct permit *permit, struct bus_reply *reply)
{
    if (permit->status == STATUS_OK) {
        reply->grant_ms = permit->grant_ms;
        return true;
    }
    reply->status = (uint16_t)permit->status;
    reply->flags = permit->is_temporary ? BUS_REPLY_TEMPORARY : 0;
    reply->message = span_text(permit->message);
    return false;
}

static struct span copy_to(uint8_t **to, struct span from)
{
    struct span copy = span_of(*to, from.size);
    if (from.size > 0)
        memcpy(*to, from.data, from.size);
    *to += from.size;
    return copy;
}

static struct permit *permit_new(party_t *gateway, const struct bus_question *question,
                                 const struct bus_asker *asker)
{
    size_t room = question->address.size + asker->id.size + asker->app.size;
    struct permit *permit = calloc(1, sizeof *permit + room);
    if (!permit)
        return NULL;
    uint8_t *at = permit->bytes;
    permit->gateway = gateway;
    permit->inquiry.decided = permit_decided;
    permit->reader = (struct reader){.address = copy_to(&at, question->address),
                                     .type = (enum subscriber_type)asker->type,
                                     .id = copy_to(&at, asker->id),
                                     .app = copy_to(&at, asker->app)};
    permit->question = *question;
    permit->question.address = permit->reader.address;
    permit->question.asker = (struct span){0};
    return permit;
}

static enum permitted refuse(struct bus_reply *reply, enum status status, struct span why)
{
    reply->status = (uint16_t)status;
    reply->message = why;
    return REFUSED;
}

/* What is known at once. */
static enum permitted put_now(core_t *core, const struct bus_question *question,
                              const struct address *address, const struct decision *decision,
                              struct bus_reply *reply)
{
    count_decision(core->metrics, decision->status);
    if (decision->status == STATUS_OK) {
        reply->grant_ms = grant_of(decision);
        return PERMITTED;
    }
    if (decision->status == STATUS_UNAVAILABLE && is_temporary(core, address, question->flags))
        reply->flags = BUS_REPLY_TEMPORARY;
    return refuse(reply, decision->status, decision->message);
}

static enum permitted ask_handler(core_t *core, struct permit *permit, handler_t *handler,
                                  uint32_t within_ms, const struct address *address,
                                  struct bus_reply *reply)
{
    struct decision decision;
    if (!core_asks_ask(core, handler, &permit->reader, within_ms, &permit->inquiry, &decision,
                       core->now_ms)) {
        TAILQ_INSERT_TAIL(&permit->gateway->permits, permit, link);
        return PENDING;
    }
    enum permitted permitted = put_now(core, &permit->question, address, &decision, reply);
    free(permit);
    return permitted;
}

enum permitted core_permit(core_t *core, party_t *gateway, const struct bus_question *question,
                           const struct address *address, bool is_strict, struct bus_reply *reply)
{
    struct span rest = question->asker;
    struct bus_asker asker;
    if (!bus_next_asker(&rest, &asker) || rest.size > 0 || asker.type > SUBSCRIBER_ADMIN ||
        asker.id.size > LIMIT_SUBSCRIBER_BYTES || asker.app.size > LIMIT_APP_BYTES) {
        core->metrics->gateway_frames_malformed_total++;
        return refuse(reply, STATUS_BAD_INPUT, span_text("a question without a proper asker"));
    }
    struct ruler ruler = find_ruler(core, address);
    struct decision decision;
    if (decide_here(&ruler, (enum subscriber_type)asker.type, &decision))
        return put_now(core, question, address, &decision, reply);
    struct permit *permit = permit_new(gateway, question, &asker);
    if (!permit)
        return refuse(reply, STATUS_UNAVAILABLE, span_text("out of memory"));
    permit->reader.is_strict = is_strict;
    permit->reader.is_fresh = is_strict || question->kind == BUS_PERMIT;
    return ask_handler(core, permit, ruler.handler, asker.within_ms, address, reply);
}

struct permit *core_next_decided(party_t *gateway)
{
    struct permit *permit = TAILQ_FIRST(&gateway->decided);
    if (permit)
        TAILQ_REMOVE(&gateway->decided, permit, link);
    return permit;
}

void core_permits_drop(party_t *gateway)
{
    struct permit *permit;
    while ((permit = TAILQ_FIRST(&gateway->permits))) {
        TAILQ_REMOVE(&gateway->permits, permit, link);
        core_asks_forget(&permit->inquiry);
        free(permit);
    }
    while ((permit = core_next_decided(gateway)))
        free(permit);
}

/* --- what was decided and does not count any more --- */

struct voiding {
    core_t *core;
    asks_match_fn *match;
    void *arg;
};

/* The same question once more, in the time that is usual. */
static void permit_again(core_t *core, struct permit *permit)
{
    struct address address;
    struct decision decision;
    if (!address_decode(permit->reader.address, &address))
        return;
    struct ruler ruler = find_ruler(core, &address);
    if (decide_here(&ruler, permit->reader.type, &decision) ||
        core_asks_ask(core, ruler.handler, &permit->reader, core->settings.asks.check_ms,
                      &permit->inquiry, &decision, core->now_ms)) {
        take_decision(core, permit, &decision);
        return;
    }
    TAILQ_REMOVE(&permit->gateway->decided, permit, link);
    TAILQ_INSERT_TAIL(&permit->gateway->permits, permit, link);
}

static void void_decided(party_t *gateway, void *arg)
{
    const struct voiding *voiding = arg;
    struct permit *permit, *next;
    for (permit = TAILQ_FIRST(&gateway->decided); permit; permit = next) {
        next = TAILQ_NEXT(permit, link);
        if (permit->status == STATUS_OK && voiding->match(&permit->reader, voiding->arg))
            permit_again(voiding->core, permit);
    }
}

void core_permits_void(core_t *core, asks_match_fn *match, void *arg)
{
    struct voiding voiding = {core, match, arg};
    parties_visit(core->parties, void_decided, &voiding);
}

/* A rule that came after the question has the word before its handler. */
static void rule_waiting(party_t *gateway, void *arg)
{
    core_t *core = arg;
    struct permit *permit, *next;
    for (permit = TAILQ_FIRST(&gateway->permits); permit; permit = next) {
        next = TAILQ_NEXT(permit, link);
        struct address address;
        struct decision decision;
        if (!address_decode(permit->reader.address, &address))
            continue;
        struct ruler ruler = find_ruler(core, &address);
        if (!decide_here(&ruler, permit->reader.type, &decision))
            continue;
        core_asks_forget(&permit->inquiry);
        permit_decided(core, &permit->inquiry, &decision);
    }
}

void core_permits_rule(core_t *core)
{
    parties_visit(core->parties, rule_waiting, core);
}

/* --- explain --- */

struct explaining {
    struct inquiry inquiry;
    struct reply_to to;
    struct ruler ruler;
    bool is_strict; /* as a subscription to this channel would ask */
    int64_t began_ms;
};

static const char *ruling_text(enum ruling by)
{
    static const char *const texts[] = {[BY_HANDLER] = "handler",
                                        [BY_RULE] = "rule",
                                        [BY_NOTHING] = "none",
                                        [BY_REQUIREMENT] = "required",
                                        [BY_PREVIEW] = "preview"};
    return texts[by];
}

static const char *level_text(const struct ruler *ruler)
{
    if (ruler->by == BY_HANDLER || ruler->by == BY_RULE)
        return permission_level_text(ruler->level);
    return ruler->by == BY_PREVIEW ? "preview" : "none";
}

static const char *source_text(const struct ruler *ruler, const struct decision *decision)
{
    if (ruler->by != BY_HANDLER)
        return "static";
    if (decision->is_unasked)
        return "none";
    return decision->is_kept ? "cached" : "live";
}

static void write_explanation(core_t *core, const struct explaining *explaining,
                              const struct decision *decision)
{
    const struct ruler *ruler = &explaining->ruler;
    struct backend_explanation explanation = {
        .status = decision->status,
        .message = decision->message,
        .rule = ruler->rule ? span_text(rule_label(ruler->rule)) : (struct span){0},
        .level = level_text(ruler),
        .by = ruling_text(ruler->by),
        .source = source_text(ruler, decision),
        .has_ttl = decision->has_ttl,
        .ttl_ms = explaining->is_strict ? 0 : decision->ttl_ms,
        .took_ms = (uint64_t)(core->now_ms - explaining->began_ms)};
    struct wire_value const *id;
    struct buffer *to = core_begin_reply(core, &explaining->to, &id);
    if (!to)
        return;
    backend_write_explanation(to, id, &explanation);
    core_end_reply(core, explaining->to.party);
}

static void explained(core_t *core, struct inquiry *inquiry, const struct decision *decision)
{
    struct explaining *explaining = (struct explaining *)inquiry; /* its first member */
    write_explanation(core, explaining, decision);
    free(explaining);
}

static enum status read_who(core_t *core, const struct backend_subscriber *from,
                            struct reader *reader)
{
    const char *rule = NULL;
    if (!subscriber_type_parse(from->type, &reader->type))
        rule = "type must be VISITOR, MEMBER or ADMIN";
    else if (reader->type != SUBSCRIBER_VISITOR && from->id.size == 0)
        rule = "only visitors may have an empty id";
    if (!rule)
        return STATUS_OK;
    buffer_printf(&core->why, "subscriber: %s", rule);
    return STATUS_BAD_INPUT;
}

/* True: it is answered later, and *explaining belongs to the question. */
static bool ask_explanation(core_t *core, struct explaining *explaining,
                            const struct address *address, const struct reader *who,
                            struct decision *decision)
{
    uint8_t key[ADDRESS_KEY_MAX];
    struct reader reader = *who;
    reader.address = span_of(key, address_encode(address, key));
    const stream_header_t *header =
        streams_use(core->streams, reader.address, address, core->now_ms);
    explaining->is_strict = reader.is_strict = header && header->rule->check_each;
    return !core_asks_ask(core, explaining->ruler.handler, &reader, EXPLAIN_MS,
                          &explaining->inquiry, decision, core->now_ms);
}

void core_explain(core_t *core, party_t *from, const struct backend_request *request,
                  int64_t now_ms)
{
    struct address address;
    struct reader reader = {.id = request->subscriber.id};
    enum status status = sites_resolve(core->settings.sites, from->endpoint, SITE_HANDLE,
                                       &request->target, &address, &core->why);
    if (!status)
        status = read_who(core, &request->subscriber, &reader);
    struct explaining *explaining = status ? NULL : calloc(1, sizeof *explaining);
    if (!status && (!explaining || !core_keep_reply(core, &explaining->to, from, request->id))) {
        buffer_put_text(&core->why, "out of memory");
        status = STATUS_UNAVAILABLE;
    }
    if (status) {
        free(explaining);
        core_refuse(core, from, request, status, buffer_span(&core->why));
        return;
    }
    reader.app = address.app;
    explaining->inquiry.decided = explained;
    explaining->began_ms = now_ms;
    explaining->ruler = find_ruler(core, &address);
    struct decision decision;
    if (!decide_here(&explaining->ruler, reader.type, &decision) &&
        ask_explanation(core, explaining, &address, &reader, &decision))
        return;
    explained(core, &explaining->inquiry, &decision);
}
