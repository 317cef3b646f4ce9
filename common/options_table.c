#include <assert.h>
#include <string.h>

#include "common/options_priv.h"

/* Each section's rows live in a function, because there a typedef can give the rows a common name
 * for the struct that their offsets count in. */
#define ROW_TEXT(name, when, fallback, unit, text)                                                 \
    {#name, OPTION_TEXT, OPTION_##when, offsetof(row_owner, name), fallback, 0, 0, 0,              \
     unit,  NULL,        text},
#define ROW_NUMBER(name, when, fallback, min, max, unit, text)                                     \
    {#name, OPTION_NUMBER, OPTION_##when, offsetof(row_owner, name), NULL, fallback, min, max,     \
     unit,  NULL,          text},
#define ROW_SWITCH(name, when, fallback, text)                                                     \
    {#name, OPTION_SWITCH, OPTION_##when, offsetof(row_owner, name), NULL, fallback, 0, 1,         \
     NULL,  NULL,          text},
#define ROW_CHOICE(name, when, fallback, words, text)                                              \
    {#name, OPTION_CHOICE, OPTION_##when, offsetof(row_owner, name), NULL, fallback, 0, 0,         \
     NULL,  words,         text},

#define OPTIONS_SECTION(section, about)                                                            \
    static const struct option *section##_options(size_t *count)                                   \
    {                                                                                              \
        typedef struct options_##section row_owner;                                                \
        static const struct option rows[] = {                                                      \
            OPTIONS_##section(ROW_TEXT, ROW_NUMBER, ROW_SWITCH, ROW_CHOICE)};                      \
        *count = sizeof rows / sizeof *rows;                                                       \
        return rows;                                                                               \
    }
#define OPTIONS_NAMED(section, about)                                                              \
    static_assert(offsetof(struct options_##section, label) ==                                     \
                      offsetof(struct option_label, label),                                        \
                  "a labelled section begins with its label");                                     \
    static_assert(offsetof(struct options_##section, where) ==                                     \
                      offsetof(struct option_label, where),                                        \
                  "a labelled section says where it began");                                       \
    OPTIONS_SECTION(section, about)
#include "common/options.def"
#undef OPTIONS_SECTION
#undef OPTIONS_NAMED

const struct option_section option_sections[SECTION_COUNT] = {
#define OPTIONS_SECTION(section, text)                                                             \
    {#section,                                                                                     \
     text,                                                                                         \
     false,                                                                                        \
     sizeof(struct options_##section),                                                             \
     offsetof(options_t, section),                                                                 \
     0,                                                                                            \
     section##_options},
#define OPTIONS_NAMED(section, text)                                                               \
    {#section,                                                                                     \
     text,                                                                                         \
     true,                                                                                         \
     sizeof(struct options_##section),                                                             \
     offsetof(options_t, section),                                                                 \
     offsetof(options_t, section##_count),                                                         \
     section##_options},
#include "common/options.def"
#undef OPTIONS_SECTION
#undef OPTIONS_NAMED
};

size_t option_instances(const options_t *options, unsigned section)
{
    const struct option_section *at = &option_sections[section];
    if (!at->named)
        return 1;
    size_t count;
    memcpy(&count, (const char *)options + at->count_offset, sizeof count);
    return count;
}

void *option_instance(const options_t *options, unsigned section, size_t instance)
{
    const struct option_section *at = &option_sections[section];
    void *structs = (char *)(uintptr_t)options + at->offset;
    if (at->named)
        memcpy(&structs, structs, sizeof(void *));
    return structs ? (char *)structs + instance * at->size : NULL; /* no instance yet */
}

const struct option *option_find(unsigned section, const char *key)
{
    size_t count;
    const struct option *options = option_sections[section].options(&count);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(options[i].key, key) == 0)
            return &options[i];
    }
    return NULL;
}

const struct option *option_inherits(unsigned section, const struct option *option)
{
    return section == SECTION_channel ? option_find(SECTION_streams, option->key) : NULL;
}
