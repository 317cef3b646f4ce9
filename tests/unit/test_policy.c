#include "common/policy.h"
#include "unit.h"

static policy_t *policy;
static struct buffer why;

static void teardown(void)
{
    policy_destroy(&policy);
    buffer_free(&why);
}

static void make(const struct policy_rule *rules, size_t count)
{
    struct policy_settings settings = {.rules = rules, .rule_count = count};
    size_t index = 0;
    policy = policy_new(&settings, &index, &why);
    ck_assert_msg(policy, "rule %zu: %.*s", index, SPAN_ARG(buffer_span(&why)));
}

static struct address address(const char *site, const char *app, const char *channel,
                              const char *resource)
{
    return (struct address){.view = VIEW_LIVE,
                            .site = span_text(site),
                            .app = span_text(app),
                            .channel = span_text(channel),
                            .resource = span_text(resource)};
}

/* The label that is found on this level, "-" when there is none. */
static const char *found(struct address at, enum permission_level level)
{
    const rule_t *rule = policy_find(policy, &at, level);
    return rule ? rule_label(rule) : "-";
}

static void expect(struct address at, const char *resource, const char *channel,
                   const char *fallback)
{
    ck_assert_str_eq(found(at, LEVEL_RESOURCE), resource);
    ck_assert_str_eq(found(at, LEVEL_CHANNEL), channel);
    ck_assert_str_eq(found(at, LEVEL_DEFAULT), fallback);
}

START_TEST(without_rules_nothing_is_found)
{
    make(NULL, 0);
    expect(address("acme", "", "chat", "a"), "-", "-", "-");
}
END_TEST

static const struct lookup {
    struct policy_rule rules[7]; /* up to one without a label */
    struct place {
        const char *site, *app, *channel, *resource;
        /* The labels on the levels of the resource, of the channel and of all else. */
        const char *found[3];
    } places[6]; /* up to one without a site */
} lookups[] = {
    /* each level has its own rule */
    {{
         {.label = "room", .channel = "chat", .resource = "a", .allow = "member"},
         {.label = "chat", .channel = "chat", .allow = "member"},
         {.label = "all", .allow = "member"},
     },
     {
         {"acme", "", "chat", "a", {"room", "chat", "all"}},
         {"acme", "", "chat", "b", {"-", "chat", "all"}},
         {"acme", "", "chat", "", {"-", "chat", "all"}},
         {"acme", "", "news", "a", {"-", "-", "all"}},
     }},
    /* a rule of the site comes before one for every site */
    {{
         {.label = "any-room", .channel = "chat", .resource = "a", .allow = "admin"},
         {.label = "any-chat", .channel = "chat", .allow = "admin"},
         {.label = "any", .allow = "admin"},
         {.label = "room", .site = "acme", .channel = "chat", .resource = "a", .allow = "admin"},
         {.label = "chat", .site = "acme", .channel = "chat", .allow = "admin"},
         {.label = "all", .site = "acme", .allow = "admin"},
     },
     {
         {"acme", "", "chat", "a", {"room", "chat", "all"}},
         {"other", "", "chat", "a", {"any-room", "any-chat", "any"}},
         {"acme", "", "news", "", {"-", "-", "all"}},
         {"other", "", "news", "", {"-", "-", "any"}},
     }},
    /* the level comes before the site */
    {{
         {.label = "any-room", .channel = "chat", .resource = "a", .allow = "admin"},
         {.label = "chat", .site = "acme", .channel = "chat", .allow = "admin"},
     },
     {
         {"acme", "", "chat", "a", {"any-room", "chat", "-"}},
     }},
    /* a rule is about the site or about one app */
    {{
         {.label = "site-chat", .channel = "chat", .allow = "admin"},
         {.label = "site", .allow = "admin"},
         {.label = "app-chat", .app = "quotes", .channel = "chat", .allow = "admin"},
         {.label = "app", .app = "quotes", .site = "acme", .allow = "admin"},
     },
     {
         {"acme", "", "chat", "", {"-", "site-chat", "site"}},
         {"acme", "quotes", "chat", "", {"-", "app-chat", "app"}},
         {"other", "quotes", "chat", "", {"-", "app-chat", "-"}},
         {"acme", "weather", "chat", "", {"-", "-", "-"}},
     }},
    /* parts are not confused with one another */
    {{
         {.label = "one", .channel = "ab", .resource = "c", .allow = "admin"},
         {.label = "two", .app = "c", .channel = "ab", .allow = "admin"},
         {.label = "three", .site = "ab", .app = "c", .allow = "admin"},
     },
     {
         {"s", "", "a", "bc", {"-", "-", "-"}},
         {"s", "", "ab", "c", {"one", "-", "-"}},
         {"s", "c", "ab", "", {"-", "two", "-"}},
         {"ab", "c", "x", "", {"-", "-", "three"}},
         {"ab", "", "c", "", {"-", "-", "-"}},
     }},
};

