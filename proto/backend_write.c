#include "proto/backend_codec.h"
#include "proto/json_doc.h"
#include "proto/limits.h"

static void put_reply(struct buffer *to, const struct wire_value *id, bool ok, size_t more)
{
    wire_put_map(to, 2 + more);
    wire_put_word(to, "id");
    if (id)
        wire_put_value(to, id);
    else
        wire_put_nil(to);
    wire_put_word(to, "ok");
    wire_put_bool(to, ok);
}

static void put_error_as(struct buffer *to, enum status status, const char *code,
                         struct span message)
{
    wire_put_word(to, "error");
    wire_put_map(to, 3);
    wire_put_word(to, "status");
    wire_put_uint(to, (uint64_t)status);
    wire_put_word(to, "code");
    wire_put_word(to, code);
    wire_put_word(to, "message");
    wire_put_text(to, message);
}

static void put_error(struct buffer *to, enum status status, struct span message)
{
    put_error_as(to, status, status_slug(status), message);
}

static void put_epoch(struct buffer *to, uint64_t epoch)
{
    char text[EPOCH_TEXT_BYTES];
    epoch_write(text, epoch);
    wire_put_text(to, span_of(text, sizeof text));
}

static void put_position(struct buffer *to, uint64_t epoch, uint64_t offset)
{
    wire_put_word(to, "epoch");
    put_epoch(to, epoch);
    wire_put_word(to, "offset");
    wire_put_uint(to, offset);
}

static void put_published(struct buffer *to, uint64_t epoch, uint64_t offset, bool duplicate)
{
    put_position(to, epoch, offset);
    if (duplicate) {
        wire_put_word(to, "duplicate");
        wire_put_bool(to, true);
    }
}

void backend_write_pong(struct buffer *to, const struct wire_value *id, uint64_t instance)
{
    put_reply(to, id, true, 1);
    wire_put_word(to, "instance");
    put_epoch(to, instance);
}

void backend_write_error(struct buffer *to, const struct wire_value *id, enum status status,
                         struct span message)
{
    put_reply(to, id, false, 1);
    put_error(to, status, message);
}

void backend_write_stopping(struct buffer *to, const struct wire_value *id)
{
    put_reply(to, id, false, 1);
    put_error_as(to, STATUS_UNAVAILABLE, "stopping",
                 span_text("the broker is stopping; nothing of this request was done"));
}

void backend_write_published(struct buffer *to, const struct wire_value *id, uint64_t epoch,
                             uint64_t offset, bool duplicate)
{
    put_reply(to, id, true, duplicate ? 3 : 2);
    put_published(to, epoch, offset, duplicate);
}

void backend_begin_results(struct buffer *to, const struct wire_value *id, size_t count)
{
    put_reply(to, id, true, 1);
    wire_put_word(to, "results");
    wire_put_array(to, count);
}

void backend_put_result(struct buffer *to, uint64_t epoch, uint64_t offset, bool duplicate)
{
    wire_put_map(to, duplicate ? 4 : 3);
    wire_put_word(to, "ok");
    wire_put_bool(to, true);
    put_published(to, epoch, offset, duplicate);
}

void backend_put_failure(struct buffer *to, enum status status, struct span message)
{
    wire_put_map(to, 2);
    wire_put_word(to, "ok");
    wire_put_bool(to, false);
    put_error(to, status, message);
}

void backend_begin_history(struct buffer *to, const struct wire_value *id, uint64_t epoch,
                           uint64_t offset, size_t count)
{
    put_reply(to, id, true, 3);
    put_position(to, epoch, offset);
    wire_put_word(to, "publications");
    wire_put_array(to, count);
}

static json_doc_t *parse_body(struct span body)
{
    struct buffer text = {0};
    buffer_put_byte(&text, '{');
    buffer_put_span(&text, body);
    buffer_put_byte(&text, '}');
    struct buffer why = {0};
    json_doc_t *doc =
        text.failed ? NULL : json_doc_parse(buffer_span(&text), LIMIT_PAYLOAD_DEPTH + 1, &why);
    buffer_free(&why);
    buffer_free(&text);
    return doc;
}

