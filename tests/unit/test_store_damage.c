#include <stdio.h>
#include <string.h>

#include "records_world.h"
#include "store_world.h"
#include "unit.h"

/* A record that is not what was written is left out and counted, and nothing else is. */

static void write_append(const char *stream, uint64_t offset, const char *body, const char *key)
{
    bool follows;
    ck_assert(store_records_append(
        records,
        &(struct store_append){.stream = span_text(stream),
                               .epoch = 7,
                               .offset = offset,
                               .first = 1,
                               .at_ms = (int64_t)offset * 10,
                               .body = span_text(body),
                               .once = {.key = span_text(key), .hash = {5, 6}, .until_ms = 99}},
        &follows));
    ck_assert(follows);
}

#define PAGE_BYTES 4096

#define A        "a 7:2\n  1 @10 the first body\n  2 @20 the second body\n"
#define B        "b 7:1\n  1 @10 the third body\n"
#define K        "key k 7:1 hash 5 6 until 99\n"
#define L        "key l 7:1 hash 5 6 until 99\n"
#define HANDLERS "handler the handler\n"

static void setup(void)
{
    world_setup();
    open_records();
    begin();
    write_append("a", 1, "the first body", "k");
    write_append("b", 1, "the third body", "l");
    write_append("a", 2, "the second body", "");
    ck_assert(store_records_register(records, span_text("the handler"), false));
    commit();
}

static void teardown(void)
{
    close_records();
    world_teardown();
}

static void expect_kept(uint64_t damaged, const char *expected)
{
    struct buffer got = {0};
    struct store_loader loader = world_teller(&got);
    uint64_t found = 99;
    ck_assert(store_records_load(records, &loader, &found));
    world_compare(&got, expected);
    ck_assert_uint_eq(found, damaged);
}

START_TEST(what_is_sound_is_told)
{
    expect_kept(0, A B K L HANDLERS);
}
END_TEST

/* Where one stream or message fails, the others go on. In the order of the tables. */
static const struct {
    const char *sql, *expected;
    uint64_t damaged;
} cases[] = {
#define A1 "a 7:2\n  2 @20 the second body\n"
#define A2 "a 7:2\n  1 @10 the first body\n"
    {"UPDATE streams SET key = x'63' WHERE key = x'61'", B K L HANDLERS, 1},
    {"UPDATE streams SET key = x'' WHERE key = x'61'", B K L HANDLERS, 1},
    {"UPDATE streams SET epoch = 8 WHERE key = x'61'", B K L HANDLERS, 1},
    {"UPDATE streams SET epoch = -7 WHERE key = x'61'", B K L HANDLERS, 1},
    {"UPDATE streams SET offset = 3 WHERE key = x'61'", B K L HANDLERS, 1},
    {"UPDATE streams SET offset = 1 WHERE key = x'61'", B K L HANDLERS, 1},
    {"UPDATE streams SET sum = sum + 1 WHERE key = x'61'", B K L HANDLERS, 1},
    {"UPDATE streams SET sum = 0 WHERE key = x'61'", B K L HANDLERS, 1},
    {"UPDATE streams SET epoch = offset, offset = epoch WHERE key = x'61'", B K L HANDLERS, 1},
    {"UPDATE streams SET sum = 0", K L HANDLERS, 2},
    {"UPDATE streams SET id = 9 WHERE key = x'61'", B "a 7:2\n" K L HANDLERS, 0},
    {"DELETE FROM streams WHERE key = x'61'", B K L HANDLERS, 0},
    {"DELETE FROM streams", K L HANDLERS, 0},

    {"UPDATE messages SET offset = 3 WHERE at = 10 AND stream = 1", A1 B K L HANDLERS, 1},
    {"UPDATE messages SET at = 11 WHERE at = 10 AND stream = 1", A1 B K L HANDLERS, 1},
    {"UPDATE messages SET at = -10 WHERE at = 10 AND stream = 1", A1 B K L HANDLERS, 1},
    {"UPDATE messages SET sum = ~sum WHERE at = 10 AND stream = 1", A1 B K L HANDLERS, 1},
    {"UPDATE messages SET body = x'' WHERE at = 10 AND stream = 1", A1 B K L HANDLERS, 1},
    {"UPDATE messages SET body = CAST('the first bodY' AS BLOB) WHERE at = 10 AND stream = 1",
     A1 B K L HANDLERS, 1},
    {"UPDATE messages SET body = CAST('the first body ' AS BLOB) WHERE at = 10 AND stream = 1",
     A1 B K L HANDLERS, 1},
    {"UPDATE messages SET body = CAST(body || x'00' AS BLOB) WHERE at = 20", A2 B K L HANDLERS, 1},
    {"UPDATE messages SET stream = 2 WHERE at = 20", A2 B K L HANDLERS, 1},
    {"UPDATE messages SET stream = 3 WHERE at = 20", A2 B K L HANDLERS, 0},
    {"UPDATE messages SET stream = 0 WHERE at = 20", A2 B K L HANDLERS, 0},
    {"UPDATE messages SET sum = 1", "a 7:2\nb 7:1\n" K L HANDLERS, 3},
    {"DELETE FROM messages WHERE at = 10 AND stream = 1", A1 B K L HANDLERS, 0},
    {"INSERT INTO messages VALUES (1, 3, 0, 0, x'61')", A B K L HANDLERS, 1},

    {"UPDATE keys SET key = x'6b00' WHERE key = x'6b'", A B L HANDLERS, 1},
    {"UPDATE keys SET hash_low = 6 WHERE key = x'6b'", A B L HANDLERS, 1},
    {"UPDATE keys SET hash_high = 5 WHERE key = x'6b'", A B L HANDLERS, 1},
    {"UPDATE keys SET hash_low = 6, hash_high = 5 WHERE key = x'6b'", A B L HANDLERS, 1},
    {"UPDATE keys SET epoch = 1, offset = 7 WHERE key = x'6b'", A B L HANDLERS, 1},
    {"UPDATE keys SET offset = 2 WHERE key = x'6b'", A B L HANDLERS, 1},
    {"UPDATE keys SET until = 100 WHERE key = x'6b'", A B L HANDLERS, 1},
    {"UPDATE keys SET sum = sum + 1 WHERE key = x'6b'", A B L HANDLERS, 1},
    {"UPDATE keys SET sum = 1", A B HANDLERS, 2},
    {"UPDATE keys SET id = 9 WHERE key = x'6b'", A B L K HANDLERS, 0},
};

