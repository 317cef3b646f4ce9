#include "admin/reload.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/options_change.h"

extern char **environ;

struct reload {
    struct reload_settings settings;
    struct reload_figures figures;
};

static uint64_t now_s(void)
{
    return (uint64_t)(clock_wall_ms() / 1000);
}

reload_t *reload_new(const struct reload_settings *settings)
{
    reload_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->settings = *settings;
    self->figures.read_s = now_s();
    return self;
}

void reload_destroy(reload_t **self_p)
{
    free(*self_p);
    *self_p = NULL;
}

struct reload_figures reload_figures(const reload_t *self)
{
    return self->figures;
}

/* --- the log --- */

/* Where the first ":LINE: " of an error is; its size is 0 when there is none. */
static struct span find_line_number(struct span error)
{
    for (size_t at = 0; at + 1 < error.size; at++) {
        size_t end = at + 1;
        if (error.data[at] != ':')
            continue;
        while (end < error.size && error.data[end] >= '0' && error.data[end] <= '9')
            end++;
        if (end > at + 1 && end + 1 < error.size && error.data[end] == ':' &&
            error.data[end + 1] == ' ')
            return span_of(error.data + at + 1, end - at - 1);
    }
    return span_of(error.data, 0);
}

static void tell_error(struct span error)
{
    struct span line = find_line_number(error);
    if (line.size == 0) {
        log_error("reload_refused", LOG_SPAN("rule", error));
        return;
    }
    size_t file = (size_t)(line.data - error.data) - 1;
    size_t rule = file + 1 + line.size + 2;
    log_error("reload_refused", LOG_SPAN("file", span_of(error.data, file)),
              LOG_UINT("line", strtoul((const char *)line.data, NULL, 10)),
              LOG_SPAN("rule", span_of(error.data + rule, error.size - rule)));
}

/* One line for each of its lines, of which there is at least one. */
static void tell_errors(struct span errors)
{
    if (errors.size == 0)
        tell_error(span_text("out of memory"));
    while (errors.size > 0) {
        const uint8_t *end = memchr(errors.data, '\n', errors.size);
        size_t size = end ? (size_t)(end - errors.data) : errors.size;
        if (size > 0)
            tell_error(span_of(errors.data, size));
        size += end != NULL;
        errors = span_of(errors.data + size, errors.size - size);
    }
}

static void tell_change(const struct options_change *change)
{
    if (change->needs_restart)
        log_warn("setting_needs_restart", LOG_TEXT("setting", change->setting),
                 LOG_TEXT("in_use", change->before), LOG_TEXT("file", change->after));
    else
        log_info("setting_changed", LOG_TEXT("setting", change->setting),
                 LOG_TEXT("before", change->before), LOG_TEXT("after", change->after));
}

/* In the more talkative of both levels. */
static void tell_changes(const options_changes_t *changes, enum log_level level)
{
    size_t count = options_changes_count(changes), waiting = options_changes_waiting(changes);
    enum log_level before = log_level();
    log_set_level(level < before ? level : before);
    for (size_t i = 0; i < count; i++)
        tell_change(options_changes_at(changes, i));
    log_info("reloaded", LOG_UINT("changed", count - waiting), LOG_UINT("need_restart", waiting));
    log_set_level(level);
}

/* --- the reload --- */

/* The options in use are as they were, or all is done. */
static bool take_over(options_t *in_use, options_t *loaded, reload_apply_fn *apply, void *arg,
                      struct buffer *why)
{
    options_exchange(in_use, loaded);
    if (options_check_again(in_use, why) && apply(arg, why))
        return true;
    options_exchange(in_use, loaded);
    return false;
}

void reload_run(reload_t *self, reload_apply_fn *apply, void *arg)
{
    struct buffer why = {0};
    options_t *in_use = self->settings.options;
    options_t *loaded = options_load(self->settings.file, environ, &why);
    options_changes_t *changes =
        loaded ? options_changes_new(in_use, loaded, self->settings.sections) : NULL;
    if (changes && take_over(in_use, loaded, apply, arg, &why)) {
        self->figures.done++;
        self->figures.read_s = now_s();
        tell_changes(changes, (enum log_level)in_use->log.level);
    } else {
        self->figures.refused++;
        tell_errors(buffer_span(&why));
    }
    options_changes_destroy(&changes);
    options_destroy(&loaded);
    buffer_free(&why);
}

/* --- the signal --- */

static void mask_signal(int how)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    sigprocmask(how, &set, NULL);
}

void reload_hold_signal(void)
{
    mask_signal(SIG_BLOCK);
}

void reload_release_signal(void)
{
    mask_signal(SIG_UNBLOCK);
}
