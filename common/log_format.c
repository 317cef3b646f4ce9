#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/log.h"
#include "proto/json_text.h"

static const char *const level_words[] = {
    [LOG_LEVEL_DEBUG] = "debug",
    [LOG_LEVEL_INFO] = "info",
    [LOG_LEVEL_WARN] = "warn",
    [LOG_LEVEL_ERROR] = "error",
};

static const char tail[] = "}\n";
static const char truncated_tail[] = ",\"truncated\":true}\n";

static void put_time(struct buffer *to, int64_t wall_ms)
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    char text[32];
    size_t size = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    buffer_put(to, text, size);
    buffer_printf(to, ".%03dZ", (int)(wall_ms % 1000));
}

/* Bytes of the UTF-8 sequence at the start, 0 when there is no valid one. */
static size_t sequence_size(struct span text)
{
    uint8_t lead = text.data[0];
    size_t size = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    return size <= text.size && utf8_valid(span_of(text.data, size), NULL) ? size : 0;
}

/* U+2028 and U+2029 end a line for some readers. */
static bool is_line_separator(const uint8_t *at, size_t size)
{
    return size == 3 && at[0] == 0xe2 && at[1] == 0x80 && (at[2] == 0xa8 || at[2] == 0xa9);
}

static void put_sequence(struct buffer *to, const uint8_t *at, size_t size)
{
    if (*at == '"' || *at == '\\') {
        buffer_put_byte(to, '\\');
        buffer_put_byte(to, *at);
    } else if (*at < 0x20 || *at == 0x7f) {
        buffer_printf(to, "\\u%04x", *at);
    } else if (is_line_separator(at, size)) {
        buffer_put_text(to, at[2] == 0xa8 ? "\\u2028" : "\\u2029");
    } else {
        buffer_put(to, at, size);
    }
}

static void put_value_text(struct buffer *to, struct span text)
{
    size_t end = text.size < LOG_VALUE_BYTES ? text.size : LOG_VALUE_BYTES;
    buffer_put_byte(to, '"');
    for (size_t at = 0; at < end;) {
        size_t size = sequence_size(span_of(text.data + at, text.size - at));
        if (at + size > end)
            break; /* not half a character at the cut */
        if (size == 0)
            buffer_put_text(to, "\xef\xbf\xbd"); /* U+FFFD */
        else
            put_sequence(to, text.data + at, size);
        at += size ? size : 1;
    }
    buffer_put_byte(to, '"');
}

static void put_field(struct buffer *to, const struct log_field *field)
{
    buffer_printf(to, ",\"%s\":", field->name);
    switch (field->type) {
    case LOG_FIELD_TEXT:
        put_value_text(to, field->text);
        break;
    case LOG_FIELD_UINT:
        buffer_put_u64_text(to, field->number);
        break;
    case LOG_FIELD_INT:
        buffer_printf(to, "%lld", (long long)field->number);
        break;
    case LOG_FIELD_BOOL:
        buffer_put_text(to, field->number ? "true" : "false");
        break;
    }
}

void log_format(struct buffer *to, int64_t wall_ms, const struct log_line *line)
{
    size_t start = to->size;
    buffer_put_text(to, "{\"time\":\"");
    put_time(to, wall_ms);
    buffer_printf(to, "\",\"level\":\"%s\",\"process\":\"%s\",\"event\":\"%s\"",
                  level_words[line->level], line->process, line->event);
    for (size_t i = 0; i < line->count; i++) {
        size_t before = to->size;
        put_field(to, &line->fields[i]);
        if (to->size - start + sizeof truncated_tail > LOG_LINE_BYTES) {
            to->size = before;
            buffer_put_text(to, truncated_tail);
            return;
        }
    }
    buffer_put_text(to, tail);
}

static struct log_limit *find(struct log_limiter *self, const char *event, int64_t second)
{
    struct log_limit *reusable = NULL;
    for (size_t i = 0; i < LOG_LIMITER_EVENTS; i++) {
        struct log_limit *at = &self->events[i];
        if (at->event && strcmp(at->event, event) == 0)
            return at;
        if (!at->event || (at->second != second && at->suppressed == 0))
            reusable = at;
    }
    if (reusable)
        *reusable = (struct log_limit){.event = event, .second = second};
    return reusable;
}

bool log_limiter_admit(struct log_limiter *self, const char *event, int64_t monotonic_ms)
{
    int64_t second = monotonic_ms / 1000;
    struct log_limit *limit = find(self, event, second);
    if (!limit)
        return true; /* more names in one second than the table has room for: let it through */
    if (limit->second != second) {
        limit->second = second;
        limit->lines = 0;
    }
    if (limit->lines < LOG_EVENTS_PER_SECOND) {
        limit->lines++;
        return true;
    }
    limit->suppressed++;
    return false;
}

const char *log_limiter_report(struct log_limiter *self, int64_t monotonic_ms, unsigned *lines)
{
    for (size_t i = 0; i < LOG_LIMITER_EVENTS; i++) {
        struct log_limit *at = &self->events[i];
        if (at->suppressed == 0 || at->second == monotonic_ms / 1000)
            continue;
        *lines = at->suppressed;
        at->suppressed = 0;
        return at->event;
    }
    return NULL;
}
