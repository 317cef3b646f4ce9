#pragma once
#include "proto/buffer.h"
#include "proto/span.h"

/* status_view - the broker's /status (JSON, see docs/operations.md), for people and for programs.
 * Pure.
 *
 * What is missing counts as 0, so that older and newer brokers can be looked at. Texts in it are
 * others' words: nothing but printable ASCII comes out.
 */
enum status_view {
    STATUS_VIEW_FINE,
    STATUS_VIEW_WRONG,     /* something needs somebody: the text says what */
    STATUS_VIEW_UNREADABLE /* not the JSON of a broker; *why says what is wrong with it */
};

/* Tables, and a line for each thing that is wrong. */
enum status_view status_view_text(struct span json, struct buffer *to, struct buffer *why);
/* The same object in one line of ASCII, and a newline. */
enum status_view status_view_json(struct span json, struct buffer *to, struct buffer *why);