START_TEST(the_rule_of_the_level_is_found)
{
    const struct lookup *lookup = &lookups[_i];
    size_t count = 0;
    while (lookup->rules[count].label)
        count++;
    make(lookup->rules, count);
    for (const struct place *at = lookup->places; at->site; at++)
        expect(address(at->site, at->app, at->channel, at->resource), at->found[0], at->found[1],
               at->found[2]);
}
END_TEST

START_TEST(who_is_allowed)
{
    static const struct {
        const char *allow, *deny;
        bool visitor, member, admin;
    } cases[] = {
        {"admin", "", false, false, true},
        {"member", "", false, true, false},
        {"visitor", "", true, false, false},
        {"everyone", "", true, true, true},
        {"admin member", "", false, true, true},
        {" \tmember\t admin  ", "", false, true, true},
        {"", "visitor", false, true, true},
        {"", "visitor member", false, false, true},
        {"", "everyone", false, false, false},
        {"everyone", "visitor", false, true, true},
        {"member", "member", false, false, false},
        {"admin member", "everyone", false, false, false},
        {"admin admin", "  ", false, false, true},
        {" ", "admin", true, true, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct policy_rule rule = {.label = "r", .allow = cases[i].allow, .deny = cases[i].deny};
        make(&rule, 1);
        struct address at = address("acme", "", "chat", "");
        const rule_t *is = policy_find(policy, &at, LEVEL_DEFAULT);
        ck_assert_ptr_nonnull(is);
        ck_assert_msg(rule_allows(is, SUBSCRIBER_VISITOR) == cases[i].visitor, "%zu", i);
        ck_assert_msg(rule_allows(is, SUBSCRIBER_MEMBER) == cases[i].member, "%zu", i);
        ck_assert_msg(rule_allows(is, SUBSCRIBER_ADMIN) == cases[i].admin, "%zu", i);
        policy_destroy(&policy);
    }
}
END_TEST

#define LONG_CHANNEL                                                                               \
    "ccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"                        \
    "ccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
#define LONG_ID "iiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiii"

/* Each is refused with exactly this sentence. */
static const struct {
    struct policy_rule rule;
    const char *why;
} bad[] = {
    {{.label = "r", .channel = "chat"},
     "says nothing: it needs allow or deny, such as allow = member admin"},
    {{.label = "r", .allow = " ", .deny = "\t"},
     "says nothing: it needs allow or deny, such as allow = member admin"},
    {{.label = "r", .allow = "members"},
     "allow: there is no word \"members\"; there are admin, member, visitor and everyone"},
    {{.label = "r", .allow = "admin", .deny = "visitor guest"},
     "deny: there is no word \"guest\"; there are admin, member, visitor and everyone"},
    {{.label = "r", .allow = "admin,member"},
     "allow: there is no word \"admin,member\"; there are admin, member, visitor and everyone"},
    {{.label = "r", .allow = "Admin"},
     "allow: there is no word \"Admin\"; there are admin, member, visitor and everyone"},
    {{.label = "r", .resource = "a", .allow = "admin"},
     "resource: needs channel, the one that the resource is of"},
    {{.label = "r", .site = "a b", .allow = "admin"},
     "site: must be 1 to 64 letters, digits, '.', '_' or '-'"},
    {{.label = "r", .site = LONG_ID, .allow = "admin"},
     "site: must be 1 to 64 letters, digits, '.', '_' or '-'"},
    {{.label = "r", .app = "a/b", .allow = "admin"},
     "app: an app id has 1 to 64 letters, digits, '.', '_' or '-'"},
    {{.label = "r", .app = "a/b", .channel = "c", .allow = "admin"},
     "app: an app id has 1 to 64 letters, digits, '.', '_' or '-'"},
    {{.label = "r", .channel = "a b", .allow = "admin"},
     "channel: only letters, digits, '_' and '-' are allowed, with an optional leading '@'"},
    {{.label = "r", .channel = "@", .allow = "admin"}, "channel: the name is empty"},
    {{.label = "r", .channel = "c", .resource = "\xff", .allow = "admin"},
     "resource: the id is not valid UTF-8"},
    {{.label = "r", .channel = LONG_CHANNEL, .resource = "r", .allow = "admin"},
     "channel and resource together exceed 140 Unicode code points"},
};

START_TEST(a_rule_that_is_none_is_refused)
{
    struct policy_rule rules[] = {{.label = "first", .site = "other", .allow = "admin"},
                                  bad[_i].rule};
    struct policy_settings settings = {.rules = rules, .rule_count = 2};
    size_t index = 0;
    ck_assert_ptr_null(policy_new(&settings, &index, &why));
    ck_assert_uint_eq(index, 1);
    buffer_put_byte(&why, '\0');
    ck_assert_str_eq((const char *)why.data, bad[_i].why);
}
END_TEST

START_TEST(two_rules_for_one_place_are_refused)
{
    static const struct policy_rule places[] = {
        {.label = "a", .allow = "admin"},
        {.label = "a", .site = "acme", .allow = "admin"},
        {.label = "a", .app = "quotes", .allow = "admin"},
        {.label = "a", .channel = "chat", .allow = "admin"},
        {.label = "a",
         .site = "acme",
         .app = "q",
         .channel = "chat",
         .resource = "r",
         .allow = "admin"},
    };
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        struct policy_rule rules[] = {places[i], places[i]};
        rules[1].label = "b";
        rules[1].allow = "";
        rules[1].deny = "visitor";
        struct policy_settings settings = {.rules = rules, .rule_count = 2};
        size_t index = 0;
        ck_assert_ptr_null(policy_new(&settings, &index, &why));
        ck_assert_uint_eq(index, 1);
        buffer_put_byte(&why, '\0');
        ck_assert_str_eq((const char *)why.data,
                         "is about the same site, app, channel and resource as [rule \"a\"]");
        buffer_reset(&why);
    }
}
END_TEST

