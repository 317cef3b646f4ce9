#include "common/policy.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/map.h"
#include "proto/json_text.h"

#define BLANKS   " \t"
#define TYPE(t)  (1u << SUBSCRIBER_##t)
#define EVERYONE (TYPE(VISITOR) | TYPE(MEMBER) | TYPE(ADMIN))

struct rule {
    unsigned allowed; /* one bit for each type of subscriber */
    size_t key_size;
    uint8_t key[ADDRESS_KEY_MAX]; /* the place, as place_key writes it */
    char label[];
};

struct site_entry {
    struct policy_site site;
    char name[];
};

struct policy {
    map_t *sites; /* struct site_entry by name */
    map_t *rules; /* struct rule by place */
};

static struct span site_name(const void *item)
{
    return span_text(((const struct site_entry *)item)->name);
}

static struct span rule_key(const void *item)
{
    const struct rule *rule = item;
    return span_of(rule->key, rule->key_size);
}

const char *permission_level_text(enum permission_level level)
{
    static const char *const texts[] = {
        [LEVEL_RESOURCE] = "resource", [LEVEL_CHANNEL] = "channel", [LEVEL_DEFAULT] = "default"};
    assert(level < LEVELS);
    return texts[level];
}

/* What a rule is about, as an address of which parts are left out: on the default level the
 * channel, on that of the channel the resource. An empty site stands for every one. */
static size_t place_key(struct span site, const struct address *address,
                        enum permission_level level, uint8_t out[ADDRESS_KEY_MAX])
{
    struct address place = {.view = VIEW_LIVE, .site = site, .app = address->app};
    if (level != LEVEL_DEFAULT)
        place.channel = address->channel;
    if (level == LEVEL_RESOURCE)
        place.resource = address->resource;
    return address_encode(&place, out);
}

/* --- reading a rule --- */

static bool is_empty(const char *text)
{
    return !text || text[strspn(text, BLANKS)] == '\0';
}

