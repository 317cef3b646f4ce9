#include "common/options.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/options_priv.h"

#define ERRORS_SHOWN 100 /* a file that is no settings at all has one in every line */

struct options_name {
    struct options_name *next;
    char text[];
};

/* Counts an error; whether it is to be shown. */
static bool begin_error(struct options_load *self)
{
    self->errors++;
    if (self->errors == ERRORS_SHOWN + 1)
        buffer_put_text(self->why, "and more\n");
    return self->errors <= ERRORS_SHOWN;
}

static void out_of_memory(struct options_load *self)
{
    if (begin_error(self))
        buffer_put_text(self->why, "out of memory\n");
}

const char *options_keep(struct options_load *self, const char *text)
{
    size_t size = strlen(text) + 1;
    struct options_name *name = malloc(sizeof *name + size);
    if (!name) {
        out_of_memory(self);
        return NULL;
    }
    memcpy(name->text, text, size);
    name->next = self->names;
    self->names = name;
    return name->text;
}

static void print_place(struct buffer *to, struct option_place place)
{
    if (place.line == 0)
        buffer_printf(to, "environment %s: ", place.file);
    else
        buffer_printf(to, "%s:%u: ", place.file, place.line);
}

__attribute__((format(printf, 2, 0))) static void print_rule(struct options_load *self,
                                                             const char *format, va_list args)
{
    char rule[1024];
    vsnprintf(rule, sizeof rule, format, args);
    buffer_put_text(self->why, rule);
    buffer_put_byte(self->why, '\n');
}

void options_refuse(struct options_load *self, struct option_place place, unsigned section,
                    size_t instance, const char *key, const char *format, ...)
{
    if (!begin_error(self))
        return;
    if (place.file)
        print_place(self->why, place);
    else
        buffer_printf(self->why, "%s: ", self->unplaced);
    buffer_printf(self->why, "[%s", option_sections[section].name);
    if (option_sections[section].named) {
        const struct option_label *label = option_instance(self->options, section, instance);
        buffer_printf(self->why, " \"%s\"", label->label);
    }
    buffer_put_text(self->why, key ? "] " : "]: ");
    if (key)
        buffer_printf(self->why, "%s: ", key);
    va_list args;
    va_start(args, format);
    print_rule(self, format, args);
    va_end(args);
}

void options_complain(struct options_load *self, struct option_place place, const char *format, ...)
{
    if (!begin_error(self))
        return;
    if (place.file)
        print_place(self->why, place);
    va_list args;
    va_start(args, format);
    print_rule(self, format, args);
    va_end(args);
}

struct option_place *options_place(const struct options_load *self, unsigned section,
                                   size_t instance, const struct option *option)
{
    size_t count;
    const struct option *first = option_sections[section].options(&count);
    return &self->places[section][instance * count + (size_t)(option - first)];
}

static bool set_defaults(unsigned section, void *to)
{
    size_t count;
    const struct option *options = option_sections[section].options(&count);
    for (size_t i = 0; i < count; i++) {
        void *field = (char *)to + options[i].offset;
        switch (options[i].type) {
        case OPTION_TEXT:
            *(char **)field = strdup(options[i].fallback);
            if (!*(char **)field)
                return false;
            break;
        case OPTION_NUMBER:
            *(uint64_t *)field = options[i].number;
            break;
        case OPTION_SWITCH:
            *(bool *)field = options[i].number != 0;
            break;
        case OPTION_CHOICE:
            *(unsigned *)field = (unsigned)options[i].number;
            break;
        }
    }
    return true;
}

/* Room for one more instance, zeroed, and for its places. */
static bool grow(struct options_load *self, unsigned section)
{
    const struct option_section *at = &option_sections[section];
    size_t keys, count = option_instances(self->options, section);
    at->options(&keys);

    void *structs = option_instance(self->options, section, 0);
    structs = realloc(structs, (count + 1) * at->size);
    if (!structs)
        return false;
    memcpy((char *)self->options + at->offset, &structs, sizeof structs);

    struct option_place *places = self->places[section];
    places = realloc(places, (count + 1) * keys * sizeof *places);
    if (!places)
        return false;
    self->places[section] = places;

    memset((char *)structs + count * at->size, 0, at->size);
    memset(places + count * keys, 0, keys * sizeof *places);
    count++;
    memcpy((char *)self->options + at->count_offset, &count, sizeof count);
    return true;
}

static const struct option_label *find_label(const struct options_load *self, unsigned section,
                                             const char *label)
{
    for (size_t i = 0; i < option_instances(self->options, section); i++) {
        const struct option_label *at = option_instance(self->options, section, i);
        if (strcmp(at->label, label) == 0)
            return at;
    }
    return NULL;
}

