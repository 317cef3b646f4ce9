#include "broker/store.h"
#include "unit.h"

static void accept(store_t *store, uint64_t ticket)
{
    ck_assert(store_append(store, &(struct store_append){.ticket = ticket}));
}

static void expect_of(store_t *store, bool is_registration, uint64_t ticket)
{
    struct store_completion completion;
    ck_assert(store_next(store, &completion));
    ck_assert_int_eq(completion.is_registration, is_registration);
    ck_assert_uint_eq(completion.ticket, ticket);
    ck_assert_int_eq(completion.outcome, STORE_COMMITTED);
}

static void expect(store_t *store, uint64_t ticket)
{
    expect_of(store, false, ticket);
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

static bool never(void *arg, struct span key)
{
    (void)arg;
    (void)key;
    ck_abort_msg("nothing is kept");
}

START_TEST(registrations_are_complete_at_once_and_not_kept)
{
    store_t *store = store_memory_new();
    struct store_registration what = {.ticket = 7, .key = span_text("a")};
    struct store_completion completion;
    ck_assert(store_registration(store, &what));
    accept(store, 7);
    what = (struct store_registration){.ticket = 8, .key = span_text("a"), .removed = true};
    ck_assert(store_registration(store, &what));
    expect_of(store, true, 7);
    expect_of(store, false, 7);
    expect_of(store, true, 8);
    ck_assert(!store_next(store, &completion));

    uint8_t key[STORE_HANDLER_KEY_MAX + 1] = {0};
    what.key = span_of(key, sizeof key);
    ck_assert(!store_registration(store, &what));
    ck_assert(store_load(store, &(struct store_loader){.handler = never}));
    store_destroy(&store);
}
END_TEST

START_TEST(nothing_is_measured_and_notes_change_nothing)
{
    store_t *store = store_memory_new();
    struct store_completion completion;
    struct store_figures figures = {.commits = 1, .queued_bytes = 1, .is_failing = true};
    ck_assert_int_eq(store_fd(store), -1);
    for (int kind = STORE_MADE; kind <= STORE_ENDED; kind++)
        store_note(store, &(struct store_note){.kind = (enum store_note_kind)kind,
                                               .stream = span_text("a"),
                                               .epoch = 7});
    ck_assert(!store_next(store, &completion));
    accept(store, 1);
    store_measure(store, &figures);
    ck_assert(!figures.is_failing);
    ck_assert_uint_eq(figures.commits + figures.queued_bytes + figures.file_bytes, 0);
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
    tcase_add_test(tests, registrations_are_complete_at_once_and_not_kept);
    tcase_add_test(tests, nothing_is_measured_and_notes_change_nothing);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
