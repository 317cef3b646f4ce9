#include "broker/tally.h"

#include "bytes.h"
#include "proto/limits.h"
#include "unit.h"

static struct tally tally;
static struct buffer items;

static void begin(enum bus_question_kind kind, uint32_t limit)
{
    tally_free(&tally);
    tally_init(&tally, kind, limit);
}

static void teardown(void)
{
    tally_free(&tally);
    buffer_free(&items);
}

static enum status add(uint16_t status, uint32_t clients, struct span bytes)
{
    return tally_add(
        &tally, &(struct bus_presence_part){.status = status, .clients = clients, .items = bytes});
}

/* A gateway with these clients; all are the user "u". */
static enum status add_clients(size_t count, const char *const *ids)
{
    buffer_reset(&items);
    for (size_t i = 0; i < count; i++)
        bus_put_presence_client(&items, &(struct bus_presence_client){.client = span_text(ids[i]),
                                                                      .user = span_text("u")});
    return add(0, (uint32_t)count, buffer_span(&items));
}

/* A gateway with `clients` clients, users with these hashes. */
static enum status add_users(uint32_t clients, size_t count, const uint64_t *hashes)
{
    buffer_reset(&items);
    for (size_t i = 0; i < count; i++)
        bus_put_presence_user(&items, &(struct bus_presence_user){.hash = hashes[i]});
    return add(0, clients, buffer_span(&items));
}

static void expect_count(uint32_t clients, uint32_t users)
{
    uint32_t parts;
    struct span rest = tally_items(&tally, &parts);
    struct bus_presence_count count;
    ck_assert_uint_eq(parts, 1);
    ck_assert(bus_next_presence_count(&rest, &count));
    ck_assert_uint_eq(rest.size, 0);
    ck_assert_uint_eq(count.clients, clients);
    ck_assert_uint_eq(count.users, users);
}

START_TEST(clients_of_all_gateways_are_listed)
{
    begin(BUS_PRESENCE, 3);
    ck_assert_int_eq(add_clients(2, (const char *[]){"a", "b"}), STATUS_OK);
    ck_assert_int_eq(add_clients(0, NULL), STATUS_OK);
    ck_assert_int_eq(add_clients(1, (const char *[]){"c"}), STATUS_OK);
    uint32_t count;
    struct span rest = tally_items(&tally, &count);
    ck_assert_uint_eq(count, 3);
    static const char *const expected[] = {"a", "b", "c"};
    for (size_t i = 0; i < 3; i++) {
        struct bus_presence_client client;
        ck_assert(bus_next_presence_client(&rest, &client));
        assert_bytes(client.client, span_text(expected[i]));
        assert_bytes(client.user, span_text("u"));
    }
    ck_assert_uint_eq(rest.size, 0);
}
END_TEST

START_TEST(more_clients_than_the_limit_are_an_error_and_no_shorter_list)
{
    begin(BUS_PRESENCE, 3);
    ck_assert_int_eq(add_clients(2, (const char *[]){"a", "b"}), STATUS_OK);
    ck_assert_int_eq(add_clients(2, (const char *[]){"c", "d"}), STATUS_TOO_LARGE);
    begin(BUS_PRESENCE, 3);
    ck_assert_int_eq(add(STATUS_TOO_LARGE, 4, (struct span){0}), STATUS_TOO_LARGE);
}
END_TEST

START_TEST(more_bytes_than_an_answer_carries_are_an_error)
{
    static char id[60000];
    memset(id, 'x', sizeof id - 1);
    const char *ids[] = {id, id, id, id};
    begin(BUS_PRESENCE, 100);
    for (size_t bytes = 0; bytes + 4 * 60004 <= LIMIT_PRESENCE_BYTES; bytes += 4 * 60004)
        ck_assert_int_eq(add_clients(4, ids), STATUS_OK);
    ck_assert_int_eq(add_clients(4, ids), STATUS_TOO_LARGE);
}
END_TEST

