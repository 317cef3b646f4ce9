#include <string.h>

#include "broker/idempotency.h"
#include "common/address.h"
#include "proto/limits.h"
#include "unit.h"

#define MEMORY_MS 1000

static idempotency_t *keys;
static struct idempotency_entry *entry;

static void setup(void)
{
    keys = idempotency_new(MEMORY_MS, 3);
    ck_assert_ptr_nonnull(keys);
}

static void teardown(void)
{
    idempotency_destroy(&keys);
    ck_assert_ptr_null(keys);
}

static enum idempotency_claim claim(const char *address, const char *key, const char *body,
                                    uint64_t ticket, int64_t now_ms)
{
    return idempotency_claim(keys, span_text(address), span_text(key), span_text(body), ticket,
                             now_ms, &entry);
}

static void confirmed(const char *key, uint64_t offset, int64_t now_ms)
{
    ck_assert_int_eq(claim("a", key, "body", 1, now_ms), IDEMPOTENCY_NEW);
    idempotency_confirm(keys, entry, 7, offset, now_ms);
}

START_TEST(a_key_is_claimed_once)
{
    ck_assert_int_eq(claim("a", "k", "body", 42, 0), IDEMPOTENCY_NEW);
    ck_assert_int_eq(claim("a", "k", "body", 43, 0), IDEMPOTENCY_PENDING);
    ck_assert_uint_eq(entry->ticket, 42);
    idempotency_confirm(keys, entry, 7, 9, 0);
    ck_assert_int_eq(claim("a", "k", "body", 44, 0), IDEMPOTENCY_DONE);
    ck_assert_uint_eq(entry->epoch, 7);
    ck_assert_uint_eq(entry->offset, 9);
    ck_assert_uint_eq(idempotency_count(keys), 1);
}
END_TEST

START_TEST(another_publication_with_the_same_key_is_told_apart)
{
    ck_assert_int_eq(claim("a", "k", "body", 1, 0), IDEMPOTENCY_NEW);
    ck_assert_int_eq(claim("a", "k", "Body", 1, 0), IDEMPOTENCY_OTHER);
    idempotency_confirm(keys, entry, 7, 9, 0);
    ck_assert_int_eq(claim("a", "k", "", 1, 0), IDEMPOTENCY_OTHER);
}
END_TEST

START_TEST(a_key_belongs_to_one_address)
{
    confirmed("k", 1, 0);
    ck_assert_int_eq(claim("b", "k", "body", 1, 0), IDEMPOTENCY_NEW);
    ck_assert_int_eq(claim("a", "K", "body", 1, 0), IDEMPOTENCY_NEW);
}
END_TEST

START_TEST(a_forgotten_claim_can_be_made_again)
{
    claim("a", "k", "body", 1, 0);
    idempotency_forget(keys, entry);
    ck_assert_uint_eq(idempotency_count(keys), 0);
    ck_assert_int_eq(claim("a", "k", "other", 2, 0), IDEMPOTENCY_NEW);
}
END_TEST

START_TEST(a_confirmed_key_is_remembered_for_its_time)
{
    confirmed("k", 1, 100);
    ck_assert_int_eq(claim("a", "k", "body", 1, 100 + MEMORY_MS - 1), IDEMPOTENCY_DONE);
    ck_assert_int_eq(claim("a", "k", "body", 1, 100 + MEMORY_MS), IDEMPOTENCY_NEW);
}
END_TEST

START_TEST(the_time_counts_from_the_commit)
{
    claim("a", "k", "body", 1, 0);
    ck_assert_int_eq(claim("a", "k", "body", 1, 10 * MEMORY_MS), IDEMPOTENCY_PENDING);
    idempotency_confirm(keys, entry, 7, 1, 10 * MEMORY_MS);
    ck_assert_int_eq(claim("a", "k", "body", 1, 11 * MEMORY_MS - 1), IDEMPOTENCY_DONE);
}
END_TEST

START_TEST(there_are_no_more_keys_than_allowed)
{
    confirmed("1", 1, 0);
    confirmed("2", 2, 100);
    claim("a", "3", "body", 1, 100);
    ck_assert_int_eq(claim("a", "4", "body", 1, 100), IDEMPOTENCY_FULL);
    ck_assert_int_eq(claim("a", "1", "body", 1, 100), IDEMPOTENCY_DONE);
    ck_assert_int_eq(claim("a", "4", "body", 1, MEMORY_MS), IDEMPOTENCY_NEW);
    ck_assert_int_eq(claim("a", "5", "body", 1, MEMORY_MS), IDEMPOTENCY_FULL);
}
END_TEST

