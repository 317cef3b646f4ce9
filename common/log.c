#include "common/log.h"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "common/clock.h"

static struct {
    const char *process;
    enum log_level level;
    struct log_limiter limiter;
    struct buffer line;
} logger = {.process = "millrace", .level = LOG_LEVEL_INFO};

void log_open(const char *process, enum log_level level)
{
    logger.process = process;
    logger.level = level;
    signal(SIGPIPE, SIG_IGN);
}

enum log_level log_level(void)
{
    return logger.level;
}

void log_set_level(enum log_level level)
{
    logger.level = level;
}

/* Standard error may be a pipe that nobody reads and is shared with other processes, so it is asked
 * whether it takes a line instead of being made non-blocking. */
static bool takes_a_line(void)
{
    struct pollfd poll_fd = {.fd = STDERR_FILENO, .events = POLLOUT};
    return poll(&poll_fd, 1, 0) == 1 && poll_fd.revents & POLLOUT;
}

static void put_in(struct buffer *to, enum log_level level, const char *event,
                   const struct log_field *fields, size_t count)
{
    struct log_line line = {level, logger.process, event, fields, count};
    buffer_reset(to);
    log_format(to, clock_wall_ms(), &line);
    if (to->failed || !takes_a_line())
        return;
    ssize_t written = write(STDERR_FILENO, to->data, to->size);
    (void)written; /* a line that cannot be written is dropped */
}

static void put(enum log_level level, const char *event, const struct log_field *fields,
                size_t count)
{
    put_in(&logger.line, level, event, fields, count);
}

void log_last(enum log_level level, const char *event, const struct log_field *fields, size_t count)
{
    struct buffer line = {0};
    if (level >= logger.level)
        put_in(&line, level, event, fields, count);
    buffer_free(&line);
}

void log_tick(void)
{
    const char *event;
    unsigned lines;
    while ((event = log_limiter_report(&logger.limiter, clock_monotonic_ms(), &lines)) != NULL) {
        struct log_field fields[] = {LOG_TEXT("of", event), LOG_UINT("lines", lines)};
        put(LOG_LEVEL_WARN, "suppressed", fields, sizeof fields / sizeof *fields);
    }
}

void log_write(enum log_level level, const char *event, const struct log_field *fields,
               size_t count)
{
    if (level < logger.level)
        return;
    log_tick();
    if (log_limiter_admit(&logger.limiter, event, clock_monotonic_ms()))
        put(level, event, fields, count);
}
