#include "common/options_priv.h"

#include <string.h>

/* --- the effective settings --- */

static void write_value(struct buffer *to, const struct option *option, const void *values)
{
    buffer_printf(to, "# %s; ", option->text);
    option_print_range(to, option);
    buffer_printf(to, "\n%s = ", option->key);
    option_print(to, option, values);
    buffer_put_byte(to, '\n');
}

static void write_instance(struct buffer *to, const struct option_section *section,
                           const void *values)
{
    buffer_printf(to, "# %s\n[%s", section->text, section->name);
    if (section->named)
        buffer_printf(to, " \"%s\"", ((const struct option_label *)values)->label);
    buffer_put_text(to, "]\n");
    size_t count;
    const struct option *options = section->options(&count);
    for (size_t i = 0; i < count; i++)
        write_value(to, &options[i], values);
}

void options_write(struct buffer *to, const options_t *self)
{
    for (unsigned section = 0; section < SECTION_COUNT; section++) {
        for (size_t i = 0; i < option_instances(self, section); i++) {
            if (section > 0 || i > 0)
                buffer_put_byte(to, '\n');
            write_instance(to, &option_sections[section], option_instance(self, section, i));
        }
    }
}

/* --- the table itself --- */

static void write_default(struct buffer *to, unsigned section, const struct option *option)
{
    if (option_inherits(section, option))
        buffer_printf(to, "that of [streams] %s", option->key);
    else
        option_print_default(to, option);
}

static unsigned find_section(const char *name)
{
    unsigned section = 0;
    while (section < SECTION_COUNT && strcmp(option_sections[section].name, name) != 0)
        section++;
    return section;
}

void options_write_help(struct buffer *to, const char *name)
{
    unsigned section = find_section(name);
    if (section == SECTION_COUNT)
        return;
    size_t count;
    const struct option *options = option_sections[section].options(&count);
    for (size_t i = 0; i < count; i++) {
        buffer_printf(to, "  %s = ", options[i].key);
        write_default(to, section, &options[i]);
        buffer_printf(to, "\n      %s\n      ", options[i].text);
        option_print_range(to, &options[i]);
        buffer_put_byte(to, '\n');
    }
}

/* Inside a Markdown table '|' would end the cell. */
static void put_cell(struct buffer *to, const char *text)
{
    for (; *text; text++) {
        if (*text == '|')
            buffer_put_byte(to, '\\');
        buffer_put_byte(to, (uint8_t)*text);
    }
}

static const char *when_text(enum option_when when)
{
    static const char *const texts[] = {
        [OPTION_LIVE] = "at once", [OPTION_NEW] = "for what is new", [OPTION_RESTART] = "restart"};
    return texts[when];
}

static void write_reference_section(struct buffer *to, unsigned section)
{
    const struct option_section *at = &option_sections[section];
    buffer_printf(to, "\n## `[%s%s]`\n\n%c%s.\n\n", at->name, at->named ? " \"LABEL\"" : "",
                  at->text[0] >= 'a' && at->text[0] <= 'z' ? at->text[0] - 'a' + 'A' : at->text[0],
                  at->text + 1);
    buffer_put_text(
        to, "| key | default | meaning | valid | a change |\n| --- | --- | --- | --- | --- |\n");
    size_t count;
    const struct option *options = at->options(&count);
    for (size_t i = 0; i < count; i++) {
        buffer_printf(to, "| `%s` | ", options[i].key);
        write_default(to, section, &options[i]);
        buffer_put_text(to, " | ");
        put_cell(to, options[i].text);
        buffer_put_text(to, " | ");
        option_print_range(to, &options[i]);
        buffer_printf(to, " | %s |\n", when_text(options[i].when));
    }
}

void options_write_reference(struct buffer *to)
{
    buffer_put_text(
        to,
        "# Settings\n\n"
        "One INI file for all processes of a node; each reads its own sections. Nothing has to be\n"
        "set. Later sources win: the defaults below, the file, the environment.\n\n"
        "- `key = value` under its `[section]`; `#` or `;` at the start of a line is a comment.\n"
        "- `include = PATH` before the first section reads another file there; the path is\n"
        "  relative to the file that includes, at most four files deep.\n"
        "- `MILLRACE_SECTION_KEY` in the environment sets a key of a section without a label, for\n"
        "  example `MILLRACE_BROKER_ADMIN_PORT=7480`; `MILLRACE_SECTION_KEY_FILE` names a file\n"
        "  whose first line is the value.\n"
        "- An unknown section or key, a key that is set twice, a value of the wrong type or out "
        "of\n"
        "  its range: the process refuses to start and names the file and the line.\n"
        "- `millrace check-config FILE` checks a file and prints the settings in effect.\n"
        "- On SIGHUP a process reads its files again "
        "([more](operations.md#other-settings-without-a-restart)). The last column says\n"
        "  when a change counts: `at once`, also for connections and addresses that are there; "
        "`for\n"
        "  what is new`, such as connections that begin afterwards; `restart`, not before.\n");
    for (unsigned section = 0; section < SECTION_COUNT; section++)
        write_reference_section(to, section);
}