START_TEST(users_on_several_gateways_count_once)
{
    begin(BUS_PRESENCE_STATS, 100);
    ck_assert_int_eq(add_users(5, 3, (uint64_t[]){0, 7, 9}), STATUS_OK);
    expect_count(5, 3);
    ck_assert_int_eq(add_users(0, 0, NULL), STATUS_OK);
    ck_assert_int_eq(add_users(4, 4, (uint64_t[]){1, 7, 8, UINT64_MAX}), STATUS_OK);
    expect_count(9, 6);
    ck_assert_int_eq(add_users(2, 2, (uint64_t[]){0, UINT64_MAX}), STATUS_OK);
    expect_count(11, 6);
}
END_TEST

START_TEST(more_users_than_the_limit_are_an_error)
{
    begin(BUS_PRESENCE_STATS, 3);
    ck_assert_int_eq(add_users(9, 3, (uint64_t[]){1, 2, 3}), STATUS_OK);
    ck_assert_int_eq(add_users(9, 2, (uint64_t[]){2, 3}), STATUS_OK);
    expect_count(18, 3);
    ck_assert_int_eq(add_users(1, 1, (uint64_t[]){4}), STATUS_TOO_LARGE);
}
END_TEST

START_TEST(a_sum_that_does_not_fit_is_an_error)
{
    begin(BUS_PRESENCE_STATS, 3);
    ck_assert_int_eq(add_users(UINT32_MAX, 1, (uint64_t[]){1}), STATUS_OK);
    ck_assert_int_eq(add_users(1, 1, (uint64_t[]){1}), STATUS_TOO_LARGE);
}
END_TEST

START_TEST(broken_parts_are_refused)
{
    begin(BUS_PRESENCE, 10);
    ck_assert_int_eq(add(0, 0, BYTES("\0")), STATUS_BAD_INPUT);
    begin(BUS_PRESENCE, 10);
    ck_assert_int_eq(add(0, 2, BYTES("\0\1a\0\0")), STATUS_BAD_INPUT); /* one, not two */
    begin(BUS_PRESENCE_STATS, 10);
    ck_assert_int_eq(add(0, 1, BYTES("1234567")), STATUS_BAD_INPUT);
    begin(BUS_PRESENCE_STATS, 10);
    ck_assert_int_eq(add_users(2, 2, (uint64_t[]){2, 1}), STATUS_BAD_INPUT); /* not ascending */
    begin(BUS_PRESENCE_STATS, 10);
    ck_assert_int_eq(add_users(2, 2, (uint64_t[]){2, 2}), STATUS_BAD_INPUT);
    begin(BUS_PRESENCE_STATS, 10);
    ck_assert_int_eq(add_users(1, 2, (uint64_t[]){1, 2}), STATUS_BAD_INPUT); /* more than clients */
    begin(BUS_PRESENCE_STATS, 10);
    ck_assert_int_eq(add_users(1, 0, NULL), STATUS_BAD_INPUT); /* a client without a user */
    begin(BUS_PRESENCE_STATS, 10);
    ck_assert_int_eq(add(STATUS_INTERNAL, 0, (struct span){0}), STATUS_INTERNAL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tally");
    TCase *tests = tcase_create("tally");
    tcase_add_checked_fixture(tests, NULL, teardown);
    tcase_add_test(tests, clients_of_all_gateways_are_listed);
    tcase_add_test(tests, more_clients_than_the_limit_are_an_error_and_no_shorter_list);
    tcase_add_test(tests, more_bytes_than_an_answer_carries_are_an_error);
    tcase_add_test(tests, users_on_several_gateways_count_once);
    tcase_add_test(tests, more_users_than_the_limit_are_an_error);
    tcase_add_test(tests, a_sum_that_does_not_fit_is_an_error);
    tcase_add_test(tests, broken_parts_are_refused);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
