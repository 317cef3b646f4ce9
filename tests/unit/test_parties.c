#include "broker/parties.h"
#include "bytes.h"
#include "unit.h"

static parties_t *parties;

static void setup(void)
{
    parties = parties_new();
    ck_assert_ptr_nonnull(parties);
}

static void teardown(void)
{
    parties_destroy(&parties);
    ck_assert_ptr_null(parties);
}

static party_t *get(size_t endpoint, const char *id, int64_t now_ms)
{
    party_t *party = parties_get(parties, endpoint, span_text(id), now_ms);
    ck_assert_ptr_nonnull(party);
    return party;
}

static void count(party_t *party, void *arg)
{
    (void)party;
    ++*(size_t *)arg;
}

static size_t how_many(void)
{
    size_t parties_seen = 0;
    parties_visit(parties, count, &parties_seen);
    return parties_seen;
}

START_TEST(endpoint_and_id_make_a_party)
{
    party_t *a = get(0, "a", 0), *b = get(0, "b", 0), *other = get(1, "a", 0);
    ck_assert_ptr_ne(a, b);
    ck_assert_ptr_ne(a, other);
    ck_assert_ptr_eq(get(0, "a", 5), a);
    ck_assert_ptr_eq(get(0, "b", 5), b);
    assert_text(party_id(a), "a");
    ck_assert_uint_eq(other->endpoint, 1);
    ck_assert_int_eq(a->heard_ms, 5);
    ck_assert_uint_eq(how_many(), 3);
}
END_TEST

START_TEST(an_id_may_be_empty_or_as_long_as_it_can)
{
    static uint8_t longest[PARTY_ID_MAX];
    party_t *none = parties_get(parties, 0, (struct span){0}, 0);
    party_t *all = parties_get(parties, 0, span_of(longest, sizeof longest), 0);
    ck_assert_uint_eq(party_id(none).size, 0);
    ck_assert_uint_eq(party_id(all).size, PARTY_ID_MAX);
}
END_TEST

START_TEST(the_silent_are_forgotten)
{
    get(0, "silent", 100);
    get(0, "owed", 100)->unanswered = 1;
    get(0, "late", 200);
    get(PARTY_GATEWAY, "stranger", 100);
    get(PARTY_GATEWAY, "gateway", 100)->welcome = true;
    get(PARTY_GATEWAY, "asking", 100)->ready = true;
    ck_assert_uint_eq(parties_backends(parties), 3);
    parties_sweep(parties, 101);
    ck_assert_uint_eq(how_many(), 4);
    ck_assert_uint_eq(parties_backends(parties), 2);
    get(0, "owed", 300)->unanswered = 0;
    parties_sweep(parties, 300);
    ck_assert_uint_eq(parties_backends(parties), 1);
    ck_assert_uint_eq(get(0, "silent", 400)->unanswered, 0); /* made again */
}
END_TEST

START_TEST(asks_are_copied_and_kept_in_order)
{
    party_t *gateway = get(PARTY_GATEWAY, "g", 0);
    char first[] = "first";
    ck_assert(party_put_ask(gateway, span_text(first), 1));
    first[0] = 'X';
    ck_assert(party_put_ask(gateway, (struct span){0}, 0));
    ck_assert(party_put_ask(gateway, span_text("third"), 3));
    ck_assert_uint_eq(gateway->asks, 3);
    assert_text(span_of(gateway->first_ask->bytes, gateway->first_ask->size), "first");
    party_drop_ask(gateway);
    ck_assert_uint_eq(gateway->first_ask->size, 0);
    party_drop_ask(gateway);
    ck_assert_uint_eq(gateway->first_ask->left, 3);
    party_drop_ask(gateway);
    ck_assert_ptr_null(gateway->first_ask);
    ck_assert(party_put_ask(gateway, span_text("again"), 1)); /* left for the destructor */
    ck_assert_uint_eq(gateway->asks, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("parties");
    TCase *tests = tcase_create("parties");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, endpoint_and_id_make_a_party);
    tcase_add_test(tests, an_id_may_be_empty_or_as_long_as_it_can);
    tcase_add_test(tests, the_silent_are_forgotten);
    tcase_add_test(tests, asks_are_copied_and_kept_in_order);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
