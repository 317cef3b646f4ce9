#include "broker/store.h"
#include "unit.h"

static void accept(store_t *store, uint64_t ticket)
{
    ck_assert(store_append(store, &(struct store_append){.ticket = ticket}));
}

static void expect(store_t *store, uint64_t ticket)
{
    struct store_completion completion = {0, STORE_UNKNOWN};
    ck_assert(store_next(store, &completion));
    ck_assert_uint_eq(completion.ticket, ticket);
    ck_assert_int_eq(completion.outcome, STORE_COMMITTED);
}

START_TEST(commits_everything_in_order)
{
    store_t *store = store_memory_new();
    struct store_completion completion;
    ck_assert_ptr_nonnull(store);
    ck_assert(!store_next(store, &completion));
    for (uint64_t round = 0; round < 3; round++) {
        for (uint64_t i = 0; i < 500; i++)
            accept(store, round * 1000 + i);
        for (uint64_t i = 0; i < 500; i++)
            expect(store, round * 1000 + i);
        ck_assert(!store_next(store, &completion));
    }
    store_destroy(&store);
    ck_assert_ptr_null(store);
}
END_TEST

START_TEST(accepts_while_it_reports)
{
    store_t *store = store_memory_new();
    struct store_completion completion;
    for (uint64_t i = 0; i < 1000; i++) {
        accept(store, 2 * i);
        accept(store, 2 * i + 1);
        expect(store, i);
    }
    for (uint64_t i = 1000; i < 2000; i++)
        expect(store, i);
    ck_assert(!store_next(store, &completion));
    store_destroy(&store);
}
END_TEST

START_TEST(appends_that_nobody_asked_about_are_freed)
{
    store_t *store = store_memory_new();
    accept(store, 1);
    store_destroy(&store);
    store_destroy(&store);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store_memory");
    TCase *tests = tcase_create("store_memory");
    tcase_add_test(tests, commits_everything_in_order);
    tcase_add_test(tests, accepts_while_it_reports);
    tcase_add_test(tests, appends_that_nobody_asked_about_are_freed);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
