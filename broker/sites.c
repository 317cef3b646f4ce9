#include "broker/sites.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "proto/json_text.h"

struct principal {
    char *site;
    char *apps;
    unsigned rights;
};

struct sites {
    size_t count;
    struct principal principals[];
};

static const struct {
    const char *word;
    enum site_right right;
    const char *deed; /* that an endpoint without it may not do */
} rights[] = {{"publish", SITE_PUBLISH, "publish"},
              {"history", SITE_HISTORY, "read history"},
              {"preview", SITE_PREVIEW, "act in preview"},
              {"handle", SITE_HANDLE, "handle permissions"},
              {"revoke", SITE_REVOKE, "revoke permissions"}};

static const char *deed_of(enum site_right right)
{
    size_t i = 0;
    while (rights[i].right != right)
        i++;
    return rights[i].deed;
}

/* Takes the next word off *text. False at the end. */
static bool next_word(const char **text, struct span *word)
{
    const char *start = *text + strspn(*text, " \t");
    size_t size = strcspn(start, " \t");
    *word = span_of(start, size);
    *text = start + size;
    return size > 0;
}

static bool read_rights(const char *text, unsigned *out, struct buffer *why)
{
    struct span word;
    while (next_word(&text, &word)) {
        unsigned right = 0;
        for (size_t i = 0; i < sizeof rights / sizeof *rights; i++)
            if (span_is(word, rights[i].word))
                right = rights[i].right;
        if (!right) {
            buffer_put_text(why, "may: there is no right ");
            json_text_echo(why, word);
            return false;
        }
        *out |= right;
    }
    return true;
}

static bool check_apps(const char *text, struct buffer *why)
{
    struct span word;
    while (next_word(&text, &word)) {
        if (address_is_id(word))
            continue;
        buffer_put_text(why, "apps: no app id: ");
        json_text_echo(why, word);
        return false;
    }
    return true;
}

static bool read_principal(struct principal *self, const struct sites_principal *from,
                           struct buffer *why)
{
    self->site = strdup(from->site);
    self->apps = strdup(from->apps);
    return self->site && self->apps && check_apps(from->apps, why) &&
           read_rights(from->may, &self->rights, why);
}

sites_t *sites_new(const struct sites_principal *principals, size_t count, size_t *index,
                   struct buffer *why)
{
    sites_t *self = calloc(1, sizeof *self + count * sizeof *self->principals);
    if (!self)
        return NULL;
    self->count = count;
    for (size_t i = 0; i < count; i++) {
        *index = i;
        if (!read_principal(&self->principals[i], &principals[i], why)) {
            sites_destroy(&self);
            return NULL;
        }
    }
    return self;
}

void sites_destroy(sites_t **self_p)
{
    sites_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    for (size_t i = 0; i < self->count; i++) {
        free(self->principals[i].site);
        free(self->principals[i].apps);
    }
    free(self);
}

static bool has_app(const struct principal *principal, struct span app)
{
    const char *rest = principal->apps;
    struct span word;
    while (next_word(&rest, &word))
        if (span_equal(word, app))
            return true;
    return false;
}

static enum status check_rights(const struct principal *principal, enum site_right right,
                                const struct backend_target *target, struct buffer *why)
{
    if (!(principal->rights & right)) {
        buffer_printf(why, "op: this endpoint may not %s", deed_of(right));
        return STATUS_FORBIDDEN;
    }
    if (target->has_site && !span_is(target->site, principal->site)) {
        buffer_printf(why, "site: this endpoint acts for \"%s\" only", principal->site);
        return STATUS_FORBIDDEN;
    }
    if (target->preview && !(principal->rights & SITE_PREVIEW)) {
        buffer_put_text(why, "view: this endpoint may not act in preview");
        return STATUS_FORBIDDEN;
    }
    return STATUS_OK;
}

static enum status check_app(const struct principal *principal, struct span app, struct buffer *why)
{
    if (app.size == 0 || has_app(principal, app))
        return STATUS_OK;
    buffer_printf(why, "app: this endpoint does not act for \"%.*s\"", SPAN_ARG(app));
    return STATUS_FORBIDDEN;
}

static enum status begin(const sites_t *self, size_t endpoint, enum site_right right,
                         const struct backend_target *target, struct address *out,
                         struct buffer *why)
{
    assert(endpoint < self->count);
    const struct principal *principal = &self->principals[endpoint];
    *out = (struct address){.view = target->preview ? VIEW_PREVIEW : VIEW_LIVE,
                            .site = span_text(principal->site),
                            .app = target->app,
                            .channel = target->channel,
                            .resource = target->resource};
    return check_rights(principal, right, target, why);
}

bool sites_acts_for(const sites_t *self, size_t endpoint, struct span app)
{
    assert(endpoint < self->count);
    return app.size == 0 || has_app(&self->principals[endpoint], app);
}

enum status sites_scope(const sites_t *self, size_t endpoint, enum site_right right,
                        const struct backend_target *target, struct address *out,
                        struct buffer *why)
{
    enum status status = begin(self, endpoint, right, target, out, why);
    if (!status && target->app.size && !address_is_id(target->app)) {
        buffer_put_text(why, address_rule_text(ADDRESS_APP));
        status = STATUS_BAD_INPUT;
    }
    return status ? status : check_app(&self->principals[endpoint], target->app, why);
}

enum status sites_resolve(const sites_t *self, size_t endpoint, enum site_right right,
                          const struct backend_target *target, struct address *out,
                          struct buffer *why)
{
    enum status status = begin(self, endpoint, right, target, out, why);
    if (status)
        return status;
    enum address_rule rule = address_check(out);
    if (rule) {
        buffer_put_text(why, address_rule_text(rule));
        return STATUS_BAD_INPUT;
    }
    return check_app(&self->principals[endpoint], out->app, why);
}
