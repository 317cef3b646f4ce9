#include "hub_history.h"
#include "unit.h"

/* Whatever happens, in whatever order: what clients hear is right. */

START_TEST(joins_are_exact_whatever_the_order)
{
    struct history_seen seen = {0};
    history_run((uint64_t)_i + 1, (struct history_kind){.faults = NO_FAULTS}, &seen);
    ck_assert_uint_gt(seen.heard, 100);
    ck_assert_uint_gt(seen.recovered, 10);
    ck_assert_uint_eq(seen.told, 0);
    ck_assert_uint_eq(seen.gaps, 0); /* the fence lets none come up */
}
END_TEST

START_TEST(what_is_lost_on_the_way_is_repaired_or_told)
{
    struct history_seen seen = {0};
    history_run((uint64_t)_i + 1000, (struct history_kind){.faults = FAULTS}, &seen);
    ck_assert_uint_gt(seen.heard, 100);
    ck_assert_uint_gt(seen.gaps, 0);
}
END_TEST

START_TEST(what_nothing_but_the_audit_shows_is_repaired_or_told)
{
    struct history_seen seen = {0};
    for (uint64_t part = 0; part < 2; part++) {
        uint64_t resyncs = seen.resyncs;
        history_run(2 * (uint64_t)_i + part + 2000,
                    (struct history_kind){.faults = FAULTS_AND_SILENCE}, &seen);
        ck_assert_uint_gt(seen.resyncs, resyncs + 1);
    }
    ck_assert_uint_gt(seen.heard, 100);
    ck_assert_uint_gt(seen.silences, 0);
    ck_assert_uint_gt(seen.audit_holes, 0);
}
END_TEST

static enum history_faults every_other(int i)
{
    return i % 2 ? FAULTS : NO_FAULTS;
}

START_TEST(what_finds_no_room_is_fetched)
{
    struct history_seen seen = {0};
    struct history_kind kind = {.faults = every_other(_i), .with_little_room = true};
    history_run((uint64_t)_i + 6000, kind, &seen);
    ck_assert_uint_gt(seen.heard, 100);
    ck_assert_uint_gt(seen.not_held, 0);
    ck_assert(kind.faults == FAULTS || seen.told == 0);
}
END_TEST

START_TEST(nobody_hears_what_they_may_not_read)
{
    struct history_seen seen = {0};
    struct history_kind kind = {.faults = every_other(_i), .with_permissions = true};
    history_run((uint64_t)_i + 3000, kind, &seen);
    ck_assert_uint_gt(seen.heard, 100);
    ck_assert_uint_gt(seen.refused + seen.revoked, 0);
}
END_TEST

static uint64_t missed(const struct history_seen *seen)
{
    return seen->missed_of[SLOW_READER_LATEST] + seen->missed_of[SLOW_READER_DROP_OLDEST];
}

START_TEST(whoever_reads_too_slowly_is_told_how_many_are_missing)
{
    struct history_seen seen = {0};
    struct history_kind kind = {.faults = every_other(_i), .with_stalls = true};
    history_run((uint64_t)_i + 4000, kind, &seen);
    ck_assert_uint_gt(seen.heard, 100);
    ck_assert_uint_eq(seen.missed_of[SLOW_READER_DISCONNECT], 0);
    ck_assert_uint_gt(missed(&seen), 0);
    ck_assert_uint_gt(seen.cut_off, 0);
}
END_TEST

START_TEST(so_is_whoever_reads_too_slowly_while_the_policies_change)
{
    struct history_seen seen = {0};
    struct history_kind kind = {
        .faults = every_other(_i), .with_stalls = true, .with_other_policies = true};
    history_run((uint64_t)_i + 5000, kind, &seen);
    ck_assert_uint_gt(seen.heard, 100);
    ck_assert_uint_gt(missed(&seen) + seen.missed_of[SLOW_READER_DISCONNECT] + seen.cut_off, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("hub_random");
    TCase *join = tcase_create("histories");
    tcase_set_timeout(join, 120);
    tcase_add_loop_test(join, joins_are_exact_whatever_the_order, 0, 40);
    tcase_add_loop_test(join, what_is_lost_on_the_way_is_repaired_or_told, 0, 40);
    tcase_add_loop_test(join, what_nothing_but_the_audit_shows_is_repaired_or_told, 0, 20);
    tcase_add_loop_test(join, what_finds_no_room_is_fetched, 0, 40);
    tcase_add_loop_test(join, nobody_hears_what_they_may_not_read, 0, 80);
    tcase_add_loop_test(join, whoever_reads_too_slowly_is_told_how_many_are_missing, 0, 60);
    tcase_add_loop_test(join, so_is_whoever_reads_too_slowly_while_the_policies_change, 0, 40);
    suite_add_tcase(suite, join);
    return unit_run(suite);
}
