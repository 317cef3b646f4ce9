#include <stdlib.h>
#include <string.h>

#include "common/options_priv.h"

#define VALUE_BYTES 65536

/* The value of a variable, or NULL. */
static const char *find(char *const *environment, const char *name)
{
    size_t size = strlen(name);
    for (; *environment; environment++) {
        if (strncmp(*environment, name, size) == 0 && (*environment)[size] == '=')
            return *environment + size + 1;
    }
    return NULL;
}

static void put_upper(struct buffer *to, const char *text)
{
    for (; *text; text++)
        buffer_put_byte(to, (uint8_t)(*text >= 'a' && *text <= 'z' ? *text - 'a' + 'A' : *text));
}

/* MILLRACE_<SECTION>_<KEY><suffix>, with its zero. */
static const char *variable(struct buffer *to, const char *section, const char *key,
                            const char *suffix)
{
    buffer_reset(to);
    buffer_put_text(to, "MILLRACE_");
    put_upper(to, section);
    buffer_put_byte(to, '_');
    put_upper(to, key);
    buffer_put_text(to, suffix);
    buffer_put_byte(to, '\0');
    return to->failed ? NULL : (const char *)to->data;
}

static void assign_file(struct options_load *self, unsigned section, const struct option *option,
                        const char *path, struct option_place place)
{
    const char *rule = NULL;
    char *text = options_read_text(path, VALUE_BYTES, &rule);
    if (!text) {
        options_complain(self, place, "%s cannot be read: %s", path, rule);
        return;
    }
    text[strcspn(text, "\r\n")] = '\0';
    options_assign(self, section, 0, option, text, place);
    free(text);
}

static void read_variable(struct options_load *self, char *const *environment, unsigned section,
                          const struct option *option, struct buffer *name)
{
    const char *text = variable(name, option_sections[section].name, option->key, "");
    const char *value = text ? find(environment, text) : NULL;
    const char *kept = value ? options_keep(self, text) : NULL;
    struct option_place place = {.file = kept};
    if (kept)
        options_assign(self, section, 0, option, value, place);

    text = variable(name, option_sections[section].name, option->key, "_FILE");
    const char *path = text ? find(environment, text) : NULL;
    if (path && value) {
        options_complain(self, place, "set, and also %s: only one of them may be", text);
        return;
    }
    place.file = path ? options_keep(self, text) : NULL;
    if (place.file)
        assign_file(self, section, option, path, place);
}

/* Looks up the names that exist rather than refusing those that do not: container platforms put
 * variables such as MILLRACE_BROKER_PORT there by themselves. */
void options_read_environment(struct options_load *self, char *const *environment)
{
    struct buffer name = {0};
    for (unsigned section = 0; section < SECTION_COUNT; section++) {
        size_t count = 0;
        const struct option *options = option_sections[section].options(&count);
        for (size_t i = 0; i < count && !option_sections[section].named; i++)
            read_variable(self, environment, section, &options[i], &name);
    }
    if (name.failed)
        options_complain(self, (struct option_place){0}, "out of memory");
    buffer_free(&name);
}
