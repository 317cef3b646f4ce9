#include "cli/status_view.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli/status_table.h"
#include "proto/json_doc.h"

#define DEPTH 8
/* A canary comes each second. */
#define CANARY_LATE_MS 3000
#define NAME_BYTES     64

/* --- reading --- */

static uint64_t number(const struct json_value *object, const char *name)
{
    const struct json_value *value = json_member(object, name);
    if (!value || json_type_of(value) != JSON_TYPE_INT || json_int_of(value) < 0)
        return 0;
    return (uint64_t)json_int_of(value);
}

static double rate(const struct json_value *object, const char *name)
{
    const struct json_value *value = json_member(object, name);
    return value ? json_number_of(value) : 0;
}

static bool flag(const struct json_value *object, const char *name)
{
    const struct json_value *value = json_member(object, name);
    return value && json_type_of(value) == JSON_TYPE_BOOL && json_bool_of(value);
}

static struct span text(const struct json_value *object, const char *name)
{
    const struct json_value *value = json_member(object, name);
    return value && json_type_of(value) == JSON_TYPE_STRING ? json_string_of(value)
                                                            : (struct span){0};
}

static const struct json_value *array(const struct json_value *object, const char *name)
{
    const struct json_value *value = json_member(object, name);
    return value && json_type_of(value) == JSON_TYPE_ARRAY ? value : NULL;
}

/* The document when it is a broker's. */
static json_doc_t *parse(struct span json, struct buffer *why)
{
    json_doc_t *doc = json_doc_parse(json, DEPTH, why);
    if (!doc)
        return NULL;
    const struct json_value *root = json_doc_root(doc);
    if (array(root, "gateways") && json_member(root, "broker"))
        return doc;
    buffer_put_text(why, "no object with \"broker\" and \"gateways\"");
    json_doc_destroy(&doc);
    return NULL;
}

/* --- gateways in the order of their names --- */

struct gateways {
    const struct json_value **items;
    size_t count;
};

static int compare_names(const void *a, const void *b)
{
    struct span left = text(*(const struct json_value *const *)a, "name");
    struct span right = text(*(const struct json_value *const *)b, "name");
    size_t size = left.size < right.size ? left.size : right.size;
    int order = size ? memcmp(left.data, right.data, size) : 0;
    return order ? order : (left.size > right.size) - (left.size < right.size);
}

static bool gateways_find(struct gateways *self, const struct json_value *root)
{
    const struct json_value *list = array(root, "gateways");
    size_t count = 0;
    while (json_at(list, count))
        count++;
    *self = (struct gateways){calloc(count + 1, sizeof *self->items), count};
    if (!self->items)
        return false;
    for (size_t i = 0; i < count; i++)
        self->items[i] = json_at(list, i);
    qsort(self->items, count, sizeof *self->items, compare_names);
    return true;
}

/* --- tables of gateways --- */

enum form { FORM_NAME, FORM_STATE, FORM_COUNT, FORM_BYTES, FORM_AGE, FORM_RATE };

struct column {
    const char *title;
    enum form form;
    bool sums; /* has a total */
    const char *figure;
};

static const struct column load_columns[] = {
    {"GATEWAY", FORM_NAME, false, NULL},
    {"STATE", FORM_STATE, false, NULL},
    {"CLIENTS", FORM_COUNT, true, "connections"},
    {"SUBSCR", FORM_COUNT, true, "subscriptions"},
    {"ADDR", FORM_COUNT, false, "addresses"},
    {"IN/S", FORM_RATE, true, "publications_total"},
    {"OUT/S", FORM_RATE, true, "deliveries_total"},
    {"QUEUED", FORM_BYTES, true, "bytes_queued"},
    {"MEMORY", FORM_BYTES, true, "memory_bytes"},
    {"UP", FORM_AGE, false, "uptime_ms"},
};

static const struct column loss_columns[] = {
    {"GATEWAY", FORM_NAME, false, NULL},
    {"CANARY", FORM_AGE, false, "canary_age_ms"},
    {"MISSED", FORM_COUNT, true, "canaries_missed_total"},
    {"DROPPED", FORM_COUNT, true, "gaps_total"},
    {"REPAIRED", FORM_COUNT, true, "repaired_total"},
    {"TOLD LOST", FORM_COUNT, true, "lost_told_total"},
};

static const struct column slow_columns[] = {
    {"GATEWAY", FORM_NAME, false, NULL},
    {"SLOW", FORM_COUNT, true, "lagging"},
    {"OLDEST", FORM_AGE, false, "queue_oldest_ms"},
    {"LEFT OUT", FORM_COUNT, true, "left_out_total"},
    {"CLOSED SLOW", FORM_COUNT, true, "closed_slow_total"},
};

static void put_number(struct buffer *to, enum form form, uint64_t value)
{
    if (form == FORM_BYTES)
        put_bytes(to, value);
    else if (form == FORM_AGE)
        put_duration(to, value);
    else
        put_thousands(to, value);
}

