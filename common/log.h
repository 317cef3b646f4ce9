#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/buffer.h"
#include "proto/span.h"

/* log - one JSON line per event on standard error:
 *   {"time":"2026-01-31T12:00:00.000Z","level":"info","process":"broker","event":"started","port":7400}
 *
 * Values are escaped (also control characters, DEL, U+2028, U+2029) and cut at LOG_VALUE_BYTES;
 * invalid UTF-8 is replaced. A line that would exceed LOG_LINE_BYTES loses its last fields and says
 * "truncated". More than LOG_EVENTS_PER_SECOND lines of one event name in a second are counted and
 * reported by one line "suppressed" afterwards. A log that cannot be written is dropped: it
 * never blocks or ends the process. Not thread-safe: call from the main thread. Never pass a
 * secret.
 */
#define LOG_EVENTS_PER_SECOND 50
#define LOG_VALUE_BYTES       256
#define LOG_LINE_BYTES        4096 /* PIPE_BUF: a pipe that polls writable takes it whole */

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };

struct log_field {
    const char *name;
    enum { LOG_FIELD_TEXT, LOG_FIELD_UINT, LOG_FIELD_INT, LOG_FIELD_BOOL } type;
    struct span text;
    uint64_t number; /* an int is stored as its two's complement */
};

#define LOG_TEXT(name, value) ((struct log_field){name, LOG_FIELD_TEXT, span_text(value), 0})
#define LOG_SPAN(name, value) ((struct log_field){name, LOG_FIELD_TEXT, value, 0})
#define LOG_UINT(name, value) ((struct log_field){name, LOG_FIELD_UINT, {0}, (uint64_t)(value)})
#define LOG_INT(name, value)                                                                       \
    ((struct log_field){name, LOG_FIELD_INT, {0}, (uint64_t)(int64_t)(value)})
#define LOG_BOOL(name, value) ((struct log_field){name, LOG_FIELD_BOOL, {0}, (value) ? 1 : 0})

/* The name is kept as it is given, not copied. Lines below `level` are dropped. From here on the
 * process ignores SIGPIPE. */
void log_open(const char *process, enum log_level level);
enum log_level log_level(void);
void log_set_level(enum log_level level);
/* `event` is text that outlives the log: a literal. */
void log_write(enum log_level level, const char *event, const struct log_field *fields,
               size_t count);
/* Writes the "suppressed" lines that are due: call it about once a second. log_write does it too.
 */
void log_tick(void);

/* One line from any thread, just before _exit: it shares nothing with the functions above, and may
 * be missing in what log_tick reports. */
void log_last(enum log_level level, const char *event, const struct log_field *fields,
              size_t count);

/* log_info("gateway_joined", LOG_SPAN("gateway", name), LOG_UINT("version", 1)); */
#define LOG_FIELDS(...)                                                                            \
    (const struct log_field[]){__VA_ARGS__},                                                       \
        sizeof((const struct log_field[]){__VA_ARGS__}) / sizeof(struct log_field)
#define log_debug(event, ...) log_write(LOG_LEVEL_DEBUG, event, LOG_FIELDS(__VA_ARGS__))
#define log_info(event, ...)  log_write(LOG_LEVEL_INFO, event, LOG_FIELDS(__VA_ARGS__))
#define log_warn(event, ...)  log_write(LOG_LEVEL_WARN, event, LOG_FIELDS(__VA_ARGS__))
#define log_error(event, ...) log_write(LOG_LEVEL_ERROR, event, LOG_FIELDS(__VA_ARGS__))

/* --- the parts of log_write that know neither clock nor stream (log_format.c) --- */

struct log_line {
    enum log_level level;
    const char *process, *event;
    const struct log_field *fields;
    size_t count;
};

/* Appends one whole line with its newline, at most LOG_LINE_BYTES. wall_ms as clock_wall_ms. */
void log_format(struct buffer *to, int64_t wall_ms, const struct log_line *line);

#define LOG_LIMITER_EVENTS 64

struct log_limit {
    const char *event; /* NULL: unused */
    int64_t second;
    unsigned lines, suppressed; /* in that second */
};

/* A zeroed limiter has seen nothing. */
struct log_limiter {
    struct log_limit events[LOG_LIMITER_EVENTS];
};

/* Whether a line of this event may be written now; counts it either way. */
bool log_limiter_admit(struct log_limiter *self, const char *event, int64_t monotonic_ms);
/* An event that had lines suppressed in a second that is over: its name, and *lines how many; NULL
 * when there is none. Each is reported once. */
const char *log_limiter_report(struct log_limiter *self, int64_t monotonic_ms, unsigned *lines);
