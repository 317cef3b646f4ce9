#pragma once
#include "common/options.h"

/* What the parts of `options` share: the table as data, and a load in progress. */

enum option_type { OPTION_TEXT, OPTION_NUMBER, OPTION_SWITCH, OPTION_CHOICE };

/* When a change of the files counts in a process that runs. */
enum option_when { OPTION_LIVE, OPTION_NEW, OPTION_RESTART };

struct option {
    const char *key;
    enum option_type type;
    enum option_when when;
    size_t offset;             /* of the field in the section's struct */
    const char *fallback;      /* TEXT */
    uint64_t number, min, max; /* the fallback of all other types; NUMBER */
    const char *unit;          /* TEXT, NUMBER */
    const char *words;         /* CHOICE */
    const char *text;
};

struct option_section {
    const char *name, *text;
    bool named;          /* its structs begin with struct option_label */
    size_t size;         /* of the section's struct */
    size_t offset;       /* in options_t: of the struct; named: of the pointer to the array */
    size_t count_offset; /* named: of their number */
    const struct option *(*options)(size_t *count);
};

struct option_label {
    char *label, *where;
};

enum {
#define OPTIONS_SECTION(section, text) SECTION_##section,
#define OPTIONS_NAMED(section, text)   SECTION_##section,
#include "common/options.def"
#undef OPTIONS_SECTION
#undef OPTIONS_NAMED
    SECTION_COUNT
};

/* options_table.c */
extern const struct option_section option_sections[SECTION_COUNT];

/* The structs of a section in these options: 1, or as many as there are labels. */
size_t option_instances(const options_t *options, unsigned section);
void *option_instance(const options_t *options, unsigned section, size_t instance);
/* NULL when the section has no such key. */
const struct option *option_find(unsigned section, const char *key);
/* The key of another section whose value this one takes while it is not set, or NULL. */
const struct option *option_inherits(unsigned section, const struct option *option);

/* Where a value came from. file NULL: it is the default; line 0: the environment variable `file`.
 */
struct option_place {
    const char *file;
    unsigned line;
};

struct options_load {
    options_t *options;
    struct option_place *places[SECTION_COUNT]; /* of every key, instance after instance */
    struct options_name *names;                 /* the strings that the places point to */
    struct buffer *why;
    const char *unplaced; /* stands in messages for the place of a value that has none */
    unsigned errors, files;
};

/* options.c */

/* Keeps a copy until the load is over. NULL when memory is exhausted (and said so). */
const char *options_keep(struct options_load *self, const char *text);
/* One error line: "place: [section "label"] key: rule". key may be NULL. */
void options_refuse(struct options_load *self, struct option_place place, unsigned section,
                    size_t instance, const char *key, const char *format, ...)
    __attribute__((format(printf, 6, 7)));
/* An error about no section in particular. A place without a file is not printed. */
void options_complain(struct options_load *self, struct option_place place, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
struct option_place *options_place(const struct options_load *self, unsigned section,
                                   size_t instance, const struct option *option);
/* Adds "[section "label"]" with its defaults; errors are reported. */
bool options_add(struct options_load *self, unsigned section, const char *label,
                 struct option_place place);
/* Sets one value; errors are reported. */
void options_assign(struct options_load *self, unsigned section, size_t instance,
                    const struct option *option, const char *value, struct option_place place);

/* options_value.c */

/* False, and the field is as it was: *rule then gets what a valid value looks like. */
bool option_parse(const struct option *option, const char *value, void *section_struct,
                  struct buffer *rule);
/* The value as option_parse takes it. */
void option_print(struct buffer *to, const struct option *option, const void *section_struct);
/* The default, for people: an empty text is called that. */
void option_print_default(struct buffer *to, const struct option *option);
/* "yes or no", "a whole number, 1 to 3600 (s)", "an IPv4 or IPv6 address" ... */
void option_print_range(struct buffer *to, const struct option *option);

/* options_file.c, options_environment.c, options_path.c, options_check.c */
void options_read_file(struct options_load *self, const char *path);
/* A whole small file in memory, zero-terminated, to be freed; NULL and *rule on failure. Regular
 * files without zero bytes only. */
char *options_read_text(const char *path, size_t max, const char **rule);
void options_read_environment(struct options_load *self, char *const *environment);
/* [store] path as it is to be opened; `file` as for options_load. */
void options_resolve_store(struct options_load *self, const char *file);
void options_check(struct options_load *self);
