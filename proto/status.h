#pragma once
#include <stdint.h>

/* status - how a request ended, for peers and for our own functions alike.
 * One table (status.def) gives the enum, the code on the wire, the slug and the text. */
enum status {
#define STATUS(NAME, code, slug, text) STATUS_##NAME = code,
#include "proto/status.def"
#undef STATUS
};

/* A short stable word, e.g. "bad_input". Never NULL. */
const char *status_slug(enum status status);
/* One phrase for people. Never NULL. */
const char *status_text(enum status status);
/* The status with this code; STATUS_INTERNAL for an unknown one, so that a newer peer's code is
 * never mistaken for success. */
enum status status_from_code(uint32_t code);
