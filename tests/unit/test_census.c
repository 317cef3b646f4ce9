#include "gateway/census.h"

#include "proto/bus_codec.h"
#include "unit.h"

enum { MOST = 1000 };

static struct census census;
static struct buffer parts;
static uint64_t users[MOST];

static void teardown(void)
{
    census_free(&census);
    buffer_free(&parts);
}

static void begin(uint64_t seed)
{
    census_free(&census);
    census.seed = seed;
}

static void add(const char *user)
{
    census_add(&census, span_text(user));
}

/* Fills `users`; they must be ascending. */
static uint32_t put(void)
{
    buffer_reset(&parts);
    uint32_t count = census_put_users(&census, &parts);
    struct span rest = buffer_span(&parts);
    for (uint32_t i = 0; i < count; i++) {
        struct bus_presence_user user;
        ck_assert_uint_lt(i, MOST);
        ck_assert(bus_next_presence_user(&rest, &user));
        users[i] = user.hash;
        ck_assert(i == 0 || users[i - 1] < users[i]);
    }
    ck_assert_uint_eq(rest.size, 0);
    return count;
}

START_TEST(nobody_is_no_user)
{
    begin(1);
    ck_assert_uint_eq(put(), 0);
    ck_assert_uint_eq(census.clients, 0);
}
END_TEST

START_TEST(each_user_counts_once_in_whatever_order)
{
    begin(1);
    static const char *const names[] = {"ann", "bob", "ann", "", "", "cyd", "bob", "", "ann"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        add(names[i]);
    ck_assert_uint_eq(census.clients, 9);
    ck_assert_uint_eq(put(), 4);
}
END_TEST

START_TEST(many_users_are_told_apart)
{
    begin(7);
    for (int round = 0; round < 3; round++)
        for (unsigned i = 0; i < MOST; i++)
            census_add(&census, span_of(&i, sizeof i));
    ck_assert_uint_eq(census.clients, 3 * MOST);
    ck_assert_uint_eq(put(), MOST);
}
END_TEST

START_TEST(the_hash_depends_on_user_and_seed_alone)
{
    begin(5);
    add("");
    add("ann");
    ck_assert_uint_eq(put(), 2);
    uint64_t before[2] = {users[0], users[1]};
    begin(5);
    add("ann");
    census_add(&census, (struct span){0});
    ck_assert_uint_eq(put(), 2);
    ck_assert(users[0] == before[0] && users[1] == before[1]);
    begin(6);
    add("ann");
    ck_assert_uint_eq(put(), 1);
    ck_assert(users[0] != before[0] && users[0] != before[1]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("census");
    TCase *tests = tcase_create("census");
    tcase_add_checked_fixture(tests, NULL, teardown);
    tcase_add_test(tests, nobody_is_no_user);
    tcase_add_test(tests, each_user_counts_once_in_whatever_order);
    tcase_add_test(tests, many_users_are_told_apart);
    tcase_add_test(tests, the_hash_depends_on_user_and_seed_alone);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
