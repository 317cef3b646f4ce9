#include "proto/backend_codec.h"

#include <stdio.h>

#include "proto/json_text.h"
#include "proto/limits.h"

/* The deepest payload, in an item of publish_many, and some more: a payload that is a little too
 * deep shall be told so by its place, and only its item be refused. */
#define REQUEST_DEPTH (LIMIT_PAYLOAD_DEPTH + 12)

enum key {
#define BACKEND_KEY(NAME, word) KEY_##NAME,
#include "proto/backend_frames.def"
#undef BACKEND_KEY
    KEY_COUNT
};

/* The keys of one map and the place of the map in the request, for errors. */
struct keys {
    const struct wire_value *values[KEY_COUNT];
    struct buffer *why;
    const char *place; /* "" for the request itself, or "items[3]" */
};

static const char *key_word(enum key key)
{
    switch (key) {
#define BACKEND_KEY(NAME, word)                                                                    \
    case KEY_##NAME:                                                                               \
        return word;
#include "proto/backend_frames.def"
#undef BACKEND_KEY
    case KEY_COUNT:
        break;
    }
    return "";
}

static enum key key_from_word(struct span text)
{
#define BACKEND_KEY(NAME, word)                                                                    \
    if (text.size == sizeof word - 1 && memcmp(text.data, word, sizeof word - 1) == 0)             \
        return KEY_##NAME;
#include "proto/backend_frames.def"
#undef BACKEND_KEY
    return KEY_COUNT;
}

static enum backend_op op_from_word(struct span text)
{
#define BACKEND_OP(NAME, word)                                                                     \
    if (span_is(text, word))                                                                       \
        return BACKEND_##NAME;
#include "proto/backend_frames.def"
#undef BACKEND_OP
    return BACKEND_NONE;
}

static void put_key(const struct keys *keys, enum key key)
{
    buffer_printf(keys->why, "%s%s%s: ", keys->place, *keys->place ? "." : "", key_word(key));
}

static enum status refuse(const struct keys *keys, enum key key, const char *rule)
{
    put_key(keys, key);
    buffer_put_text(keys->why, rule);
    return STATUS_BAD_INPUT;
}

static enum status refuse_map(const struct keys *keys, const char *rule)
{
    buffer_printf(keys->why, "%s: %s", *keys->place ? keys->place : "request", rule);
    return STATUS_BAD_INPUT;
}

/* The known keys of a map; reads all even if one is refused, because `id` may come last. */
static enum status read_keys(struct keys *keys, const struct wire_value *map)
{
    enum key twice = KEY_COUNT;
    bool texts = true;
    size_t count = wire_count(map);
    for (size_t i = 0; i < count; i++) {
        const struct wire_value *name = wire_key_at(map, i);
        if (wire_type(name) != WIRE_TEXT) {
            texts = false;
            continue;
        }
        enum key key = key_from_word(wire_text(name));
        if (key == KEY_COUNT)
            continue;
        if (keys->values[key])
            twice = key;
        else
            keys->values[key] = wire_value_at(map, i);
    }
    if (twice != KEY_COUNT)
        return refuse(keys, twice, "the key occurs twice");
    return texts ? STATUS_OK : refuse_map(keys, "every key must be a string");
}

/* An absent key leaves *out empty. `max` 0: any size. */
static enum status read_text(const struct keys *keys, enum key key, size_t max, struct span *out)
{
    const struct wire_value *value = keys->values[key];
    if (!value)
        return STATUS_OK;
    if (wire_type(value) != WIRE_TEXT)
        return refuse(keys, key, "must be a string");
    *out = wire_text(value);
    if (max == 0 || out->size <= max)
        return STATUS_OK;
    put_key(keys, key);
    buffer_printf(keys->why, "longer than %zu bytes", max);
    return STATUS_BAD_INPUT;
}

static enum status read_view(const struct keys *keys, bool *preview)
{
    struct span view = span_text("live");
    enum status status = read_text(keys, KEY_VIEW, 0, &view);
    if (status)
        return status;
    *preview = span_is(view, "preview");
    return *preview || span_is(view, "live")
               ? STATUS_OK
               : refuse(keys, KEY_VIEW, "must be \"live\" or \"preview\"");
}

