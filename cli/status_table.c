#include "cli/status_table.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/json_text.h"

/* --- numbers --- */

void put_thousands(struct buffer *to, uint64_t number)
{
    if (number >= 1000) {
        put_thousands(to, number / 1000);
        buffer_printf(to, ",%03u", (unsigned)(number % 1000));
    } else {
        buffer_put_u64_text(to, number);
    }
}

void put_rate(struct buffer *to, double rate)
{
    if (rate < 99.95)
        buffer_printf(to, "%.1f", rate > 0 ? rate : 0);
    else if (rate < 1e18)
        put_thousands(to, (uint64_t)(rate + 0.5));
    else
        buffer_put_text(to, "huge");
}

void put_bytes(struct buffer *to, uint64_t bytes)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    if (bytes < 1024) {
        buffer_printf(to, "%u B", (unsigned)bytes);
        return;
    }
    double size = (double)bytes / 1024;
    size_t unit = 0;
    for (; size >= 1023.95 && unit < sizeof units / sizeof *units - 1; unit++)
        size /= 1024;
    buffer_printf(to, "%.1f %s", size, units[unit]);
}

void put_duration(struct buffer *to, uint64_t ms)
{
    uint64_t seconds = ms / 1000;
    if (ms < 10000)
        buffer_printf(to, "%u.%u s", (unsigned)seconds, (unsigned)(ms % 1000 / 100));
    else if (seconds < 120)
        buffer_printf(to, "%u s", (unsigned)seconds);
    else if (seconds < 7200)
        buffer_printf(to, "%u min", (unsigned)(seconds / 60));
    else if (seconds < 172800)
        buffer_printf(to, "%u h", (unsigned)(seconds / 3600));
    else
        buffer_printf(to, "%" PRIu64 " d", seconds / 86400);
}

void put_plain(struct buffer *to, struct span text, size_t most)
{
    for (size_t i = 0; i < text.size && i < most; i++) {
        uint8_t byte = text.data[i];
        buffer_put_byte(to, byte >= 0x20 && byte < 0x7f ? byte : '?');
    }
}

/* Bytes of the control character at the start, 0 when there is none. Those of C1, which some
 * terminals obey, have two. */
static size_t control_size(struct span text)
{
    uint8_t byte = text.data[0];
    if (byte < 0x20 || byte == 0x7f)
        return 1;
    return byte == 0xc2 && text.data[1] < 0xa0 ? 2 : 0;
}

void put_printable(struct buffer *to, struct span text)
{
    if (!utf8_valid(text, NULL)) {
        put_plain(to, text, text.size);
        return;
    }
    for (size_t i = 0; i < text.size;) {
        size_t size = control_size(span_of(text.data + i, text.size - i));
        buffer_put_byte(to, size ? '?' : text.data[i]);
        i += size ? size : 1;
    }
}

/* --- lines of cells --- */

struct status_table {
    size_t columns, left;
    size_t count; /* cells */
    size_t widths[STATUS_TABLE_COLUMNS];
    struct buffer cells; /* each ends with a NUL */
};

status_table_t *status_table_new(size_t columns, size_t left)
{
    assert(columns > 0 && columns <= STATUS_TABLE_COLUMNS);
    status_table_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->columns = columns;
    self->left = left;
    return self;
}

void status_table_destroy(status_table_t **self_p)
{
    status_table_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    buffer_free(&self->cells);
    free(self);
}

void status_table_put(status_table_t *self, struct span text)
{
    size_t *width = &self->widths[self->count++ % self->columns];
    if (text.size > *width)
        *width = text.size;
    put_plain(&self->cells, text, text.size);
    buffer_put_byte(&self->cells, '\0');
}

/* Without spaces at its end. */
static void end_line(struct buffer *to)
{
    while (to->size > 0 && to->data[to->size - 1] == ' ')
        to->size--;
    buffer_put_byte(to, '\n');
}

void status_table_write(const status_table_t *self, struct buffer *to)
{
    to->failed |= self->cells.failed;
    if (to->failed)
        return;
    const char *cell = (const char *)self->cells.data;
    for (size_t i = 0; i < self->count; i++, cell += strlen(cell) + 1) {
        size_t column = i % self->columns;
        bool is_last = column + 1 == self->columns;
        int width = (int)self->widths[column];
        if (column >= self->left)
            buffer_printf(to, "%*s", width, cell);
        else
            buffer_printf(to, "%-*s", is_last ? 0 : width, cell);
        if (is_last)
            end_line(to);
        else
            buffer_put_text(to, "  ");
    }
}

/* --- a terminal --- */

#define CLEAR_ALL  "\033[H\033[2J"
#define HOME       "\033[H"
#define CLEAR_LINE "\033[K\n"
#define CLEAR_REST "\033[J"

static size_t count_lines(struct span text)
{
    size_t lines = 0;
    for (size_t i = 0; i < text.size; i++)
        lines += text.data[i] == '\n';
    return lines;
}

static struct span take_line(struct span *text)
{
    const uint8_t *end = memchr(text->data, '\n', text->size);
    struct span line = span_of(text->data, end ? (size_t)(end - text->data) : text->size);
    size_t taken = line.size + (end != NULL);
    *text = span_of(text->data + taken, text->size - taken);
    return line;
}

void status_screen(struct span text, size_t columns, size_t rows, bool first, struct buffer *to)
{
    /* The cursor stands in the line behind the last one. */
    size_t lines = count_lines(text), room = rows > 2 ? rows - 1 : 1;
    size_t shown = lines <= room ? lines : room - 1;
    buffer_put_text(to, first ? CLEAR_ALL : HOME);
    for (size_t i = 0; i < shown; i++) {
        struct span line = take_line(&text);
        put_plain(to, line, columns);
        buffer_put_text(to, CLEAR_LINE);
    }
    if (shown < lines)
        buffer_printf(to, "... %zu more lines" CLEAR_LINE, lines - shown);
    buffer_put_text(to, CLEAR_REST);
}
