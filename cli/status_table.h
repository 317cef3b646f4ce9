#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/buffer.h"
#include "proto/span.h"

/* status_table - numbers as people read them, and lines of cells under one another. Pure.
 *
 * Nothing that it writes can move a terminal's cursor or change its colours.
 */

void put_thousands(struct buffer *to, uint64_t number); /* 1,234,567 */
void put_rate(struct buffer *to, double rate);          /* 0.3, 99.9, 1,234 */
void put_bytes(struct buffer *to, uint64_t bytes);      /* 512 B, 1.5 KiB, 23.4 MiB */
void put_duration(struct buffer *to, uint64_t ms);      /* 0.4 s, 45 s, 12 min, 5 h, 3 d */
/* The text with '?' for each byte that is no printable ASCII, cut behind `most` bytes. */
void put_plain(struct buffer *to, struct span text, size_t most);

/* The text with '?' for each control character; one that is not UTF-8 as put_plain has it. Its
 * width is not its size: not for cells. */
void put_printable(struct buffer *to, struct span text);

typedef struct status_table status_table_t;

#define STATUS_TABLE_COLUMNS 12

/* The first `left` columns are flush left, the others flush right. NULL only when memory is
 * exhausted. */
status_table_t *status_table_new(size_t columns, size_t left);
void status_table_destroy(status_table_t **self_p);
/* The next cell, from left to right, line by line. Copies the text. */
void status_table_put(status_table_t *self, struct span text);
/* As wide as the widest cell of each column, two spaces between columns, no space at line ends. */
void status_table_write(const status_table_t *self, struct buffer *to);

/* The text for a terminal of this size, drawn over what stands there: lines are cut at its width,
 * and at its height with a word on how many are missing. */
void status_screen(struct span text, size_t columns, size_t rows, bool first, struct buffer *to);