static void put_cell(struct buffer *to, const struct column *column,
                     const struct json_value *gateway)
{
    const struct json_value *figures = json_member(gateway, "figures");
    const struct json_value *rates = json_member(gateway, "rates");
    if (column->form == FORM_NAME)
        put_plain(to, text(gateway, "name"), NAME_BYTES);
    else if (column->form == FORM_STATE)
        put_plain(to, text(gateway, "state"), NAME_BYTES);
    else if (!json_member(column->form == FORM_RATE ? rates : figures, column->figure))
        buffer_put_byte(to, '-');
    else if (column->form == FORM_RATE)
        put_rate(to, rate(rates, column->figure));
    else
        put_number(to, column->form, number(figures, column->figure));
}

static void put_sum(struct buffer *to, const struct column *column, const struct gateways *gateways)
{
    uint64_t sum = 0;
    double rates = 0;
    for (size_t i = 0; i < gateways->count; i++) {
        sum += number(json_member(gateways->items[i], "figures"), column->figure);
        rates += rate(json_member(gateways->items[i], "rates"), column->figure);
    }
    if (column->form == FORM_RATE)
        put_rate(to, rates);
    else
        put_number(to, column->form, sum);
}

static void take_cell(status_table_t *table, struct buffer *cell)
{
    status_table_put(table, buffer_span(cell));
    buffer_reset(cell);
}

static void put_table(struct buffer *to, const struct column *columns, size_t count, size_t left,
                      const struct gateways *gateways)
{
    struct buffer cell = {0};
    status_table_t *table = status_table_new(count, left);
    if (!table) {
        to->failed = true;
        return;
    }
    for (size_t i = 0; i < count; i++)
        status_table_put(table, span_text(columns[i].title));
    for (size_t row = 0; row < gateways->count; row++)
        for (size_t i = 0; i < count; i++) {
            put_cell(&cell, &columns[i], gateways->items[row]);
            take_cell(table, &cell);
        }
    for (size_t i = 0; gateways->count > 1 && i < count; i++) {
        if (columns[i].sums)
            put_sum(&cell, &columns[i], gateways);
        else
            buffer_put_text(&cell, i ? "" : "together");
        take_cell(table, &cell);
    }
    buffer_put_byte(to, '\n');
    status_table_write(table, to);
    status_table_destroy(&table);
    buffer_free(&cell);
}

#define PUT_TABLE(to, columns, left, gateways)                                                     \
    put_table(to, columns, sizeof(columns) / sizeof *(columns), left, gateways)

/* --- the broker --- */

static void put_head(struct buffer *to, const struct json_value *root)
{
    buffer_put_text(to, "node ");
    put_plain(to, text(root, "node"), NAME_BYTES);
    buffer_put_text(to, ", Millrace ");
    put_plain(to, text(root, "version"), NAME_BYTES);
    buffer_put_text(to, ", up ");
    put_duration(to, number(root, "uptime_ms"));
    buffer_put_text(to, ", memory ");
    put_bytes(to, number(root, "memory_bytes"));
    buffer_put_byte(to, '\n');
}

/* "1,234 words" behind `before`. */
static void put_item(struct buffer *to, const char *before, uint64_t count, const char *words)
{
    buffer_put_text(to, before);
    put_thousands(to, count);
    buffer_put_byte(to, ' ');
    buffer_put_text(to, words);
}

static void put_broker(struct buffer *to, const struct json_value *root)
{
    const struct json_value *broker = json_member(root, "broker");
    put_item(to, "broker    ", number(broker, "acknowledged_total"), "published (");
    put_rate(to, rate(json_member(root, "rates"), "acknowledged_total"));
    put_item(to, "/s), ", number(broker, "streams"), "addresses, ");
    put_bytes(to, number(broker, "retained_bytes"));
    put_item(to, " kept, ", number(broker, "backends"), "backends\n");
    put_item(to, "dropped   ", number(broker, "publish_failures_total"), "publications");
    put_item(to, ", ", number(broker, "answers_dropped_total"), "answers");
    put_item(to, ", ", number(broker, "replies_dropped_total"), "replies\n");
    put_item(to, "recovery  ", number(broker, "recovered_total"), "gave back all that was missed");
    put_item(to, ", ", number(broker, "not_recovered_total"), "could not\n");
    put_item(to, "gateways  ", number(broker, "gateways"), "here");
    put_item(to, ", ", number(broker, "gateways_gone_total"), "gone since the start\n");
}

/* --- what is wrong --- */

static bool state_is(const struct json_value *gateway, const char *state)
{
    return span_is(text(gateway, "state"), state);
}

static void begin_wrong(struct buffer *to, const struct json_value *gateway)
{
    buffer_put_text(to, "WRONG: ");
    put_plain(to, text(gateway, "name"), NAME_BYTES);
}

