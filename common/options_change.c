#include "common/options_change.h"

#include <stdlib.h>
#include <string.h>

#include "common/options_priv.h"

struct options_changes {
    struct options_change *items;
    size_t count, waiting;
};

/* --- sections with a label --- */

static void *find_label(const options_t *options, unsigned section, const char *label)
{
    for (size_t i = 0; i < option_instances(options, section); i++) {
        struct option_label *at = option_instance(options, section, i);
        if (strcmp(at->label, label) == 0)
            return at;
    }
    return NULL;
}

/* The same section in other options, NULL when it is not there. */
static void *counterpart(const options_t *options, unsigned section, const void *instance)
{
    if (!option_sections[section].named)
        return option_instance(options, section, 0);
    return find_label(options, section, ((const struct option_label *)instance)->label);
}

/* Those with a setting that needs a restart come and go with a restart. */
static bool is_fixed(unsigned section)
{
    size_t count;
    const struct option *options = option_sections[section].options(&count);
    for (size_t i = 0; i < count; i++) {
        if (options[i].when == OPTION_RESTART)
            return true;
    }
    return !option_sections[section].named;
}

/* --- what differs --- */

static void put_section(struct buffer *to, unsigned section, const void *instance)
{
    buffer_printf(to, "[%s", option_sections[section].name);
    if (option_sections[section].named)
        buffer_printf(to, " \"%s\"", ((const struct option_label *)instance)->label);
    buffer_put_byte(to, ']');
}

/* As a text of its own, which the caller frees; NULL when memory is exhausted. */
static char *take_text(struct buffer *from)
{
    buffer_put_byte(from, '\0');
    char *text = from->failed ? NULL : (char *)from->data;
    if (!text)
        buffer_free(from);
    *from = (struct buffer){0};
    return text;
}

static void free_change(struct options_change *change)
{
    free(change->setting);
    free(change->before);
    free(change->after);
}

/* Takes the texts over. */
static bool add(options_changes_t *self, struct options_change change)
{
    struct options_change *items = NULL;
    if (change.setting && change.before && change.after)
        items = reallocarray(self->items, self->count + 1, sizeof *items);
    if (!items) {
        free_change(&change);
        return false;
    }
    self->items = items;
    self->items[self->count++] = change;
    self->waiting += change.needs_restart;
    return true;
}

static bool add_section(options_changes_t *self, unsigned section, const void *instance,
                        bool is_there)
{
    struct buffer setting = {0};
    put_section(&setting, section, instance);
    return add(self, (struct options_change){.needs_restart = is_fixed(section),
                                             .setting = take_text(&setting),
                                             .before = strdup(is_there ? "absent" : "present"),
                                             .after = strdup(is_there ? "present" : "absent")});
}

static char *value_of(const struct option *option, const void *instance)
{
    struct buffer value = {0};
    option_print(&value, option, instance);
    return take_text(&value);
}

static bool compare_option(options_changes_t *self, unsigned section, const struct option *option,
                           const void *in_use, const void *loaded)
{
    struct options_change change = {.needs_restart = option->when == OPTION_RESTART,
                                    .before = value_of(option, in_use),
                                    .after = value_of(option, loaded)};
    if (change.before && change.after && strcmp(change.before, change.after) == 0) {
        free_change(&change);
        return true;
    }
    struct buffer setting = {0};
    put_section(&setting, section, in_use);
    buffer_printf(&setting, " %s", option->key);
    change.setting = take_text(&setting);
    return add(self, change);
}

static bool compare_instance(options_changes_t *self, unsigned section, const void *in_use,
                             const void *loaded)
{
    if (!loaded)
        return add_section(self, section, in_use, false);
    size_t count;
    const struct option *options = option_sections[section].options(&count);
    for (size_t i = 0; i < count; i++) {
        if (!compare_option(self, section, &options[i], in_use, loaded))
            return false;
    }
    return true;
}

static bool compare_section(options_changes_t *self, unsigned section, const options_t *in_use,
                            const options_t *loaded)
{
    for (size_t i = 0; i < option_instances(in_use, section); i++) {
        const void *instance = option_instance(in_use, section, i);
        if (!compare_instance(self, section, instance, counterpart(loaded, section, instance)))
            return false;
    }
    for (size_t i = 0; i < option_instances(loaded, section); i++) {
        const void *instance = option_instance(loaded, section, i);
        if (!counterpart(in_use, section, instance) && !add_section(self, section, instance, true))
            return false;
    }
    return true;
}

static bool is_among(const char *const *sections, const char *name)
{
    while (*sections && strcmp(*sections, name) != 0)
        sections++;
    return *sections;
}

options_changes_t *options_changes_new(const options_t *in_use, const options_t *loaded,
                                       const char *const *sections)
{
    options_changes_t *self = calloc(1, sizeof *self);
    for (unsigned section = 0; self && section < SECTION_COUNT; section++) {
        if (is_among(sections, option_sections[section].name) &&
            !compare_section(self, section, in_use, loaded))
            options_changes_destroy(&self);
    }
    return self;
}

void options_changes_destroy(options_changes_t **self_p)
{
    options_changes_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    for (size_t i = 0; i < self->count; i++)
        free_change(&self->items[i]);
    free(self->items);
    free(self);
}

size_t options_changes_count(const options_changes_t *self)
{
    return self->count;
}

size_t options_changes_waiting(const options_changes_t *self)
{
    return self->waiting;
}

const struct options_change *options_changes_at(const options_changes_t *self, size_t index)
{
    return &self->items[index];
}

/* --- taking over --- */

static void exchange_bytes(void *a, void *b, size_t size)
{
    uint8_t kept[sizeof(uint64_t)];
    memcpy(kept, a, size);
    memcpy(a, b, size);
    memcpy(b, kept, size);
}

static void exchange_instance(unsigned section, void *in_use, void *loaded)
{
    static const size_t sizes[] = {[OPTION_TEXT] = sizeof(char *),
                                   [OPTION_NUMBER] = sizeof(uint64_t),
                                   [OPTION_SWITCH] = sizeof(bool),
                                   [OPTION_CHOICE] = sizeof(unsigned)};
    size_t count;
    const struct option *options = option_sections[section].options(&count);
    if (option_sections[section].named)
        exchange_bytes(&((struct option_label *)in_use)->where,
                       &((struct option_label *)loaded)->where, sizeof(char *));
    for (size_t i = 0; i < count; i++) {
        size_t offset = options[i].offset;
        if (options[i].when != OPTION_RESTART)
            exchange_bytes((char *)in_use + offset, (char *)loaded + offset,
                           sizes[options[i].type]);
    }
}

static void exchange_list(unsigned section, options_t *in_use, options_t *loaded)
{
    const struct option_section *at = &option_sections[section];
    exchange_bytes((char *)in_use + at->offset, (char *)loaded + at->offset, sizeof(void *));
    exchange_bytes((char *)in_use + at->count_offset, (char *)loaded + at->count_offset,
                   sizeof(size_t));
}

void options_exchange(options_t *in_use, options_t *loaded)
{
    for (unsigned section = 0; section < SECTION_COUNT; section++) {
        if (!is_fixed(section)) {
            exchange_list(section, in_use, loaded);
            continue;
        }
        for (size_t i = 0; i < option_instances(in_use, section); i++) {
            void *instance = option_instance(in_use, section, i);
            void *other = counterpart(loaded, section, instance);
            if (other)
                exchange_instance(section, instance, other);
        }
    }
}