/* More keys may be over than one claim frees. */
START_TEST(an_old_key_does_not_count_even_if_nobody_freed_it)
{
    idempotency_destroy(&keys);
    keys = idempotency_new(MEMORY_MS, 100);
    char key[] = "00";
    for (int i = 0; i < 100; i++) {
        key[0] = (char)('0' + i / 10);
        key[1] = (char)('0' + i % 10);
        confirmed(key, 1, i);
    }
    ck_assert_int_eq(claim("a", "98", "body", 1, 98 + MEMORY_MS), IDEMPOTENCY_NEW);
    ck_assert_int_eq(claim("a", "99", "body", 1, 98 + MEMORY_MS), IDEMPOTENCY_DONE);
    ck_assert_uint_eq(idempotency_count(keys), 2);
}
END_TEST

START_TEST(old_keys_are_freed_within_the_budget)
{
    confirmed("1", 1, 0);
    confirmed("2", 1, 0);
    confirmed("3", 1, 5);
    idempotency_expire(keys, MEMORY_MS, 1);
    ck_assert_uint_eq(idempotency_count(keys), 2);
    idempotency_expire(keys, MEMORY_MS, 10);
    ck_assert_uint_eq(idempotency_count(keys), 1);
    idempotency_expire(keys, MEMORY_MS + 5, 10);
    ck_assert_uint_eq(idempotency_count(keys), 0);
    confirmed("4", 1, MEMORY_MS); /* the list works after it was empty */
    idempotency_expire(keys, 2 * MEMORY_MS, 10);
    ck_assert_uint_eq(idempotency_count(keys), 0);
}
END_TEST

/* --- from before the start --- */

static bool restored(const char *whole, uint64_t offset, int64_t until_ms)
{
    /* Of "body", as a store got it. */
    claim("hash", "of", "body", 1, 0);
    uint64_t hash[2];
    memcpy(hash, entry->hash, sizeof hash);
    idempotency_forget(keys, entry);
    return idempotency_restore(keys, span_text(whole), hash, 7, offset, until_ms);
}

START_TEST(a_copy_has_the_whole_key)
{
    claim("address", "key", "body", 1, 0);
    ck_assert(span_is(idempotency_key(entry), "addresskey"));
}
END_TEST

START_TEST(a_restored_key_is_as_if_it_had_been_confirmed)
{
    ck_assert(restored("ak", 9, 500));
    ck_assert_uint_eq(idempotency_count(keys), 1);
    ck_assert_int_eq(claim("a", "k", "body", 1, 499), IDEMPOTENCY_DONE);
    ck_assert_uint_eq(entry->epoch, 7);
    ck_assert_uint_eq(entry->offset, 9);
    ck_assert_int_eq(claim("a", "k", "other", 1, 499), IDEMPOTENCY_OTHER);
    ck_assert_int_eq(claim("a", "k", "body", 1, 500), IDEMPOTENCY_NEW);
    ck_assert_uint_eq(idempotency_count(keys), 1);
}
END_TEST

START_TEST(restored_keys_go_before_those_that_are_new)
{
    ck_assert(restored("a1", 1, 500));
    ck_assert(restored("a2", 2, 600));
    confirmed("3", 3, 0);
    idempotency_expire(keys, 500, 10);
    ck_assert_uint_eq(idempotency_count(keys), 2);
    idempotency_expire(keys, 999, 10);
    ck_assert_uint_eq(idempotency_count(keys), 1);
    ck_assert_int_eq(claim("a", "3", "body", 1, 999), IDEMPOTENCY_DONE);
}
END_TEST

START_TEST(no_more_are_restored_than_allowed_and_one_once)
{
    uint8_t bytes[ADDRESS_KEY_MAX + LIMIT_KEY_BYTES + 1] = {1};
    const uint64_t hash[2] = {5, 6};
    ck_assert(restored("a1", 1, 500));
    ck_assert(restored("a1", 2, 600));
    ck_assert(!idempotency_restore(keys, span_of(bytes, sizeof bytes), hash, 7, 1, 600));
    ck_assert(idempotency_restore(keys, span_of(bytes, sizeof bytes - 1), hash, 7, 1, 600));
    ck_assert(restored("a3", 1, 700));
    ck_assert(!idempotency_restore(keys, span_text("a4"), hash, 7, 1, 800));
    ck_assert_int_eq(claim("a", "1", "body", 1, 499), IDEMPOTENCY_DONE);
    ck_assert_uint_eq(entry->offset, 2); /* it was used again: the later one counts */
}
END_TEST

