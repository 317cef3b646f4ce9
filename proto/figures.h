#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "proto/buffer.h"
#include "proto/span.h"

/* figures - what a gateway tells its broker about itself each second; figures.def is the list.
 * Pure.
 */
enum figure_kind { FIGURE_GAUGE, FIGURE_TOTAL, FIGURE_FLAG };

struct figures {
#define FIGURE(name, kind, text) uint64_t name;
#include "proto/figures.def"
#undef FIGURE
};

#define FIGURES_COUNT (sizeof(struct figures) / sizeof(uint64_t))

struct figure_description {
    const char *name;
    enum figure_kind kind;
    const char *text;
};

/* In the order of the struct. */
extern const struct figure_description figure_descriptions[FIGURES_COUNT];

/* The value of figure_descriptions[index]. */
uint64_t figures_value(const struct figures *self, size_t index);

/* As on the wire, see figures.def. */
void figures_put(struct buffer *to, const struct figures *self);
/* False when they are not whole numbers of 8 bytes each, a number is above 2^63 - 1 (JSON has no
 * room for it) or a flag neither 0 nor 1. */
bool figures_get(struct span values, struct figures *out);