/* Whatever is there of it. */
static enum status read_scope(const struct keys *keys, struct backend_target *out)
{
    out->has_site = keys->values[KEY_SITE];
    out->has_app = keys->values[KEY_APP];
    out->has_channel = keys->values[KEY_CHANNEL];
    out->has_resource = keys->values[KEY_RESOURCE];
    enum status status = read_text(keys, KEY_CHANNEL, 0, &out->channel);
    if (!status)
        status = read_text(keys, KEY_RESOURCE, 0, &out->resource);
    if (!status)
        status = read_text(keys, KEY_SITE, LIMIT_SITE_BYTES, &out->site);
    if (!status)
        status = read_text(keys, KEY_APP, LIMIT_APP_BYTES, &out->app);
    if (!status)
        status = read_view(keys, &out->preview);
    if (!status && out->has_resource && !out->has_channel)
        return refuse(keys, KEY_RESOURCE, "needs a channel");
    return status;
}

static enum status read_target(const struct keys *keys, struct backend_target *out)
{
    if (!keys->values[KEY_CHANNEL])
        return refuse(keys, KEY_CHANNEL, "missing");
    return read_scope(keys, out);
}

static enum status read_publish(const struct keys *keys, struct backend_publish *out)
{
    enum status status = read_target(keys, &out->target);
    if (status)
        return status;
    out->payload = keys->values[KEY_PAYLOAD];
    if (!out->payload)
        return refuse(keys, KEY_PAYLOAD, "missing");
    if (wire_type(out->payload) != WIRE_MAP)
        return refuse(keys, KEY_PAYLOAD, "must be a map");
    status = read_text(keys, KEY_PUBLISHER, LIMIT_PUBLISHER_BYTES, &out->publisher);
    if (status)
        return status;
    if (!utf8_valid(out->publisher, NULL))
        return refuse(keys, KEY_PUBLISHER, "not valid UTF-8");
    return read_text(keys, KEY_KEY, LIMIT_KEY_BYTES, &out->key);
}

/* *out stays NULL when the key is absent. False when it occurs twice. */
static bool find_once(const struct wire_value *map, const char *word, const struct wire_value **out)
{
    size_t count = wire_count(map);
    for (size_t i = 0; i < count; i++) {
        const struct wire_value *name = wire_key_at(map, i);
        if (wire_type(name) != WIRE_TEXT || !span_is(wire_text(name), word))
            continue;
        if (*out)
            return false;
        *out = wire_value_at(map, i);
    }
    return true;
}

static enum status read_since(const struct keys *keys, struct backend_history *out)
{
    const struct wire_value *since = keys->values[KEY_SINCE];
    if (!since)
        return STATUS_OK;
    if (wire_type(since) != WIRE_MAP)
        return refuse(keys, KEY_SINCE, "must be a map");
    const struct wire_value *epoch = NULL, *offset = NULL;
    if (!find_once(since, "epoch", &epoch) || !find_once(since, "offset", &offset))
        return refuse(keys, KEY_SINCE, "a key occurs twice");
    if (!epoch || wire_type(epoch) != WIRE_TEXT)
        return refuse(keys, KEY_SINCE, "epoch must be a string");
    if (!offset || wire_type(offset) != WIRE_UINT)
        return refuse(keys, KEY_SINCE, "offset must be an unsigned integer");
    out->has_since = true;
    out->since_offset = wire_uint(offset);
    if (!epoch_parse(wire_text(epoch), &out->since_epoch))
        out->since_epoch = 0;
    return STATUS_OK;
}

static enum status read_history(const struct keys *keys, struct backend_history *out)
{
    enum status status = read_target(keys, &out->target);
    if (status)
        return status;
    const struct wire_value *limit = keys->values[KEY_LIMIT];
    if (limit && (wire_type(limit) != WIRE_UINT || wire_uint(limit) > UINT32_MAX))
        return refuse(keys, KEY_LIMIT, "must be an unsigned integer of 32 bits");
    out->limit = limit ? (uint32_t)wire_uint(limit) : 0;
    return read_since(keys, out);
}

static enum status read_items(const struct keys *keys, size_t bytes, const struct wire_value **out)
{
    const struct wire_value *items = keys->values[KEY_ITEMS];
    if (!items)
        return refuse(keys, KEY_ITEMS, "missing");
    if (wire_type(items) != WIRE_ARRAY)
        return refuse(keys, KEY_ITEMS, "must be an array");
    if (wire_count(items) > LIMIT_PUBLISH_MANY_ITEMS) {
        buffer_printf(keys->why, "items: more than %d items", LIMIT_PUBLISH_MANY_ITEMS);
        return STATUS_TOO_LARGE;
    }
    if (bytes > LIMIT_PUBLISH_MANY_BYTES) {
        buffer_printf(keys->why, "publish_many: larger than %d bytes", LIMIT_PUBLISH_MANY_BYTES);
        return STATUS_TOO_LARGE;
    }
    *out = items;
    return STATUS_OK;
}

