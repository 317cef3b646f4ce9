#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/options_priv.h"

#define LINE_BYTES  4096
#define FILE_BYTES  (1024 * 1024)
#define DEPTH_MAX   4
#define FILES_MAX   256
#define BLANKS      " \t\r\n\v\f"
#define NO_SECTION  UINT32_MAX /* before the first [section] */
#define BAD_SECTION (NO_SECTION - 1)

/* One file being read. inih splits key and value, but tells neither the number of a line nor the
 * start of a section, and it cuts section names at 49 bytes: next_line, which it takes its lines
 * from, looks after these. */
struct ini_file {
    struct options_load *load;
    const char *rest;
    struct option_place place; /* of the current line */
    unsigned depth;
    unsigned section; /* or NO_SECTION, BAD_SECTION */
    size_t instance;
};

static void read_file(struct options_load *load, const char *path, unsigned depth,
                      struct option_place from);

static int open_regular(const char *path, size_t max, size_t *size, const char **rule)
{
    /* Not blocking: opening a pipe would wait for its other end. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat about;
    if (fd < 0 || fstat(fd, &about) < 0)
        *rule = strerror(errno);
    else if (!S_ISREG(about.st_mode))
        *rule = "not a regular file";
    else if ((uintmax_t)about.st_size > max)
        *rule = "too large";
    else {
        *size = (size_t)about.st_size;
        return fd;
    }
    if (fd >= 0)
        close(fd);
    return -1;
}

char *options_read_text(const char *path, size_t max, const char **rule)
{
    size_t size = 0, got = 0;
    int fd = open_regular(path, max, &size, rule);
    if (fd < 0)
        return NULL;
    char *text = malloc(size + 1);
    ssize_t more = text ? 1 : -1;
    while (more > 0 && got < size) {
        more = read(fd, text + got, size - got);
        got += more > 0 ? (size_t)more : 0;
    }
    *rule = more < 0 ? strerror(errno) : NULL;
    close(fd);
    if (!*rule && memchr(text, 0, got))
        *rule = "it has a zero byte";
    if (*rule) {
        free(text);
        return NULL;
    }
    text[got] = '\0';
    return text;
}

/* --- sections --- */

static void begin_bad_section(struct ini_file *self, const char *rule)
{
    self->section = BAD_SECTION;
    options_complain(self->load, self->place, "%s", rule);
}

static void unknown_section(struct ini_file *self, const char *name, size_t size)
{
    struct buffer known = {0};
    for (unsigned i = 0; i < SECTION_COUNT; i++)
        buffer_printf(&known, "%s[%s%s]", i ? ", " : "", option_sections[i].name,
                      option_sections[i].named ? " \"...\"" : "");
    options_complain(self->load, self->place, "[%.*s]: unknown section; there are %.*s", (int)size,
                     name, SPAN_ARG(buffer_span(&known)));
    buffer_free(&known);
    self->section = BAD_SECTION;
}

static void begin_labelled(struct ini_file *self, unsigned section, const char *label)
{
    self->section = section;
    if (options_add(self->load, section, label, self->place))
        self->instance = option_instances(self->load->options, section) - 1;
    else
        self->section = BAD_SECTION;
}

/* `text` is what stands between the brackets: name or name "label". Writes into it. */
static void begin_section(struct ini_file *self, char *text)
{
    text += strspn(text, BLANKS);
    size_t size = strcspn(text, BLANKS "\"");
    unsigned section = 0;
    while (section < SECTION_COUNT && (strlen(option_sections[section].name) != size ||
                                       memcmp(option_sections[section].name, text, size) != 0))
        section++;
    if (section == SECTION_COUNT) {
        unknown_section(self, text, size);
        return;
    }

    char *label = text + size + strspn(text + size, BLANKS);
    char *end = *label == '"' ? strchr(label + 1, '"') : NULL;
    bool has_label = end && end[1 + strspn(end + 1, BLANKS)] == '\0';
    if (option_sections[section].named) {
        if (!has_label) {
            begin_bad_section(self, "this section needs a label: [name \"label\"]");
            return;
        }
        *end = '\0';
        begin_labelled(self, section, label + 1);
        return;
    }
    if (*label != '\0') {
        begin_bad_section(self, "this section takes no label: [name]");
        return;
    }
    self->section = section;
    self->instance = 0;
}

static void see_header(struct ini_file *self, const char *line)
{
    const char *end = strchr(line, ']');
    if (!end) {
        begin_bad_section(self, "a section ends with ']'");
        return;
    }
    const char *behind = end + 1 + strspn(end + 1, BLANKS);
    if (*behind != '\0' && *behind != ';' && *behind != '#') {
        begin_bad_section(self, "nothing may follow a section on its line");
        return;
    }
    char text[LINE_BYTES];
    size_t size = (size_t)(end - line) - 1;
    memcpy(text, line + 1, size);
    text[size] = '\0';
    begin_section(self, text);
}

/* --- lines --- */

static const char *line_start(const struct ini_file *self, const char *line)
{
    static const char mark[] = "\xef\xbb\xbf"; /* a byte order mark */
    if (self->place.line == 1 && strncmp(line, mark, 3) == 0)
        line += 3;
    return line + strspn(line, BLANKS);
}

/* inih's fgets. */
static char *next_line(char *to, int room, void *arg)
{
    struct ini_file *self = arg;
    size_t size = strcspn(self->rest, "\n");
    if (self->rest[0] == '\0')
        return NULL;
    self->place.line++;
    bool fits = size < (size_t)room;
    if (fits)
        memcpy(to, self->rest, size);
    to[fits ? size : 0] = '\0';
    self->rest += size + (self->rest[size] == '\n');

    if (!fits)
        options_complain(self->load, self->place, "the line is longer than %d bytes", room - 1);
    const char *start = line_start(self, to);
    if (*start == '[') {
        see_header(self, start);
        to[0] = '\0'; /* nothing is left for inih */
    }
    return to;
}

/* --- keys --- */

static void include(struct ini_file *self, const char *path)
{
    if (*path == '\0') {
        options_complain(self->load, self->place, "include: the path is empty");
        return;
    }
    const char *slash = strrchr(self->place.file, '/');
    struct buffer whole = {0};
    if (*path != '/' && slash)
        buffer_put(&whole, self->place.file, (size_t)(slash - self->place.file) + 1);
    buffer_put(&whole, path, strlen(path) + 1);
    if (whole.failed)
        options_complain(self->load, self->place, "out of memory");
    else
        read_file(self->load, (const char *)whole.data, self->depth + 1, self->place);
    buffer_free(&whole);
}

static void unknown_key(struct ini_file *self, const char *key)
{
    size_t count;
    const struct option *options = option_sections[self->section].options(&count);
    struct buffer known = {0};
    for (size_t i = 0; i < count; i++)
        buffer_printf(&known, "%s%s", i ? ", " : "", options[i].key);
    options_refuse(self->load, self->place, self->section, self->instance, key,
                   "unknown key; valid keys: %.*s", SPAN_ARG(buffer_span(&known)));
    buffer_free(&known);
}

/* inih's handler of one key. Always 1, "no error": errors are reported here. */
static int take_key(void *arg, const char *ignored, const char *key, const char *value)
{
    struct ini_file *self = arg;
    (void)ignored;
    if (self->section == BAD_SECTION)
        return 1;
    if (self->section == NO_SECTION) {
        if (strcmp(key, "include") == 0)
            include(self, value);
        else
            options_complain(self->load, self->place,
                             "%s: before the first [section] only include = PATH is allowed", key);
        return 1;
    }
    const struct option *option = option_find(self->section, key);
    if (option)
        options_assign(self->load, self->section, self->instance, option, value, self->place);
    else
        unknown_key(self, key);
    return 1;
}

static void parse(struct ini_file *self)
{
    /* The library's switches are global: whole lines, each a key of its own. */
    ini_use_stack = false;
    ini_max_line = ini_initial_alloc = LINE_BYTES;
    ini_allow_multiline = false;
    int bad_line = ini_parse_stream(next_line, self, take_key, self);
    if (bad_line < 0)
        options_complain(self->load, self->place, "out of memory");
    self->place.line = (unsigned)bad_line;
    if (bad_line > 0)
        options_complain(self->load, self->place,
                         "neither a [section], nor key = value, nor a comment");
}

static void read_file(struct options_load *load, const char *path, unsigned depth,
                      struct option_place from)
{
    if (depth > DEPTH_MAX) {
        options_complain(load, from, "include: files may include files %d deep", DEPTH_MAX);
        return;
    }
    if (++load->files > FILES_MAX) {
        options_complain(load, from, "include: more than %d files", FILES_MAX);
        return;
    }
    const char *kept = options_keep(load, path), *rule = NULL;
    char *text = kept ? options_read_text(kept, FILE_BYTES, &rule) : NULL;
    if (text) {
        struct ini_file file = {.load = load,
                                .rest = text,
                                .place = {.file = kept},
                                .depth = depth,
                                .section = NO_SECTION};
        parse(&file);
        free(text);
    } else if (kept) {
        options_complain(load, from, "%s cannot be read: %s", kept, rule);
    }
}

void options_read_file(struct options_load *self, const char *path)
{
    read_file(self, path, 0, (struct option_place){0});
}