START_TEST(a_damaged_record_is_left_out)
{
    world_sql(db, cases[_i].sql);
    ck_assert_int_gt(sqlite3_changes(db), 0);
    expect_kept(cases[_i].damaged, cases[_i].expected);
    expect_kept(cases[_i].damaged, cases[_i].expected); /* and is not removed by that */
}
END_TEST

static bool loads(void)
{
    struct buffer got = {0};
    struct store_loader loader = world_teller(&got);
    uint64_t damaged;
    bool loaded = store_records_load(records, &loader, &damaged);
    ck_assert(loaded || !memmem(got.data, got.size, "handler", 7));
    buffer_free(&got);
    return loaded;
}

/* Somebody could be let in whom the true handler would refuse. */
START_TEST(a_damaged_handler_ends_the_loading)
{
    world_sql(db, "UPDATE handlers SET key = CAST('the handleR' AS BLOB)");
    ck_assert(!loads());
    world_sql(db, "UPDATE handlers SET key = CAST('the handler' AS BLOB)");
    ck_assert(loads());
    world_sql(db, "UPDATE handlers SET sum = sum - 1");
    ck_assert(!loads());
    world_sql(db, "UPDATE handlers SET sum = 0");
    ck_assert(!loads());
}
END_TEST

START_TEST(handlers_of_schema_1_have_no_checksum_until_they_register_again)
{
    world_sql(db, "UPDATE handlers SET sum = NULL");
    expect_kept(0, A B K L HANDLERS);
    begin();
    ck_assert(store_records_register(records, span_text("the handler"), false));
    commit();
    expect_kept(0, A B K L HANDLERS);
    ck_assert_int_eq(world_number(db, "SELECT count(*) FROM handlers WHERE sum IS NOT NULL"), 1);
}
END_TEST

/* Every bit of a message, a stream's key and a key, where they stand in the file. */
static void flip_each_bit(const char *text, uint64_t damaged, const char *expected)
{
    sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    close_records();
    long at = world_find(text);
    for (size_t i = 0; i < strlen(text); i++)
        for (int bit = 0; bit < 8; bit++) {
            char flipped = (char)(text[i] ^ 1 << bit);
            world_patch(at + (long)i, &flipped, 1);
            open_records();
            expect_kept(damaged, expected);
            close_records();
            world_patch(at + (long)i, &text[i], 1);
        }
    open_records();
    expect_kept(0, A B K L HANDLERS);
}

static void on_origin(void *arg, uint64_t number)
{
    *(uint64_t *)arg = number;
}

static bool take_stream(void *arg, struct span stream, uint64_t epoch, uint64_t offset)
{
    (void)arg, (void)stream, (void)epoch, (void)offset;
    return true;
}

static bool take_message(void *arg, uint64_t offset, int64_t at_ms, struct span body)
{
    (void)arg, (void)offset, (void)at_ms, (void)body;
    return true;
}

static bool take_key(void *arg, const struct store_key *key, uint64_t epoch, uint64_t offset)
{
    (void)arg, (void)key, (void)epoch, (void)offset;
    return true;
}

