#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/options.def"
#include "proto/buffer.h"

/* options - the settings of a process, from the table options.def.
 *
 * Sources, later ones win: the defaults, the INI file (with `include = path` relative to the
 * file), the environment: MILLRACE_<SECTION>_<KEY> for sections without a label, and
 * MILLRACE_<SECTION>_<KEY>_FILE for a value kept in a file. An unknown section or key, a value of
 * the wrong type or out of its range is an error that names file, line, key and rule.
 *
 * Sizes and times may have a suffix: 64k, 1m, 2g (powers of 1024) for bytes; nothing else.
 */

#define OPTIONS_TEXT(name, when, fallback, unit, text)             char *name;
#define OPTIONS_NUMBER(name, when, fallback, min, max, unit, text) uint64_t name;
#define OPTIONS_SWITCH(name, when, fallback, text)                 bool name;
#define OPTIONS_CHOICE(name, when, fallback, words, text)          unsigned name;
#define OPTIONS_SECTION(section, text)                                                             \
    struct options_##section {                                                                     \
        OPTIONS_##section(OPTIONS_TEXT, OPTIONS_NUMBER, OPTIONS_SWITCH, OPTIONS_CHOICE)            \
    };
/* Labelled sections also say where they began, for errors that are found later. */
#define OPTIONS_NAMED(section, text)                                                               \
    struct options_##section {                                                                     \
        char *label;                                                                               \
        char *where; /* "file:line" */                                                             \
        OPTIONS_##section(OPTIONS_TEXT, OPTIONS_NUMBER, OPTIONS_SWITCH, OPTIONS_CHOICE)            \
    };
#include "common/options.def"
#undef OPTIONS_SECTION
#undef OPTIONS_NAMED
#undef OPTIONS_TEXT
#undef OPTIONS_NUMBER
#undef OPTIONS_SWITCH
#undef OPTIONS_CHOICE

/* options->broker.admin_port, options->channel[i].seconds, options->channel_count ... */
typedef struct options {
#define OPTIONS_SECTION(section, text) struct options_##section section;
#define OPTIONS_NAMED(section, text)                                                               \
    struct options_##section *section;                                                             \
    size_t section##_count;
#include "common/options.def"
#undef OPTIONS_SECTION
#undef OPTIONS_NAMED
} options_t;

/* As the settings list their words. */
enum options_check_when { CHECK_SUBSCRIPTION, CHECK_MESSAGE };
enum options_store_engine { STORE_ENGINE_MEMORY, STORE_ENGINE_SQLITE };
enum options_anonymous { ANONYMOUS_UNSET, ANONYMOUS_YES, ANONYMOUS_NO };

/* Defaults, then `file` (NULL: none), then the environment `environ` (NULL-terminated "KEY=value"),
 * then all checks across keys: a keyless listener beyond loopback is refused with the file and the
 * line of its key (broker sockets; a gateway without an explicit `anonymous`), a bad endpoint or
 * address, two listeners on one port, names and labels that are no names.
 * A channel's unset retention keys take the values of [streams]; [store] path is absolute, or empty
 * where the engine is memory.
 * NULL on failure; *why then gets one line per error: "file:line: [section] key: rule". */
options_t *options_load(const char *file, char *const *environment, struct buffer *why);
void options_destroy(options_t **self_p);

/* The checks across keys once more, for options that options_exchange has changed. False: *why as
 * above. */
bool options_check_again(options_t *self, struct buffer *why);

/* Whether clients may connect without a token: the default site says it, or else [gateway]. */
enum options_anonymous options_anonymous(const options_t *self);

/* The effective settings as an INI file, each with its text and unit. */
void options_write(struct buffer *to, const options_t *self);
/* For --help: the keys of one section with defaults, ranges and texts. */
void options_write_help(struct buffer *to, const char *section);
/* docs/settings.md, whole. */
void options_write_reference(struct buffer *to);
