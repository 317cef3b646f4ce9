#include "proto/figures.h"

#include <assert.h>
#include <endian.h>
#include <string.h>

const struct figure_description figure_descriptions[FIGURES_COUNT] = {
#define FIGURE(name, kind, text) {#name, FIGURE_##kind, text},
#include "proto/figures.def"
#undef FIGURE
};

uint64_t figures_value(const struct figures *self, size_t index)
{
    assert(index < FIGURES_COUNT);
    return ((const uint64_t *)self)[index];
}

void figures_put(struct buffer *to, const struct figures *self)
{
    for (size_t i = 0; i < FIGURES_COUNT; i++)
        buffer_put_u64(to, figures_value(self, i));
}

bool figures_get(struct span values, struct figures *out)
{
    uint64_t numbers[FIGURES_COUNT] = {0};
    if (values.size % sizeof(uint64_t) != 0)
        return false;
    size_t count = values.size / sizeof(uint64_t);
    for (size_t i = 0; i < count && i < FIGURES_COUNT; i++) {
        memcpy(&numbers[i], values.data + i * sizeof(uint64_t), sizeof(uint64_t));
        numbers[i] = be64toh(numbers[i]);
        uint64_t most = figure_descriptions[i].kind == FIGURE_FLAG ? 1 : INT64_MAX;
        if (numbers[i] > most)
            return false;
    }
    memcpy(out, numbers, sizeof numbers);
    return true;
}