START_TEST(a_refused_rule_changes_nothing)
{
    struct policy_rule rules[] = {{.label = "a", .allow = "admin"}};
    make(rules, 1);
    ck_assert(!policy_add(policy, &(struct policy_rule){.label = "b", .deny = "admin"}, &why));
    ck_assert(!policy_add(policy, &(struct policy_rule){.label = "c", .channel = "chat"}, &why));
    ck_assert(policy_add(
        policy, &(struct policy_rule){.label = "d", .channel = "c", .deny = "member"}, &why));
    expect(address("acme", "", "chat", ""), "-", "-", "a");
    expect(address("acme", "", "c", ""), "-", "d", "a");
}
END_TEST

START_TEST(a_site_has_its_own_policy_or_the_defaults)
{
    char name[] = "acme";
    const struct policy_site sites[] = {
        {.site = name, .require_handlers = true, .unavailable = UNAVAILABLE_RETRY},
        {.site = "soft", .unavailable = UNAVAILABLE_REFUSE},
    };
    size_t index = 0;
    policy = policy_new(&(struct policy_settings){.sites = sites, .site_count = 2}, &index, &why);
    ck_assert_ptr_nonnull(policy);
    name[0] = 'x'; /* all is copied */

    const struct policy_site *site = policy_site(policy, span_text("acme"));
    ck_assert_str_eq(site->site, "acme");
    ck_assert(site->require_handlers);
    ck_assert_int_eq(site->unavailable, UNAVAILABLE_RETRY);
    site = policy_site(policy, span_text("soft"));
    ck_assert(!site->require_handlers);
    ck_assert_int_eq(site->unavailable, UNAVAILABLE_REFUSE);
    site = policy_site(policy, span_text("unheard-of"));
    ck_assert(!site->require_handlers);
    ck_assert_int_eq(site->unavailable, UNAVAILABLE_AUTO);
}
END_TEST