/* The types that a word stands for, 0 when it is none of ours. */
static unsigned types_of(struct span word)
{
    static const struct {
        const char *word;
        unsigned types;
    } words[] = {{"admin", TYPE(ADMIN)},
                 {"member", TYPE(MEMBER)},
                 {"visitor", TYPE(VISITOR)},
                 {"everyone", EVERYONE}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (span_is(word, words[i].word))
            return words[i].types;
    return 0;
}

static bool read_types(const char *key, const char *text, unsigned *out, struct buffer *why)
{
    if (!text)
        return true;
    for (text += strspn(text, BLANKS); *text; text += strspn(text, BLANKS)) {
        struct span word = span_of(text, strcspn(text, BLANKS));
        unsigned types = types_of(word);
        if (!types) {
            buffer_printf(why, "%s: there is no word ", key);
            json_text_echo(why, word);
            buffer_put_text(why, "; there are admin, member, visitor and everyone");
            return false;
        }
        *out |= types;
        text += word.size;
    }
    return true;
}

static bool read_allowed(const struct policy_rule *from, unsigned *out, struct buffer *why)
{
    unsigned allow = 0, deny = 0;
    if (is_empty(from->allow) && is_empty(from->deny)) {
        buffer_put_text(why, "says nothing: it needs allow or deny, such as allow = member admin");
        return false;
    }
    if (!read_types("allow", from->allow, &allow, why) ||
        !read_types("deny", from->deny, &deny, why))
        return false;
    *out = (is_empty(from->allow) ? EVERYONE : allow) & ~deny;
    return true;
}

static enum address_rule check_place(const struct address *place)
{
    if (place->channel.size)
        return address_check(place);
    return place->app.size && !address_is_id(place->app) ? ADDRESS_APP : ADDRESS_OK;
}

static bool read_place(const struct policy_rule *from, struct address *out, struct buffer *why)
{
    *out = (struct address){.view = VIEW_LIVE,
                            .site = span_text(from->site),
                            .app = span_text(from->app),
                            .channel = span_text(from->channel),
                            .resource = span_text(from->resource)};
    if (out->site.size && !address_is_id(out->site)) {
        buffer_put_text(why, "site: must be 1 to 64 letters, digits, '.', '_' or '-'");
        return false;
    }
    if (out->resource.size && !out->channel.size) {
        buffer_put_text(why, "resource: needs channel, the one that the resource is of");
        return false;
    }
    enum address_rule broken = check_place(out);
    if (broken)
        buffer_put_text(why, address_rule_text(broken));
    return broken == ADDRESS_OK;
}

static enum permission_level level_of(const struct address *place)
{
    if (place->resource.size)
        return LEVEL_RESOURCE;
    return place->channel.size ? LEVEL_CHANNEL : LEVEL_DEFAULT;
}

static struct rule *rule_new(const char *label, const struct address *place, unsigned allowed)
{
    size_t size = strlen(label) + 1;
    struct rule *self = malloc(sizeof *self + size);
    if (!self)
        return NULL;
    self->allowed = allowed;
    self->key_size = place_key(place->site, place, level_of(place), self->key);
    memcpy(self->label, label, size);
    return self;
}

bool policy_add(policy_t *self, const struct policy_rule *from, struct buffer *why)
{
    struct address place;
    unsigned allowed;
    if (!read_place(from, &place, why) || !read_allowed(from, &allowed, why))
        return false;
    struct rule *rule = rule_new(from->label, &place, allowed);
    if (!rule)
        return false;
    const struct rule *other = map_get(self->rules, rule_key(rule));
    if (other)
        buffer_printf(why, "is about the same site, app, channel and resource as [rule \"%s\"]",
                      other->label);
    if (!other && map_put(self->rules, rule))
        return true;
    free(rule);
    return false;
}

/* --- all of them --- */

static bool add_site(policy_t *self, const struct policy_site *from)
{
    size_t size = strlen(from->site) + 1;
    assert(!map_get(self->sites, span_text(from->site)));
    struct site_entry *entry = malloc(sizeof *entry + size);
    if (!entry)
        return false;
    memcpy(entry->name, from->site, size);
    entry->site = *from;
    entry->site.site = entry->name;
    if (map_put(self->sites, entry))
        return true;
    free(entry);
    return false;
}

policy_t *policy_new(const struct policy_settings *settings, size_t *index, struct buffer *why)
{
    policy_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->sites = map_new(site_name);
    self->rules = map_new(rule_key);
    if (!self->sites || !self->rules)
        goto fail;
    for (size_t i = 0; i < settings->site_count; i++)
        if (!add_site(self, &settings->sites[i]))
            goto fail;
    for (size_t i = 0; i < settings->rule_count; i++) {
        *index = i;
        if (!policy_add(self, &settings->rules[i], why))
            goto fail;
    }
    return self;

fail:
    policy_destroy(&self);
    return NULL;
}

static void free_item(void *item, void *arg)
{
    (void)arg;
    free(item);
}

static void destroy_items(map_t **map_p)
{
    if (*map_p)
        map_visit(*map_p, free_item, NULL);
    map_destroy(map_p);
}

void policy_destroy(policy_t **self_p)
{
    policy_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    destroy_items(&self->sites);
    destroy_items(&self->rules);
    free(self);
}

const struct policy_site *policy_site(const policy_t *self, struct span site)
{
    static const struct policy_site defaults = {.site = "", .unavailable = UNAVAILABLE_AUTO};
    const struct site_entry *entry = map_get(self->sites, site);
    return entry ? &entry->site : &defaults;
}

const rule_t *policy_find(const policy_t *self, const struct address *address,
                          enum permission_level level)
{
    if (map_count(self->rules) == 0 || (level == LEVEL_RESOURCE && address->resource.size == 0))
        return NULL;
    uint8_t key[ADDRESS_KEY_MAX];
    size_t size = place_key(address->site, address, level, key);
    const struct rule *rule = map_get(self->rules, span_of(key, size));
    if (rule)
        return rule;
    size = place_key(span_text(""), address, level, key);
    return map_get(self->rules, span_of(key, size));
}

bool rule_allows(const rule_t *rule, enum subscriber_type type)
{
    return rule->allowed >> type & 1;
}

const char *rule_label(const rule_t *rule)
{
    return rule->label;
}

/* --- comparing --- */

struct comparison {
    const policy_t *other;
    bool is_alike;
};

static void compare_rule(void *item, void *arg)
{
    struct comparison *comparison = arg;
    const struct rule *rule = item;
    const struct rule *other = map_get(comparison->other->rules, rule_key(rule));
    comparison->is_alike &= other && other->allowed == rule->allowed;
}

static void compare_site(void *item, void *arg)
{
    struct comparison *comparison = arg;
    const struct site_entry *entry = item;
    comparison->is_alike &= policy_site(comparison->other, site_name(entry))->require_handlers ==
                            entry->site.require_handlers;
}

bool policy_is_alike(const policy_t *a, const policy_t *b)
{
    struct comparison with_b = {b, map_count(a->rules) == map_count(b->rules)};
    struct comparison with_a = {a, true};
    map_visit(a->rules, compare_rule, &with_b);
    map_visit(a->sites, compare_site, &with_b);
    map_visit(b->sites, compare_site, &with_a);
    return with_a.is_alike && with_b.is_alike;
}
