#include "cli/permission_view.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli/member.h"
#include "cli/status_table.h"
#include "proto/client_codec.h"
#include "proto/json_text.h"
#include "proto/limits.h"
#include "proto/status.h"

#define JSON_DEPTH 8

/* --- addresses --- */

static struct address read_address(const struct wire_value *map)
{
    return (struct address){.site = member_text(map, "site"),
                            .app = member_text(map, "app"),
                            .channel = member_text(map, "channel"),
                            .resource = member_text(map, "resource")};
}

/* As text that may be anything: a terminal does not get it as it is. */
static void put_place(struct buffer *to, const struct address *address, bool with_app)
{
    if (with_app && address->app.size > 0) {
        buffer_put_span(to, address->app);
        buffer_put_byte(to, '/');
    }
    buffer_put_span(to, address->channel);
    if (address->resource.size > 0) {
        buffer_put_byte(to, ':');
        buffer_put_span(to, address->resource);
    }
}

void permission_view_address(struct buffer *to, const struct address *address)
{
    struct buffer place = {0};
    put_place(&place, address, true);
    put_printable(to, buffer_span(&place));
    to->failed |= place.failed;
    buffer_free(&place);
}

/* --- the list --- */

static const char *const titles[] = {"SITE",    "APP",     "LEVEL",     "CHANNEL",
                                     "WORKERS", "BREAKER", "QUESTIONS", "FAILURES"};
#define COLUMNS      (sizeof titles / sizeof *titles)
#define LEFT_COLUMNS 4

static int compare_spans(struct span a, struct span b)
{
    size_t size = a.size < b.size ? a.size : b.size;
    int order = size ? memcmp(a.data, b.data, size) : 0;
    return order ? order : (a.size > b.size) - (a.size < b.size);
}

static int compare_handlers(const void *a, const void *b)
{
    struct address left = read_address(*(const struct wire_value *const *)a);
    struct address right = read_address(*(const struct wire_value *const *)b);
    int order = compare_spans(left.site, right.site);
    if (!order)
        order = compare_spans(left.app, right.app);
    if (!order)
        order = compare_spans(left.channel, right.channel);
    return order ? order : compare_spans(left.resource, right.resource);
}

static void put_count(status_table_t *table, const struct wire_value *map, const char *key)
{
    struct buffer text = {0};
    put_thousands(&text, member_uint(map, key));
    status_table_put(table, buffer_span(&text));
    buffer_free(&text);
}

static void put_channel(status_table_t *table, const struct address *address)
{
    struct buffer text = {0};
    put_place(&text, address, false);
    status_table_put(table, text.size > 0 ? buffer_span(&text) : span_text("default"));
    buffer_free(&text);
}

static void put_handler(status_table_t *table, const struct wire_value *map)
{
    struct address address = read_address(map);
    const char *level = address.resource.size > 0  ? "resource"
                        : address.channel.size > 0 ? "channel"
                                                   : "default";
    status_table_put(table, address.site);
    status_table_put(table, address.app.size > 0 ? address.app : span_text("-"));
    status_table_put(table, span_text(level));
    put_channel(table, &address);
    put_count(table, map, "workers");
    status_table_put(table, member_text(map, "breaker"));
    put_count(table, map, "questions");
    put_count(table, map, "failures");
}

static bool put_table(const struct wire_value *const *handlers, size_t count, struct buffer *to)
{
    status_table_t *table = status_table_new(COLUMNS, LEFT_COLUMNS);
    if (!table)
        return false;
    for (size_t i = 0; i < COLUMNS; i++)
        status_table_put(table, span_text(titles[i]));
    for (size_t i = 0; i < count; i++)
        put_handler(table, handlers[i]);
    status_table_write(table, to);
    status_table_destroy(&table);
    return true;
}