static policy_t *policy_of(struct policy_settings settings)
{
    size_t index = 0;
    policy_t *made = policy_new(&settings, &index, &why);
    ck_assert_ptr_nonnull(made);
    return made;
}

static bool is_alike(struct policy_settings a, struct policy_settings b)
{
    policy_t *first = policy_of(a), *second = policy_of(b);
    bool result = policy_is_alike(first, second);
    ck_assert(policy_is_alike(second, first) == result);
    policy_destroy(&first);
    policy_destroy(&second);
    return result;
}

START_TEST(what_decides_alike)
{
    const struct policy_rule rule = {.label = "a", .channel = "chat", .allow = "member"};
    const struct policy_rule words = {
        .label = "b", .channel = "chat", .allow = "everyone", .deny = "visitor admin"};
    const struct policy_rule wider = {.label = "a", .channel = "chat", .allow = "member admin"};
    const struct policy_rule other = {.label = "a", .channel = "news", .allow = "member"};
    const struct policy_rule both[] = {rule, other};
    const struct policy_settings none = {0}, one = {.rules = &rule, .rule_count = 1};
    ck_assert(is_alike(none, none));
    ck_assert(is_alike(one, one));
    ck_assert(is_alike(one, (struct policy_settings){.rules = &words, .rule_count = 1}));
    ck_assert(!is_alike(one, none));
    ck_assert(!is_alike(one, (struct policy_settings){.rules = &wider, .rule_count = 1}));
    ck_assert(!is_alike(one, (struct policy_settings){.rules = &other, .rule_count = 1}));
    ck_assert(!is_alike(one, (struct policy_settings){.rules = both, .rule_count = 2}));

    const struct policy_site plain = {"acme", false, UNAVAILABLE_RETRY};
    const struct policy_site strict = {"acme", true, UNAVAILABLE_AUTO};
    const struct policy_settings loose = {.sites = &plain, .site_count = 1};
    ck_assert(is_alike(none, loose)); /* nothing of it is about who may read */
    ck_assert(!is_alike(none, (struct policy_settings){.sites = &strict, .site_count = 1}));
    ck_assert(!is_alike(loose, (struct policy_settings){.sites = &strict, .site_count = 1}));
}
END_TEST

START_TEST(levels_have_names)
{
    ck_assert_str_eq(permission_level_text(LEVEL_RESOURCE), "resource");
    ck_assert_str_eq(permission_level_text(LEVEL_CHANNEL), "channel");
    ck_assert_str_eq(permission_level_text(LEVEL_DEFAULT), "default");
    policy_destroy(&policy); /* NULL */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("policy");
    TCase *tests = tcase_create("policy");
    tcase_add_checked_fixture(tests, NULL, teardown);
    tcase_add_test(tests, without_rules_nothing_is_found);
    tcase_add_loop_test(tests, the_rule_of_the_level_is_found, 0, sizeof lookups / sizeof *lookups);
    tcase_add_test(tests, who_is_allowed);
    tcase_add_loop_test(tests, a_rule_that_is_none_is_refused, 0, sizeof bad / sizeof *bad);
    tcase_add_test(tests, two_rules_for_one_place_are_refused);
    tcase_add_test(tests, a_refused_rule_changes_nothing);
    tcase_add_test(tests, a_site_has_its_own_policy_or_the_defaults);
    tcase_add_test(tests, what_decides_alike);
    tcase_add_test(tests, levels_have_names);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