static enum status read_array(const struct keys *keys, enum key key, size_t most,
                              const struct wire_value **out)
{
    const struct wire_value *array = keys->values[key];
    if (!array)
        return refuse(keys, key, "missing");
    if (wire_type(array) != WIRE_ARRAY)
        return refuse(keys, key, "must be an array");
    if (wire_count(array) > most) {
        put_key(keys, key);
        buffer_printf(keys->why, "more than %zu entries", most);
        return STATUS_TOO_LARGE;
    }
    *out = array;
    return STATUS_OK;
}

static enum status read_handlers(const struct keys *keys, struct backend_request *out)
{
    const struct wire_value *everywhere = keys->values[KEY_EVERYWHERE];
    if (everywhere && wire_type(everywhere) != WIRE_BOOL)
        return refuse(keys, KEY_EVERYWHERE, "must be true or false");
    out->everywhere = everywhere && wire_bool(everywhere);
    enum status status = read_scope(keys, &out->target);
    return status ? status : read_array(keys, KEY_HANDLERS, LIMIT_HANDLERS, &out->items);
}

/* {type?, id} */
static enum status read_subscriber(const struct keys *keys, struct backend_subscriber *out)
{
    const struct wire_value *map = keys->values[KEY_SUBSCRIBER];
    if (!map)
        return STATUS_OK;
    if (wire_type(map) != WIRE_MAP)
        return refuse(keys, KEY_SUBSCRIBER, "must be a map");
    const struct wire_value *type = NULL, *id = NULL;
    if (!find_once(map, "type", &type) || !find_once(map, "id", &id))
        return refuse(keys, KEY_SUBSCRIBER, "a key occurs twice");
    if (!id || wire_type(id) != WIRE_TEXT)
        return refuse(keys, KEY_SUBSCRIBER, "id must be a string");
    if (type && wire_type(type) != WIRE_TEXT)
        return refuse(keys, KEY_SUBSCRIBER, "type must be a string");
    *out = (struct backend_subscriber){.is_given = true, .has_type = type, .id = wire_text(id)};
    if (type)
        out->type = wire_text(type);
    if (out->id.size > LIMIT_SUBSCRIBER_BYTES)
        return refuse(keys, KEY_SUBSCRIBER, "id is longer than 256 bytes");
    if (!utf8_valid(out->id, NULL))
        return refuse(keys, KEY_SUBSCRIBER, "id is not valid UTF-8");
    return STATUS_OK;
}

static enum status read_revoke(const struct keys *keys, struct backend_request *out)
{
    enum status status = read_scope(keys, &out->target);
    if (!status)
        status = read_subscriber(keys, &out->subscriber);
    if (status)
        return status;
    if (!out->target.has_channel && !out->subscriber.is_given)
        return refuse(keys, KEY_CHANNEL, "a channel or a subscriber must be given");
    struct span mode = {0};
    status = read_text(keys, KEY_MODE, 0, &mode);
    if (status)
        return status;
    out->deny = span_is(mode, "deny");
    return out->deny || span_is(mode, "recheck")
               ? STATUS_OK
               : refuse(keys, KEY_MODE, "must be \"recheck\" or \"deny\"");
}

static enum status read_disconnect(const struct keys *keys, struct backend_request *out)
{
    enum status status = read_scope(keys, &out->target);
    if (!status)
        status = read_subscriber(keys, &out->subscriber);
    if (!status && !out->subscriber.is_given)
        return refuse(keys, KEY_SUBSCRIBER, "missing");
    if (!status)
        status = read_text(keys, KEY_REASON, LIMIT_REASON_BYTES, &out->reason);
    if (!status && !utf8_valid(out->reason, NULL))
        return refuse(keys, KEY_REASON, "not valid UTF-8");
    return status;
}

static enum status read_explain(const struct keys *keys, struct backend_request *out)
{
    enum status status = read_target(keys, &out->target);
    if (!status)
        status = read_subscriber(keys, &out->subscriber);
    if (!status && !out->subscriber.has_type)
        return refuse(keys, KEY_SUBSCRIBER, "an id and a type must be given");
    return status;
}

