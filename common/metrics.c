#include "common/metrics.h"

/* In help texts the format escapes the backslash and the newline, nothing else. */
static void put_help(struct buffer *to, const char *help)
{
    for (; *help; help++) {
        if (*help == '\\')
            buffer_put_text(to, "\\\\");
        else if (*help == '\n')
            buffer_put_text(to, "\\n");
        else
            buffer_put_byte(to, (uint8_t)*help);
    }
}

static void put_name(struct buffer *to, const char *prefix, const char *name)
{
    buffer_put_text(to, prefix);
    buffer_put_byte(to, '_');
    buffer_put_text(to, name);
}

void metrics_write(struct buffer *to, const char *prefix,
                   const struct metric_description *descriptions, const uint64_t *values,
                   size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct metric_description *at = &descriptions[i];
        buffer_put_text(to, "# HELP ");
        put_name(to, prefix, at->name);
        buffer_put_byte(to, ' ');
        put_help(to, at->help);
        buffer_put_text(to, "\n# TYPE ");
        put_name(to, prefix, at->name);
        buffer_put_text(to, at->type == METRIC_COUNTER ? " counter\n" : " gauge\n");
        put_name(to, prefix, at->name);
        buffer_put_byte(to, ' ');
        buffer_put_u64_text(to, values[i]);
        buffer_put_byte(to, '\n');
    }
}