/* The clock was set back between them: none is over before those in front of it. */
START_TEST(a_key_that_is_over_before_its_predecessor)
{
    ck_assert(restored("a1", 1, 800));
    ck_assert(restored("a2", 2, 500));
    ck_assert_int_eq(claim("a", "2", "body", 42, 799), IDEMPOTENCY_DONE);
    ck_assert_int_eq(claim("a", "2", "body", 42, 800), IDEMPOTENCY_NEW);
    ck_assert_int_eq(claim("a", "2", "body", 43, 800), IDEMPOTENCY_PENDING);
    ck_assert_uint_eq(entry->ticket, 42);
    ck_assert_uint_eq(idempotency_count(keys), 1);
    idempotency_forget(keys, entry);
    ck_assert_int_eq(claim("a", "2", "body", 44, 800), IDEMPOTENCY_NEW);
    idempotency_confirm(keys, entry, 7, 3, 800);
    idempotency_expire(keys, 800 + MEMORY_MS, SIZE_MAX);
    ck_assert_uint_eq(idempotency_count(keys), 0);
}
END_TEST

START_TEST(another_memory_is_for_new_keys)
{
    confirmed("old", 1, 0);
    idempotency_configure(keys, 10 * MEMORY_MS, 3);
    confirmed("long", 2, 0);
    ck_assert_int_eq(claim("a", "old", "body", 1, MEMORY_MS), IDEMPOTENCY_NEW);
    ck_assert_int_eq(claim("a", "long", "body", 1, 9 * MEMORY_MS), IDEMPOTENCY_DONE);
}
END_TEST

START_TEST(with_a_shorter_memory_no_key_goes_before_those_in_front_of_it)
{
    confirmed("first", 1, 0);
    idempotency_configure(keys, 10, 3);
    confirmed("second", 2, 0);
    idempotency_expire(keys, MEMORY_MS - 1, SIZE_MAX);
    ck_assert_uint_eq(idempotency_count(keys), 2);
    idempotency_expire(keys, MEMORY_MS, SIZE_MAX);
    ck_assert_uint_eq(idempotency_count(keys), 0);
    confirmed("third", 3, MEMORY_MS);
    idempotency_expire(keys, MEMORY_MS + 10, SIZE_MAX);
    ck_assert_uint_eq(idempotency_count(keys), 0);
}
END_TEST

START_TEST(with_fewer_keys_allowed_those_that_are_there_stay)
{
    confirmed("a", 1, 0);
    confirmed("b", 2, 0);
    idempotency_configure(keys, MEMORY_MS, 1);
    ck_assert_int_eq(claim("a", "c", "body", 1, 0), IDEMPOTENCY_FULL);
    ck_assert_int_eq(claim("a", "a", "body", 1, 0), IDEMPOTENCY_DONE);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("idempotency");
    TCase *tests = tcase_create("idempotency");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, a_key_is_claimed_once);
    tcase_add_test(tests, another_publication_with_the_same_key_is_told_apart);
    tcase_add_test(tests, a_key_belongs_to_one_address);
    tcase_add_test(tests, a_forgotten_claim_can_be_made_again);
    tcase_add_test(tests, a_confirmed_key_is_remembered_for_its_time);
    tcase_add_test(tests, the_time_counts_from_the_commit);
    tcase_add_test(tests, there_are_no_more_keys_than_allowed);
    tcase_add_test(tests, an_old_key_does_not_count_even_if_nobody_freed_it);
    tcase_add_test(tests, old_keys_are_freed_within_the_budget);
    tcase_add_test(tests, a_copy_has_the_whole_key);
    tcase_add_test(tests, a_restored_key_is_as_if_it_had_been_confirmed);
    tcase_add_test(tests, restored_keys_go_before_those_that_are_new);
    tcase_add_test(tests, no_more_are_restored_than_allowed_and_one_once);
    tcase_add_test(tests, a_key_that_is_over_before_its_predecessor);
    tcase_add_test(tests, another_memory_is_for_new_keys);
    tcase_add_test(tests, with_a_shorter_memory_no_key_goes_before_those_in_front_of_it);
    tcase_add_test(tests, with_fewer_keys_allowed_those_that_are_there_stay);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