static enum status read_answer(const struct keys *keys, struct backend_request *out)
{
    if (!out->id || wire_type(out->id) != WIRE_UINT)
        return refuse(keys, KEY_ID, "must be that of the check");
    return read_array(keys, KEY_ANSWERS, SIZE_MAX, &out->items);
}

static bool is_id(const struct wire_value *value)
{
    return wire_type(value) == WIRE_UINT ||
           (wire_type(value) == WIRE_TEXT && wire_text(value).size <= LIMIT_REQUEST_ID_BYTES);
}

static enum status read_op(const struct keys *keys, enum backend_op *out)
{
    if (!keys->values[KEY_OP])
        return refuse(keys, KEY_OP, "missing");
    struct span word = {0};
    enum status status = read_text(keys, KEY_OP, 0, &word);
    if (status)
        return status;
    *out = op_from_word(word);
    if (*out != BACKEND_NONE)
        return STATUS_OK;
    refuse(keys, KEY_OP, "unknown operation ");
    json_text_echo(keys->why, word);
    return STATUS_BAD_INPUT;
}

static enum status read_request(const struct keys *keys, size_t bytes, struct backend_request *out)
{
    enum status status = read_op(keys, &out->op);
    if (status)
        return status;
    switch (out->op) {
    case BACKEND_PUBLISH:
        return read_publish(keys, &out->publish);
    case BACKEND_PUBLISH_MANY:
        return read_items(keys, bytes, &out->items);
    case BACKEND_HISTORY:
        return read_history(keys, &out->history);
    case BACKEND_HANDLE:
    case BACKEND_UNHANDLE:
        return read_handlers(keys, out);
    case BACKEND_ANSWER:
        return read_answer(keys, out);
    case BACKEND_REVOKE:
        return read_revoke(keys, out);
    case BACKEND_DISCONNECT:
        return read_disconnect(keys, out);
    case BACKEND_HANDLERS:
        return read_scope(keys, &out->target);
    case BACKEND_EXPLAIN:
        return read_explain(keys, out);
    case BACKEND_PING:
    case BACKEND_NONE:
        break;
    }
    return STATUS_OK;
}

static enum status too_large(struct buffer *why)
{
    buffer_printf(why, "request: larger than %d bytes", LIMIT_BACKEND_BYTES);
    return STATUS_TOO_LARGE;
}

/* An oversized request is unpacked all the same: its id is wanted for the answer, and what that
 * costs is bounded by the number of values. */
static enum status read_map(wire_reader_t *reader, struct span bytes, struct buffer *why,
                            const struct wire_value **out)
{
    const char *wrong = "must be a map";
    const struct wire_value *root =
        wire_read(reader, bytes, REQUEST_DEPTH, LIMIT_BACKEND_NODES, &wrong);
    if (root && wire_type(root) == WIRE_MAP) {
        *out = root;
        return STATUS_OK;
    }
    if (bytes.size > LIMIT_BACKEND_BYTES)
        return too_large(why);
    buffer_printf(why, "request: %s", root ? "must be a map" : wrong);
    return STATUS_BAD_INPUT;
}

static enum status read_number(const struct keys *keys, enum key key, bool *given, uint64_t *out)
{
    const struct wire_value *value = keys->values[key];
    *given = value;
    if (!value)
        return STATUS_OK;
    if (wire_type(value) != WIRE_UINT)
        return refuse(keys, key, "must be an unsigned integer");
    *out = wire_uint(value);
    return STATUS_OK;
}

static enum status read_time(const struct keys *keys, struct backend_request *out)
{
    bool has_within;
    enum status status = read_number(keys, KEY_AT, &out->has_time, &out->at_ms);
    if (!status)
        status = read_number(keys, KEY_WITHIN, &has_within, &out->within_ms);
    out->has_deadline = !status && out->has_time && has_within;
    return status;
}

enum status backend_decode(wire_reader_t *reader, struct span bytes, struct backend_request *out,
                           struct buffer *why)
{
    *out = (struct backend_request){.unreadable = true};
    const struct wire_value *root;
    enum status status = read_map(reader, bytes, why, &root);
    if (status)
        return status;