static bool put_sorted(const struct wire_value *list, struct buffer *to)
{
    size_t count = wire_count(list);
    const struct wire_value **handlers = calloc(count, sizeof *handlers);
    if (!handlers)
        return false;
    for (size_t i = 0; i < count; i++)
        handlers[i] = wire_at(list, i);
    qsort(handlers, count, sizeof *handlers, compare_handlers);
    bool done = put_table(handlers, count, to);
    free(handlers);
    return done;
}

bool permission_view_handlers(const struct wire_value *reply, struct buffer *to)
{
    const struct wire_value *list = member(reply, "handlers", WIRE_ARRAY);
    const struct wire_value *total = member(reply, "total", WIRE_UINT);
    if (!list || !total)
        return false;
    size_t count = wire_count(list);
    if (count == 0) {
        buffer_put_text(to, "No permission handler is registered.\n");
        return true;
    }
    /* Out of memory is told by the buffer. */
    to->failed |= !put_sorted(list, to);
    if (count < wire_uint(total)) {
        put_thousands(to, count);
        buffer_put_text(to, " of ");
        put_thousands(to, wire_uint(total));
        buffer_put_text(to, " are shown.\n");
    }
    return true;
}

/* --- an explanation --- */

struct explanation {
    struct span level, by, source, rule, message;
    uint64_t status, took_ms;
    bool read, has_ttl;
    uint64_t ttl_ms;
};

static bool read_ttl(const struct wire_value *reply, struct explanation *out)
{
    const struct wire_value *real = member(reply, "ttl", WIRE_DOUBLE);
    const struct wire_value *whole = member(reply, "ttl", WIRE_UINT);
    double seconds = real ? wire_double(real) : whole ? (double)wire_uint(whole) : 0;
    if (!(seconds >= 0 && seconds <= LIMIT_TTL_SECONDS))
        return false;
    out->has_ttl = real || whole;
    out->ttl_ms = (uint64_t)(seconds * 1000 + 0.5);
    return true;
}

static bool read_explanation(const struct wire_value *reply, struct explanation *out)
{
    const struct wire_value *read = member(reply, "read", WIRE_BOOL);
    const struct wire_value *status = member(reply, "status", WIRE_UINT);
    if (!read || !status || wire_uint(status) > UINT16_MAX)
        return false;
    *out = (struct explanation){.level = member_text(reply, "level"),
                                .by = member_text(reply, "by"),
                                .source = member_text(reply, "source"),
                                .rule = member_text(reply, "rule"),
                                .message = member_text(reply, "message"),
                                .status = wire_uint(status),
                                .took_ms = member_uint(reply, "took_ms"),
                                .read = wire_bool(read)};
    return out->level.size > 0 && out->by.size > 0 && out->source.size > 0 && read_ttl(reply, out);
}

static void put_verdict(struct buffer *to, const struct explanation *from,
                        const struct permission_question *question)
{
    if (question->subscriber[0] != '\0') {
        put_printable(to, span_text(question->subscriber));
        buffer_printf(to, " (%s)", question->type);
    } else {
        buffer_printf(to, "a %s without an id", question->type);
    }
    buffer_put_text(to, from->read ? " may read " : " may not read ");
    permission_view_address(to, &question->address);
    if (question->address.view == VIEW_PREVIEW)
        buffer_put_text(to, " in preview");
    if (!from->read) {
        enum status status = status_from_code((uint32_t)from->status);
        const char *own = status == STATUS_FORBIDDEN ? client_error_text(CLIENT_ERROR_FORBIDDEN)
                                                     : status_text(status); /* as clients read it */
        buffer_printf(to, ": %" PRIu64 " ", from->status);
        put_printable(to, from->message.size > 0 ? from->message : span_text(own));
    }
    buffer_put_byte(to, '\n');
}

/* " of chat:room-1", " of chat" or, of a default, " of app crm" or nothing: by the level. */
static void put_scope(struct buffer *to, struct span level, const struct address *address)
{
    struct address place = *address;
    if (!span_is(level, "resource"))
        place.resource = (struct span){0};
    if (!span_is(level, "default")) {
        buffer_put_text(to, " of ");
        permission_view_address(to, &place);
    } else if (address->app.size > 0) {
        buffer_put_text(to, " of app ");
        put_printable(to, address->app);
    }
}

