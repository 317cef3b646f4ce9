#include "proto/backend_codec.h"

#include <stdio.h>

#include "proto/json_doc.h"
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

static enum status read_target(const struct keys *keys, struct backend_target *out)
{
    if (!keys->values[KEY_CHANNEL])
        return refuse(keys, KEY_CHANNEL, "missing");
    out->has_site = keys->values[KEY_SITE];
    out->has_app = keys->values[KEY_APP];
    enum status status = read_text(keys, KEY_CHANNEL, 0, &out->channel);
    if (!status)
        status = read_text(keys, KEY_RESOURCE, 0, &out->resource);
    if (!status)
        status = read_text(keys, KEY_SITE, LIMIT_SITE_BYTES, &out->site);
    if (!status)
        status = read_text(keys, KEY_APP, LIMIT_APP_BYTES, &out->app);
    return status ? status : read_view(keys, &out->preview);
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
    default:
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
    return read_request(&keys, bytes.size, out);
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

/* --- replies --- */

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

static void put_error(struct buffer *to, enum status status, struct span message)
{
    wire_put_word(to, "error");
    wire_put_map(to, 3);
    wire_put_word(to, "status");
    wire_put_uint(to, (uint64_t)status);
    wire_put_word(to, "code");
    wire_put_word(to, status_slug(status));
    wire_put_word(to, "message");
    wire_put_text(to, message);
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
