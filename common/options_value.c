#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/address.h"
#include "common/endpoint.h"
#include "common/options_priv.h"
#include "proto/json_text.h"

#define TEXT_BYTES 1024

/* --- texts: what they may be depends on their unit --- */

static bool is_name(struct span text)
{
    return address_is_id(text);
}

static bool is_name_or_empty(struct span text)
{
    return text.size == 0 || address_is_id(text);
}

static bool is_endpoint_or_empty(struct span text)
{
    struct endpoint ignored;
    return text.size == 0 || endpoint_parse(text, &ignored);
}

/* Whether every word, separated by spaces, is valid. */
static bool all_words(struct span text, bool (*valid)(struct span word))
{
    size_t start = 0;
    for (size_t at = 0; at <= text.size; at++) {
        if (at < text.size && text.data[at] != ' ')
            continue;
        if (at > start && !valid(span_of(text.data + start, at - start)))
            return false;
        start = at + 1;
    }
    return true;
}

/* Whether `word` is one of `words`, which are separated by spaces. */
static bool is_among(struct span word, const char *words)
{
    for (; *words; words += strspn(words, " ")) {
        struct span at = span_of(words, strcspn(words, " "));
        if (span_equal(word, at))
            return true;
        words += at.size;
    }
    return false;
}

#define RIGHTS "publish history preview handle revoke"
#define TYPES  "admin member visitor everyone"

static bool is_right(struct span word)
{
    return is_among(word, RIGHTS);
}

static bool is_type(struct span word)
{
    return is_among(word, TYPES);
}

/* "*", "null" (what browsers send for files), or scheme://host[:port] and nothing behind it. */
static bool is_origin(struct span word)
{
    if (span_is(word, "*") || span_is(word, "null"))
        return true;
    const uint8_t *mark = memmem(word.data, word.size, "://", 3);
    if (!mark || mark == word.data)
        return false;
    struct span host = span_of(mark + 3, word.size - (size_t)(mark + 3 - word.data));
    for (size_t i = 0; i < word.size; i++) {
        if (word.data[i] <= ' ' || word.data[i] >= 0x7f || strchr("\"'<>;,?#@\\", word.data[i]))
            return false;
    }
    return host.size > 0 && !memchr(host.data, '/', host.size);
}

static bool are_origins(struct span text)
{
    return all_words(text, is_origin);
}

static bool are_apps(struct span text)
{
    return all_words(text, address_is_id);
}

static bool are_rights(struct span text)
{
    return all_words(text, is_right);
}

static bool are_types(struct span text)
{
    return all_words(text, is_type);
}

static bool is_channel_or_empty(struct span text)
{
    struct address address = {.view = VIEW_LIVE, .channel = text};
    return text.size == 0 || address_check(&address) == ADDRESS_OK;
}

/* With a ';' in front it could not be written down again: behind a blank that begins a comment. */
static bool is_resource_or_empty(struct span text)
{
    struct address address = {.view = VIEW_LIVE, .channel = span_text("c"), .resource = text};
    return text.size == 0 || (text.data[0] != ';' && address_check(&address) == ADDRESS_OK);
}

/* Something that a person typed and can see whole. */
static bool is_printable(struct span text)
{
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] < ' ' || text.data[i] == 0x7f)
            return false;
    return text.size <= TEXT_BYTES && utf8_valid(text, NULL);
}

static const struct text_unit {
    const char *unit;
    bool (*valid)(struct span text);
    const char *rule;
} text_units[] = {
    {"name", is_name, "1 to 64 letters, digits, '.', '_' or '-'"},
    {"site", is_name_or_empty, "1 to 64 letters, digits, '.', '_' or '-'"},
    {"endpoint", is_endpoint_or_empty, "tcp://ADDRESS:PORT or ipc://PATH"},
    {"address", endpoint_is_address, "an IPv4 or IPv6 address"},
    {"origins", are_origins, "origins such as https://example.com, separated by spaces, or *"},
    {"path", is_printable, "a path: at most 1024 bytes, none of them a control character"},
    {"text", is_printable, "a text: at most 1024 bytes, none of them a control character"},
    {"apps", are_apps, "app ids (letters, digits, '.', '_' or '-'), separated by spaces"},
    {"rights", are_rights, "words out of: " RIGHTS},
    {"app", is_name_or_empty, "1 to 64 letters, digits, '.', '_' or '-'"},
    {"channel", is_channel_or_empty,
     "a channel: letters, digits, '_' and '-', with an optional leading '@'"},
    {"resource", is_resource_or_empty,
     "a resource: at most 139 characters of UTF-8, the first of them no ';'"},
    {"types", are_types, "words out of: " TYPES},
};

static const struct text_unit *text_unit(const struct option *option)
{
    const struct text_unit *unit = text_units;
    while (strcmp(unit->unit, option->unit) != 0)
        unit++;
    return unit;
}