static void put_by(struct buffer *to, const struct explanation *from, const struct address *address)
{
    if (span_is(from->by, "handler")) {
        buffer_put_text(to,
                        span_is(from->level, "default") ? "the default handler" : "the handler");
        put_scope(to, from->level, address);
    } else if (span_is(from->by, "rule")) {
        buffer_put_text(to, "the rule \"");
        put_printable(to, from->rule);
        buffer_put_byte(to, '"');
        put_scope(to, from->level, address);
    } else if (span_is(from->by, "none")) {
        buffer_put_text(to, "nobody: no handler is registered and no rule fits");
    } else if (span_is(from->by, "required")) {
        buffer_put_text(to, "the site's setting require_handlers: none is registered");
    } else if (span_is(from->by, "preview")) {
        buffer_put_text(to, "the preview, where all may read and no handler is asked");
    } else {
        put_printable(to, from->by); /* of a newer broker */
    }
}

static void put_seconds(struct buffer *to, uint64_t ms)
{
    put_thousands(to, ms / 1000);
    if (ms % 1000 > 0)
        buffer_printf(to, ".%03u", (unsigned)(ms % 1000));
    buffer_put_text(to, " s");
}

/* An answer that is no verdict (400, 503) is never kept. */
static void put_holding(struct buffer *to, const struct explanation *from)
{
    if (!from->read && from->status != STATUS_FORBIDDEN)
        return;
    bool asks_each_time = !from->has_ttl || from->ttl_ms == 0;
    if (!from->read && asks_each_time)
        return;
    buffer_put_text(to, "  holds   ");
    if (!from->has_ttl) {
        buffer_put_text(to, "as long as the subscription lives\n");
    } else if (asks_each_time && !span_is(from->source, "cached")) {
        buffer_put_text(to, "for one message: the handler is asked for each\n");
    } else {
        buffer_put_text(to, span_is(from->source, "cached") ? "for another " : "for ");
        put_seconds(to, from->ttl_ms);
        buffer_put_byte(to, '\n');
    }
}

bool permission_view_explanation(const struct wire_value *reply,
                                 const struct permission_question *question, struct buffer *to)
{
    struct explanation from;
    if (!read_explanation(reply, &from))
        return false;
    put_verdict(to, &from, question);
    buffer_put_text(to, "  level   ");
    put_printable(to, from.level);
    buffer_put_text(to, "\n  by      ");
    put_by(to, &from, &question->address);
    buffer_put_text(to, "\n  answer  ");
    put_printable(to, from.source);
    buffer_printf(to, ", after %" PRIu64 " ms\n", from.took_ms);
    put_holding(to, &from);
    return true;
}

/* --- JSON --- */

static bool put_member(struct buffer *to, struct span key, const struct wire_value *value)
{
    struct buffer why = {0};
    bool done = json_text_string(to, key);
    buffer_put_byte(to, ':');
    done = done && json_text_from_wire(to, value, "reply", JSON_DEPTH, &why);
    buffer_free(&why);
    return done;
}

bool permission_view_json(const struct wire_value *reply, struct buffer *to)
{
    char before = '{';
    for (size_t i = 0; i < wire_count(reply); i++) {
        const struct wire_value *key = wire_key_at(reply, i);
        if (wire_type(key) != WIRE_TEXT)
            return false;
        if (span_is(wire_text(key), "id") || span_is(wire_text(key), "ok"))
            continue;
        buffer_put_byte(to, (uint8_t)before);
        before = ',';
        if (!put_member(to, wire_text(key), wire_value_at(reply, i)))
            return false;
    }
    buffer_put_text(to, before == '{' ? "{}\n" : "}\n");
    return true;
}