bool options_add(struct options_load *self, unsigned section, const char *label,
                 struct option_place place)
{
    const struct option_label *other = find_label(self, section, label);
    if (other) {
        options_complain(self, place, "[%s \"%s\"]: this label is already used at %s",
                         option_sections[section].name, label, other->where);
        return false;
    }
    struct option_label made = {.label = strdup(label)};
    if (!made.label || asprintf(&made.where, "%s:%u", place.file, place.line) < 0)
        goto no_memory;
    if (!grow(self, section)) {
        free(made.where);
        goto no_memory;
    }
    void *added =
        option_instance(self->options, section, option_instances(self->options, section) - 1);
    memcpy(added, &made, sizeof made);
    if (set_defaults(section, added))
        return true;
    out_of_memory(self);
    return false;

no_memory:
    free(made.label);
    out_of_memory(self);
    return false;
}

void options_assign(struct options_load *self, unsigned section, size_t instance,
                    const struct option *option, const char *value, struct option_place place)
{
    struct option_place *set = options_place(self, section, instance, option);
    if (place.line && set->file) {
        options_refuse(self, place, section, instance, option->key, "already set at %s:%u",
                       set->file, set->line);
        return;
    }
    *set = place;
    struct buffer rule = {0};
    if (!option_parse(option, value, option_instance(self->options, section, instance), &rule))
        options_refuse(self, place, section, instance, option->key, "%.*s",
                       SPAN_ARG(buffer_span(&rule)));
    buffer_free(&rule);
}

static bool start(struct options_load *self)
{
    self->options = calloc(1, sizeof *self->options);
    if (!self->options)
        return false;
    for (unsigned i = 0; i < SECTION_COUNT; i++) {
        if (option_sections[i].named)
            continue;
        size_t keys;
        option_sections[i].options(&keys);
        self->places[i] = calloc(keys, sizeof *self->places[i]);
        if (!self->places[i] || !set_defaults(i, option_instance(self->options, i, 0)))
            return false;
    }
    return true;
}

/* A channel's keys that nobody set take the values of [streams]. */
static void inherit(struct options_load *self)
{
    size_t keys;
    const struct option *options = option_sections[SECTION_channel].options(&keys);
    const char *streams = option_instance(self->options, SECTION_streams, 0);
    for (size_t i = 0; i < self->options->channel_count; i++) {
        char *channel = option_instance(self->options, SECTION_channel, i);
        for (size_t key = 0; key < keys; key++) {
            const struct option *from = option_inherits(SECTION_channel, &options[key]);
            if (!from || options_place(self, SECTION_channel, i, &options[key])->file)
                continue;
            assert(from->type == OPTION_NUMBER && options[key].type == OPTION_NUMBER);
            memcpy(channel + options[key].offset, streams + from->offset, sizeof(uint64_t));
        }
    }
}

static void free_places(struct options_load *self)
{
    while (self->names) {
        struct options_name *name = self->names;
        self->names = name->next;
        free(name);
    }
    for (unsigned i = 0; i < SECTION_COUNT; i++)
        free(self->places[i]);
}

static void finish(struct options_load *self)
{
    free_places(self);
    if (self->errors)
        options_destroy(&self->options);
}

options_t *options_load(const char *file, char *const *environment, struct buffer *why)
{
    struct options_load load = {.why = why, .unplaced = "default"};
    if (!start(&load))
        out_of_memory(&load);
    if (load.errors == 0 && file)
        options_read_file(&load, file);
    if (load.options && environment)
        options_read_environment(&load, environment);
    if (load.errors == 0) {
        inherit(&load);
        options_resolve_store(&load, file);
        options_check(&load);
    }
    finish(&load);
    return load.options;
}

/* Nobody knows any more which value came from where. */
bool options_check_again(options_t *self, struct buffer *why)
{
    struct options_load load = {
        .options = self, .why = why, .unplaced = "with what needs a restart"};
    for (unsigned i = 0; i < SECTION_COUNT; i++) {
        size_t keys, count = option_instances(self, i);
        option_sections[i].options(&keys);
        load.places[i] = calloc(count + 1, keys * sizeof *load.places[i]);
        if (!load.places[i])
            out_of_memory(&load);
    }
    if (load.errors == 0)
        options_check(&load);
    free_places(&load);
    return load.errors == 0;
}

static void free_instance(unsigned section, void *at)
{
    size_t count;
    const struct option *options = option_sections[section].options(&count);
    for (size_t i = 0; i < count; i++) {
        if (options[i].type == OPTION_TEXT)
            free(*(char **)((char *)at + options[i].offset));
    }
    if (option_sections[section].named) {
        struct option_label *label = at;
        free(label->label);
        free(label->where);
    }
}

void options_destroy(options_t **self_p)
{
    options_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    for (unsigned i = 0; i < SECTION_COUNT; i++) {
        for (size_t n = 0; n < option_instances(self, i); n++)
            free_instance(i, option_instance(self, i, n));
        if (option_sections[i].named)
            free(option_instance(self, i, 0));
    }
    free(self);
}

enum options_anonymous options_anonymous(const options_t *self)
{
    for (size_t i = 0; i < self->site_count; i++) {
        const struct options_site *site = &self->site[i];
        if (strcmp(site->label, self->node.site) == 0 && site->anonymous != ANONYMOUS_UNSET)
            return site->anonymous;
    }
    return self->gateway.anonymous;
}