static bool parse_text(const struct option *option, const char *value, char **field)
{
    if (!text_unit(option)->valid(span_text(value)))
        return false;
    char *copy = strdup(value);
    if (!copy)
        return false;
    free(*field);
    *field = copy;
    return true;
}

/* --- the other types --- */

static bool is_size(const struct option *option)
{
    return strcmp(option->unit, "bytes") == 0;
}

/* The power of 1024 that the suffix stands for, as a shift; -1 for anything else. */
static int suffix_shift(const struct option *option, const char *suffix)
{
    if (suffix[0] == '\0')
        return 0;
    if (!is_size(option) || suffix[1] != '\0')
        return -1;
    switch (suffix[0]) {
    case 'k':
        return 10;
    case 'm':
        return 20;
    case 'g':
        return 30;
    default:
        return -1;
    }
}

static bool parse_number(const struct option *option, const char *value, uint64_t *field)
{
    uint64_t number = 0;
    const char *at = value;
    for (; *at >= '0' && *at <= '9'; at++) {
        if (__builtin_mul_overflow(number, UINT64_C(10), &number) ||
            __builtin_add_overflow(number, (uint64_t)(*at - '0'), &number))
            return false;
    }
    int shift = suffix_shift(option, at);
    if (at == value || shift < 0 || number > UINT64_MAX >> shift)
        return false;
    number <<= shift;
    if (number < option->min || number > option->max)
        return false;
    *field = number;
    return true;
}

static bool parse_switch(const char *value, bool *field)
{
    bool yes = strcmp(value, "yes") == 0;
    if (!yes && strcmp(value, "no") != 0)
        return false;
    *field = yes;
    return true;
}

/* The word at this place of a choice, empty behind the last one. */
static struct span word_at(const struct option *option, unsigned index)
{
    const char *at = option->words;
    for (; index > 0 && *at; index--) {
        at += strcspn(at, " ");
        at += strspn(at, " ");
    }
    return span_of(at, strcspn(at, " "));
}

static bool parse_choice(const struct option *option, const char *value, unsigned *field)
{
    for (unsigned i = 0; word_at(option, i).size > 0; i++) {
        if (span_is(word_at(option, i), value)) {
            *field = i;
            return true;
        }
    }
    return false;
}

bool option_parse(const struct option *option, const char *value, void *section_struct,
                  struct buffer *rule)
{
    void *field = (char *)section_struct + option->offset;
    bool valid = false;
    switch (option->type) {
    case OPTION_TEXT:
        valid = parse_text(option, value, field);
        break;
    case OPTION_NUMBER:
        valid = parse_number(option, value, field);
        break;
    case OPTION_SWITCH:
        valid = parse_switch(value, field);
        break;
    case OPTION_CHOICE:
        valid = parse_choice(option, value, field);
        break;
    }
    if (valid)
        return true;
    buffer_put_text(rule, "must be ");
    option_print_range(rule, option);
    return false;
}

void option_print(struct buffer *to, const struct option *option, const void *section_struct)
{
    const void *field = (const char *)section_struct + option->offset;
    switch (option->type) {
    case OPTION_TEXT:
        buffer_put_text(to, *(char *const *)field);
        break;
    case OPTION_NUMBER:
        buffer_put_u64_text(to, *(const uint64_t *)field);
        break;
    case OPTION_SWITCH:
        buffer_put_text(to, *(const bool *)field ? "yes" : "no");
        break;
    case OPTION_CHOICE:
        buffer_put_span(to, word_at(option, *(const unsigned *)field));
        break;
    }
}

void option_print_default(struct buffer *to, const struct option *option)
{
    switch (option->type) {
    case OPTION_TEXT:
        buffer_put_text(to, option->fallback[0] ? option->fallback : "empty");
        break;
    case OPTION_NUMBER:
        buffer_put_u64_text(to, option->number);
        break;
    case OPTION_SWITCH:
        buffer_put_text(to, option->number ? "yes" : "no");
        break;
    case OPTION_CHOICE:
        buffer_put_span(to, word_at(option, (unsigned)option->number));
        break;
    }
}

static void print_words(struct buffer *to, const struct option *option)
{
    for (unsigned i = 0; word_at(option, i).size > 0; i++) {
        bool last = word_at(option, i + 1).size == 0;
        if (i > 0)
            buffer_put_text(to, last ? " or " : ", ");
        buffer_put_span(to, word_at(option, i));
    }
}

void option_print_range(struct buffer *to, const struct option *option)
{
    switch (option->type) {
    case OPTION_TEXT:
        buffer_put_text(to, text_unit(option)->rule);
        break;
    case OPTION_NUMBER:
        buffer_printf(to, "a whole number, %" PRIu64 " to %" PRIu64 " (%s%s)", option->min,
                      option->max, option->unit,
                      is_size(option) ? "; k, m, g: times 1024, 1024^2, 1024^3" : "");
        break;
    case OPTION_SWITCH:
        buffer_put_text(to, "yes or no");
        break;
    case OPTION_CHOICE:
        print_words(to, option);
        break;
    }
}