/* A line for what is wrong with it, if anything is. */
static void put_wrong(struct buffer *to, const struct json_value *gateway)
{
    const struct json_value *figures = json_member(gateway, "figures");
    uint64_t canary_ms = number(figures, "canary_age_ms");
    if (state_is(gateway, "silent")) {
        begin_wrong(to, gateway);
        buffer_put_text(to, " has told nothing for ");
        put_duration(to, number(gateway, "age_ms"));
        buffer_put_text(to, ": it hangs, or its network does\n");
    } else if (canary_ms > CANARY_LATE_MS) {
        begin_wrong(to, gateway);
        buffer_put_text(to, " has not heard the broker's publications for ");
        put_duration(to, canary_ms);
        buffer_put_byte(to, '\n');
    } else if (state_is(gateway, "replaced")) {
        begin_wrong(to, gateway);
        buffer_put_text(to, " runs twice: this one is the older, and a newer one has its name\n");
    } else if (figures && !flag(figures, "ready") && !flag(figures, "draining") &&
               state_is(gateway, "unready")) {
        begin_wrong(to, gateway);
        buffer_put_text(to, " is not ready; its /readyz tells more\n");
    }
}

/* One line for each thing; nothing when all is fine. */
static void put_wrongs(struct buffer *to, const struct json_value *root,
                       const struct gateways *gateways)
{
    if (number(json_member(root, "broker"), "store_failing") > 0)
        buffer_put_text(to, "WRONG: the broker cannot write to its store, and refuses "
                            "publications; its log says why (store_failed)\n");
    uint64_t workers = number(json_member(root, "broker"), "workers_silent");
    if (workers)
        put_item(to, "WRONG: ", workers, "connections with permission handlers hang\n");
    if (gateways->count == 0)
        buffer_put_text(to, "WRONG: no gateway is connected, so no client can be\n");
    for (size_t i = 0; i < gateways->count; i++)
        put_wrong(to, gateways->items[i]);
    uint64_t unlisted = number(root, "gateways_unlisted");
    if (unlisted)
        put_item(to, "... ", unlisted, "more gateways are not listed\n");
}

/* --- all together --- */

static void put_all(struct buffer *to, const struct json_value *root,
                    const struct gateways *gateways, const struct buffer *wrongs)
{
    put_head(to, root);
    put_broker(to, root);
    if (gateways->count > 0) {
        PUT_TABLE(to, load_columns, 2, gateways);
        PUT_TABLE(to, loss_columns, 1, gateways);
        PUT_TABLE(to, slow_columns, 1, gateways);
    }
    if (wrongs->size > 0) {
        buffer_put_byte(to, '\n');
        buffer_put_span(to, buffer_span(wrongs));
    }
}

/* With to == NULL it only judges. */
static enum status_view view(struct span json, struct buffer *to, struct buffer *why)
{
    struct gateways gateways = {0};
    struct buffer wrongs = {0};
    enum status_view result = STATUS_VIEW_UNREADABLE;
    json_doc_t *doc = parse(json, why);
    if (!doc)
        return result;
    const struct json_value *root = json_doc_root(doc);
    if (!gateways_find(&gateways, root)) {
        buffer_put_text(why, "out of memory");
        goto end;
    }
    put_wrongs(&wrongs, root, &gateways);
    result = wrongs.size > 0 || wrongs.failed ? STATUS_VIEW_WRONG : STATUS_VIEW_FINE;
    if (to)
        put_all(to, root, &gateways, &wrongs);
end:
    free(gateways.items);
    buffer_free(&wrongs);
    json_doc_destroy(&doc);
    return result;
}

enum status_view status_view_text(struct span json, struct buffer *to, struct buffer *why)
{
    return view(json, to, why);
}

/* --- JSON in ASCII --- */

/* The code point at the start of valid UTF-8 of two bytes or more; *size gets how many. */
static uint32_t code_point(const uint8_t *at, size_t *size)
{
    *size = at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
    uint32_t point = at[0] & (0xffu >> (*size + 1));
    for (size_t i = 1; i < *size; i++)
        point = point << 6 | (at[i] & 0x3f);
    return point;
}

static void put_escape(struct buffer *to, uint32_t point)
{
    if (point < 0x10000) {
        buffer_printf(to, "\\u%04" PRIx32, point);
        return;
    }
    point -= 0x10000;
    buffer_printf(to, "\\u%04" PRIx32 "\\u%04" PRIx32, 0xd800 + (point >> 10),
                  0xdc00 + (point & 0x3ff));
}

enum status_view status_view_json(struct span json, struct buffer *to, struct buffer *why)
{
    enum status_view result = view(json, NULL, why);
    if (result == STATUS_VIEW_UNREADABLE)
        return result;
    /* It parsed: it is valid UTF-8, what is not ASCII or is 0x7f stands inside a string, and a
     * control character is white space between values. */
    for (size_t i = 0; i < json.size;) {
        uint8_t byte = json.data[i];
        size_t size = 1;
        if (byte >= 0x80)
            put_escape(to, code_point(json.data + i, &size));
        else if (byte == 0x7f)
            put_escape(to, byte);
        else if (byte >= 0x20)
            buffer_put_byte(to, byte);
        i += size;
    }
    buffer_put_byte(to, '\n');
    return result;
}