static bool take_handler(void *arg, struct span key)
{
    (void)arg, (void)key;
    return true;
}

static uint64_t origin(void)
{
    uint64_t number = 0, damaged;
    struct store_loader loader = {&number,  take_stream,  take_message,
                                  take_key, take_handler, on_origin};
    ck_assert(store_records_load(records, &loader, &damaged));
    return number;
}

/* What is damaged could be a key: nobody may say that all are remembered. */
START_TEST(the_origin_is_told_when_nothing_is_damaged)
{
    world_sql(db, "UPDATE origin SET number = 77");
    ck_assert_uint_eq(origin(), 77);
    world_sql(db, "UPDATE keys SET sum = sum + 1 WHERE key = x'6b'");
    ck_assert_uint_eq(origin(), 0);
}
END_TEST

START_TEST(flipped_bits_of_a_body)
{
    flip_each_bit("the first body", 1, A1 B K L HANDLERS);
}
END_TEST

START_TEST(a_damaged_stream_begins_again)
{
    struct store_append again = {
        .stream = span_text("a"), .epoch = 8, .offset = 1, .first = 1, .body = span_text("new")};
    bool follows;
    world_sql(db, "UPDATE streams SET offset = 9 WHERE key = x'61'");
    expect_kept(1, B K L HANDLERS);
    begin();
    ck_assert(store_records_append(records, &again, &follows));
    ck_assert(follows);
    commit();
    expect_kept(0, "a 8:1\n  1 @0 new\n" B K L HANDLERS); /* no message of before is in it */
}
END_TEST

#define NAMED "a name that stands in the file twice"

static bool append_named(uint64_t epoch, uint64_t offset)
{
    struct store_append append = {.stream = span_text(NAMED),
                                  .epoch = epoch,
                                  .offset = offset,
                                  .first = offset,
                                  .body = span_text("new")};
    bool follows;
    begin();
    ck_assert(store_records_append(records, &append, &follows));
    commit();
    return follows;
}

/* Once with its position, once in the index by which it is found. Both are changed, the one that is
 * meant for good. */
static void flip_name(bool in_index)
{
    static const char other = NAMED[0] ^ 4, before = NAMED[0];
    sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    int64_t page = world_number(db, "SELECT rootpage FROM sqlite_schema WHERE name = 'streams'");
    close_records();
    long first = world_find(NAMED);
    world_patch(first, &other, 1);
    long second = world_find(NAMED);
    bool index_is_first = first / PAGE_BYTES + 1 != page;
    world_patch(second, &other, 1);
    world_patch(index_is_first == in_index ? second : first, &before, 1);
    open_records();
}

START_TEST(a_damaged_index_is_made_anew)
{
    ck_assert(append_named(7, 1));
    flip_name(true);
    expect_kept(1, A B NAMED " 7:1\n  1 @0 new\n" K L HANDLERS);
    ck_assert(append_named(7, 2));
    expect_kept(0, A B NAMED " 7:2\n  2 @0 new\n" K L HANDLERS);
}
END_TEST

START_TEST(a_damaged_name_is_not_found_by_the_true_one)
{
    ck_assert(append_named(7, 1));
    flip_name(false);
    expect_kept(2, A B K L HANDLERS); /* it, and the index */
    ck_assert(!append_named(7, 2));
    ck_assert(append_named(8, 1));
    expect_kept(1, A B NAMED " 8:1\n  1 @0 new\n" K L HANDLERS);
}
END_TEST

START_TEST(a_damaged_message_goes_with_those_in_front_of_it)
{
    struct store_note trimmed = {
        .kind = STORE_TRIMMED, .stream = span_text("a"), .epoch = 7, .first = 2};
    world_sql(db, "UPDATE messages SET body = x'00' WHERE at = 10 AND stream = 1");
    expect_kept(1, A1 B K L HANDLERS);
    begin();
    ck_assert(store_records_note(records, &trimmed));
    commit();
    expect_kept(0, A1 B K L HANDLERS);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store_damage");
    TCase *tests = tcase_create("store_damage");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, what_is_sound_is_told);
    tcase_add_loop_test(tests, a_damaged_record_is_left_out, 0, sizeof cases / sizeof *cases);
    tcase_add_test(tests, a_damaged_handler_ends_the_loading);
    tcase_add_test(tests, handlers_of_schema_1_have_no_checksum_until_they_register_again);
    tcase_add_test(tests, the_origin_is_told_when_nothing_is_damaged);
    tcase_add_test(tests, flipped_bits_of_a_body);
    tcase_add_test(tests, a_damaged_stream_begins_again);
    tcase_add_test(tests, a_damaged_index_is_made_anew);
    tcase_add_test(tests, a_damaged_name_is_not_found_by_the_true_one);
    tcase_add_test(tests, a_damaged_message_goes_with_those_in_front_of_it);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