bool backend_put_publication(struct buffer *to, uint64_t offset, struct span body)
{
    json_doc_t *doc = parse_body(body);
    if (!doc)
        return false;
    const struct json_value *data = json_member(json_doc_root(doc), "data");
    const struct json_value *info = json_member(json_doc_root(doc), "info");
    const struct json_value *user = info ? json_member(info, "user") : NULL;
    bool good = data && json_type_of(data) == JSON_TYPE_OBJECT &&
                (!info || (user && json_type_of(user) == JSON_TYPE_STRING));
    if (good) {
        wire_put_map(to, user ? 3 : 2);
        wire_put_word(to, "offset");
        wire_put_uint(to, offset);
        wire_put_word(to, "payload");
        json_to_wire(to, data);
    }
    if (good && user) {
        wire_put_word(to, "publisher");
        wire_put_map(to, 1);
        wire_put_word(to, "id");
        wire_put_text(to, json_string_of(user));
    }
    json_doc_destroy(&doc);
    return good;
}

/* --- who may read --- */

static void put_field(struct buffer *to, const char *key, struct span value)
{
    wire_put_word(to, key);
    wire_put_text(to, value);
}

static void put_number(struct buffer *to, const char *key, uint64_t value)
{
    wire_put_word(to, key);
    wire_put_uint(to, value);
}

void backend_begin_check(struct buffer *to, uint64_t id, size_t count)
{
    wire_put_map(to, 3);
    wire_put_word(to, "op");
    wire_put_word(to, "check");
    put_number(to, "id", id);
    wire_put_word(to, "checks");
    wire_put_array(to, count);
}

void backend_put_check(struct buffer *to, const struct backend_check *check)
{
    wire_put_map(to, 5u + (check->resource.size > 0) + (check->requesting_app.size > 0));
    put_field(to, "channel", check->channel);
    if (check->resource.size > 0)
        put_field(to, "resource", check->resource);
    wire_put_word(to, "subscriber");
    wire_put_map(to, 2);
    put_field(to, "id", check->subscriber);
    wire_put_word(to, "type");
    wire_put_word(to, check->type);
    if (check->requesting_app.size > 0)
        put_field(to, "requesting_app", check->requesting_app);
    put_field(to, "site", check->site);
    put_field(to, "app", check->app);
    wire_put_word(to, "context");
    wire_put_map(to, 1);
    wire_put_word(to, "request_id");
    put_epoch(to, check->request);
}

void backend_write_done(struct buffer *to, const struct wire_value *id)
{
    put_reply(to, id, true, 0);
}

void backend_write_removed(struct buffer *to, const struct wire_value *id, size_t removed)
{
    put_reply(to, id, true, 1);
    put_number(to, "removed", removed);
}

void backend_write_revoked(struct buffer *to, const struct wire_value *id,
                           const struct backend_revoked *revoked, bool disconnected)
{
    put_reply(to, id, true, disconnected ? 2 : 3);
    put_number(to, "affected", revoked->affected);
    if (!disconnected)
        put_number(to, "ended", revoked->ended);
    put_number(to, "unconfirmed", revoked->unconfirmed);
}

void backend_begin_handlers(struct buffer *to, const struct wire_value *id, size_t total,
                            size_t count)
{
    put_reply(to, id, true, 2);
    put_number(to, "total", total);
    wire_put_word(to, "handlers");
    wire_put_array(to, count);
}

void backend_put_handler(struct buffer *to, const struct backend_handler *handler)
{
    wire_put_map(to, 6u + (handler->channel.size > 0) + (handler->resource.size > 0));
    put_field(to, "site", handler->site);
    put_field(to, "app", handler->app);
    if (handler->channel.size > 0)
        put_field(to, "channel", handler->channel);
    if (handler->resource.size > 0)
        put_field(to, "resource", handler->resource);
    put_number(to, "workers", handler->workers);
    wire_put_word(to, "breaker");
    wire_put_word(to, handler->is_open ? "open" : "closed");
    put_number(to, "questions", handler->questions);
    put_number(to, "failures", handler->failures);
}

void backend_write_explanation(struct buffer *to, const struct wire_value *id,
                               const struct backend_explanation *from)
{
    bool has_ttl = from->has_ttl;
    put_reply(to, id, true, 6u + (from->message.size > 0) + (from->rule.size > 0) + has_ttl);
    wire_put_word(to, "read");
    wire_put_bool(to, from->status == STATUS_OK);
    put_number(to, "status", (uint64_t)from->status);
    if (from->message.size > 0)
        put_field(to, "message", from->message);
    wire_put_word(to, "level");
    wire_put_word(to, from->level);
    wire_put_word(to, "by");
    wire_put_word(to, from->by);
    if (from->rule.size > 0)
        put_field(to, "rule", from->rule);
    wire_put_word(to, "source");
    wire_put_word(to, from->source);
    if (has_ttl) {
        wire_put_word(to, "ttl");
        wire_put_double(to, (double)from->ttl_ms / 1000);
    }
    put_number(to, "took_ms", from->took_ms);
}
