#include "common/site_keys.h"

#include <stdlib.h>
#include <string.h>

struct entry {
    struct site site;
    char *name, *issuer, *audience; /* what the site's members point to */
    key_set_t *keys;
};

struct site_keys {
    struct entry **entries; /* pointers: what was handed out stays where it is */
    size_t entry_count;
    struct site_key *keys;
    size_t key_count;
};

site_keys_t *site_keys_new(void)
{
    return calloc(1, sizeof(site_keys_t));
}

static void entry_destroy(struct entry **entry_p)
{
    struct entry *entry = *entry_p;
    *entry_p = NULL;
    if (!entry)
        return;
    key_set_destroy(&entry->keys);
    free(entry->name);
    free(entry->issuer);
    free(entry->audience);
    free(entry);
}

void site_keys_destroy(site_keys_t **self_p)
{
    site_keys_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    for (size_t i = 0; i < self->entry_count; i++)
        entry_destroy(&self->entries[i]);
    free(self->entries);
    free(self->keys);
    free(self);
}

static struct entry *entry_new(const struct site *site)
{
    struct entry *entry = calloc(1, sizeof *entry);
    if (!entry)
        return NULL;
    entry->name = strndup((const char *)site->name.data, site->name.size);
    entry->issuer = strdup(site->issuer);
    entry->audience = strdup(site->audience);
    entry->site = *site;
    entry->site.name = span_text(entry->name);
    entry->site.issuer = entry->issuer;
    entry->site.audience = entry->audience;
    if (!entry->name || !entry->issuer || !entry->audience)
        entry_destroy(&entry);
    return entry;
}

/* Why this key may not be there besides the others, or NULL. */
static const char *clash(const site_keys_t *self, const struct key *key, struct span *other)
{
    for (size_t i = 0; i < self->key_count; i++) {
        *other = self->keys[i].site->name;
        if (strcmp(self->keys[i].key->kid, key->kid) == 0)
            return "its `kid` is taken by";
        if (span_equal(buffer_span(&self->keys[i].key->material), buffer_span(&key->material)))
            return "it is also a key of";
    }
    return NULL;
}

bool site_keys_add(site_keys_t *self, const struct site *site, key_set_t **keys_p,
                   struct buffer *why)
{
    size_t count = key_set_count(*keys_p);
    for (size_t i = 0; i < count; i++) {
        const struct key *key = key_set_at(*keys_p, i);
        struct span other;
        const char *rule = clash(self, key, &other);
        if (rule) {
            buffer_printf(why, "key %zu (kid \"%s\"): %s [site \"%.*s\"]", i + 1, key->kid, rule,
                          SPAN_ARG(other));
            return false;
        }
    }
    struct entry *entry = entry_new(site);
    struct entry **entries =
        reallocarray(self->entries, self->entry_count + 1, sizeof *self->entries);
    if (entries)
        self->entries = entries;
    struct site_key *keys = reallocarray(self->keys, self->key_count + count, sizeof *self->keys);
    if (keys)
        self->keys = keys;
    if (!entry || !entries || !keys) {
        entry_destroy(&entry);
        buffer_put_text(why, "out of memory");
        return false;
    }
    entry->keys = *keys_p;
    *keys_p = NULL;
    self->entries[self->entry_count++] = entry;
    for (size_t i = 0; i < count; i++)
        self->keys[self->key_count++] =
            (struct site_key){.site = &entry->site, .key = key_set_at(entry->keys, i)};
    return true;
}

size_t site_keys_count(const site_keys_t *self)
{
    return self->key_count;
}

bool site_keys_find(const site_keys_t *self, struct span kid, struct site_key *out)
{
    if (kid.size == 0) {
        if (self->key_count == 1)
            *out = self->keys[0];
        return self->key_count == 1;
    }
    for (size_t i = 0; i < self->key_count; i++) {
        if (span_is(kid, self->keys[i].key->kid)) {
            *out = self->keys[i];
            return true;
        }
    }
    return false;
}

/* --- comparing --- */

static bool has(const site_keys_t *self, const struct site_key *key)
{
    struct site_key found;
    return key->key->kid[0] && site_keys_find(self, span_text(key->key->kid), &found) &&
           span_equal(found.site->name, key->site->name) &&
           found.key->algorithm == key->key->algorithm &&
           span_equal(buffer_span(&found.key->material), buffer_span(&key->key->material));
}

static void tell_missing(const site_keys_t *self, const site_keys_t *from, bool is_added,
                         site_keys_differ_fn *differ, void *arg)
{
    for (size_t i = 0; i < from->key_count; i++) {
        if (!has(self, &from->keys[i]))
            differ(arg, &from->keys[i], is_added);
    }
}

void site_keys_compare(const site_keys_t *before, const site_keys_t *after,
                       site_keys_differ_fn *differ, void *arg)
{
    tell_missing(after, before, false, differ, arg);
    tell_missing(before, after, true, differ, arg);
}

/* --- from the settings --- */

/* `path`, relative to the folder of `where` ("file:line"). */
static void put_path(struct buffer *to, const char *where, const char *path)
{
    const char *slash = path[0] == '/' ? NULL : strrchr(where, '/');
    if (slash)
        buffer_put(to, where, (size_t)(slash + 1 - where));
    buffer_put_text(to, path);
    buffer_put_byte(to, '\0');
}

static void load_site(site_keys_t *self, const struct options_site *options, struct buffer *why)
{
    struct buffer path = {0}, rule = {0};
    put_path(&path, options->where, options->keys);
    struct site site = {
        .name = span_text(options->label),
        .issuer = options->issuer,
        .audience = options->audience,
        .require_exp = options->require_exp,
        .anonymous = options->anonymous != ANONYMOUS_NO,
    };
    key_set_t *keys = NULL;
    if (path.failed)
        buffer_put_text(&rule, "out of memory");
    else
        keys = key_set_load((const char *)path.data, KEYS_TO_VERIFY, &rule);
    if (!keys || !site_keys_add(self, &site, &keys, &rule)) {
        buffer_printf(why, "%s: [site \"%s\"] keys: %s: %.*s\n", options->where, options->label,
                      path.failed ? "" : (const char *)path.data, SPAN_ARG(buffer_span(&rule)));
    }
    key_set_destroy(&keys);
    buffer_free(&path);
    buffer_free(&rule);
}

site_keys_t *site_keys_load(const options_t *options, struct buffer *why)
{
    site_keys_t *self = site_keys_new();
    if (!self) {
        buffer_put_text(why, "out of memory");
        return NULL;
    }
    for (size_t i = 0; i < options->site_count; i++)
        if (options->site[i].keys[0])
            load_site(self, &options->site[i], why);
    if (why->size > 0 || why->failed)
        site_keys_destroy(&self);
    return self;
}