    struct keys keys = {.why = why, .place = ""};
    status = read_keys(&keys, root);
    const struct wire_value *id = keys.values[KEY_ID];
    out->unreadable = id && !is_id(id);
    out->id = out->unreadable ? NULL : id;
    if (status)
        return status;
    if (out->unreadable)
        return refuse(&keys, KEY_ID, "must be a string of at most 64 bytes or an unsigned integer");
    if (bytes.size > LIMIT_BACKEND_BYTES)
        return too_large(why);
    status = read_time(&keys, out);
    return status ? status : read_request(&keys, bytes.size, out);
}

enum status backend_decode_handler(const struct backend_request *request, size_t index,
                                   struct backend_target *out, struct buffer *why)
{
    char place[32];
    snprintf(place, sizeof place, "handlers[%zu]", index);
    struct keys keys = {.why = why, .place = place};
    const struct wire_value *entry = wire_at(request->items, index);
    if (wire_type(entry) != WIRE_MAP)
        return refuse_map(&keys, "must be a map");
    enum status status = read_keys(&keys, entry);
    struct backend_target own = {0};
    if (!status)
        status = read_scope(&keys, &own);
    if (status)
        return status;
    *out = request->target;
    out->has_channel = own.has_channel;
    out->has_resource = own.has_resource;
    out->channel = own.channel;
    out->resource = own.resource;
    return STATUS_OK;
}

/* Seconds to milliseconds, rounded up: what holds for a moment is not what must be asked for each
 * time. False: negative, no number, or too long. */
static bool read_ttl(const struct wire_value *value, uint32_t *out_ms)
{
    double seconds = -1;
    if (wire_type(value) == WIRE_UINT && wire_uint(value) <= LIMIT_TTL_SECONDS)
        seconds = (double)wire_uint(value);
    else if (wire_type(value) == WIRE_DOUBLE)
        seconds = wire_double(value);
    if (!(seconds >= 0 && seconds <= LIMIT_TTL_SECONDS))
        return false;
    uint32_t ms = (uint32_t)(seconds * 1000);
    *out_ms = ms == 0 && seconds > 0 ? 1 : ms;
    return true;
}

static const char *read_error(const struct wire_value *error, struct backend_decision *out)
{
    const struct wire_value *status = NULL, *message = NULL;
    if (wire_type(error) != WIRE_MAP)
        return "error must be a map";
    if (!find_once(error, "status", &status) || !find_once(error, "message", &message))
        return "error: a key occurs twice";
    if (!status || wire_type(status) != WIRE_UINT)
        return "error.status must be an unsigned integer";
    if (message && (wire_type(message) != WIRE_TEXT || !utf8_valid(wire_text(message), NULL)))
        return "error.message must be a string";
    out->status = wire_uint(status) == STATUS_BAD_INPUT ? STATUS_BAD_INPUT : STATUS_UNAVAILABLE;
    if (message)
        out->message = wire_text(message);
    return NULL;
}

const char *backend_decode_decision(const struct backend_request *request, size_t index,
                                    struct backend_decision *out)
{
    *out = (struct backend_decision){.status = STATUS_UNAVAILABLE};
    const struct wire_value *map = wire_at(request->items, index);
    const struct wire_value *read = NULL, *ttl = NULL, *error = NULL;
    if (wire_type(map) != WIRE_MAP)
        return "must be a map";
    if (!find_once(map, "read", &read) || !find_once(map, "ttl", &ttl) ||
        !find_once(map, "error", &error))
        return "a key occurs twice";
    if (error)
        return read ? "must have either read or error" : read_error(error, out);
    if (!read || wire_type(read) != WIRE_BOOL)
        return "read must be true or false";
    if (ttl && wire_type(ttl) != WIRE_NIL) {
        if (!read_ttl(ttl, &out->ttl_ms))
            return "ttl must be a number of seconds from 0 to 2592000";
        out->has_ttl = true;
    }
    out->status = wire_bool(read) ? STATUS_OK : STATUS_FORBIDDEN;
    return NULL;
}

enum status backend_decode_item(const struct backend_request *request, size_t index,
                                struct backend_publish *out, struct buffer *why)
{
    *out = (struct backend_publish){0};
    char place[32];
    snprintf(place, sizeof place, "items[%zu]", index);
    struct keys keys = {.why = why, .place = place};
    const struct wire_value *item = wire_at(request->items, index);
    if (wire_type(item) != WIRE_MAP)
        return refuse_map(&keys, "must be a map");
    enum status status = read_keys(&keys, item);
    return status ? status : read_publish(&keys, out);
}
