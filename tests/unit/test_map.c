#include "common/map.h"
#include "unit.h"

#include <stdio.h>

struct item {
    char name[16];
    bool inside;
    unsigned visits;
};

static struct span item_key(const void *item)
{
    return span_text(((const struct item *)item)->name);
}

static struct item *named(struct item *item, unsigned number)
{
    snprintf(item->name, sizeof item->name, "item-%u", number);
    return item;
}

START_TEST(finds_what_was_put)
{
    map_t *map = map_new(item_key);
    struct item a = {.name = "a"}, b = {.name = "b"}, empty = {.name = ""};
    ck_assert_ptr_null(map_get(map, span_text("a")));
    ck_assert_ptr_null(map_remove(map, span_text("a")));
    ck_assert(map_put(map, &a) && map_put(map, &b) && map_put(map, &empty));
    ck_assert_uint_eq(map_count(map), 3);
    ck_assert_ptr_eq(map_get(map, span_text("a")), &a);
    ck_assert_ptr_eq(map_get(map, span_text("b")), &b);
    ck_assert_ptr_eq(map_get(map, span_of(NULL, 0)), &empty);
    ck_assert_ptr_null(map_get(map, span_text("ab")));
    ck_assert_ptr_eq(map_remove(map, span_text("a")), &a);
    ck_assert_ptr_null(map_get(map, span_text("a")));
    ck_assert_ptr_eq(map_get(map, span_text("b")), &b);
    ck_assert_uint_eq(map_count(map), 2);
    map_destroy(&map);
    ck_assert_ptr_null(map);
    map_destroy(&map);
}
END_TEST

/* Reproducible, and as good as any for choosing what to do next. */
static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525 + 1013904223;
    return *state >> 8;
}

static void visit(void *item, void *arg)
{
    ((struct item *)item)->visits++;
    ++*(size_t *)arg;
}

/* Removal in the middle of runs is where open addressing goes wrong: after each change all items
 * must still be found, and each visited once. */
START_TEST(agrees_with_a_model)
{
    enum { ITEMS = 60 };
    struct item items[ITEMS] = {0};
    uint32_t random = (uint32_t)_i;
    map_t *map = map_new(item_key);
    size_t count = 0;
    for (unsigned i = 0; i < ITEMS; i++)
        named(&items[i], i);
    for (int step = 0; step < 1000; step++) {
        struct item *item = &items[next_random(&random) % ITEMS];
        if (item->inside)
            ck_assert_ptr_eq(map_remove(map, item_key(item)), item);
        else
            ck_assert(map_put(map, item));
        item->inside = !item->inside;
        count += item->inside ? 1 : (size_t)-1;
        ck_assert_uint_eq(map_count(map), count);

        size_t visited = 0;
        map_visit(map, visit, &visited);
        ck_assert_uint_eq(visited, count);
        unsigned wrong = 0;
        for (unsigned i = 0; i < ITEMS; i++) {
            wrong += map_get(map, item_key(&items[i])) != (items[i].inside ? &items[i] : NULL);
            wrong += items[i].visits != items[i].inside;
            items[i].visits = 0;
        }
        ck_assert_uint_eq(wrong, 0);
    }
    map_destroy(&map);
}
END_TEST

START_TEST(grows_and_empties)
{
    enum { ITEMS = 100000 };
    struct item *items = calloc(ITEMS, sizeof *items);
    map_t *map = map_new(item_key);
    unsigned wrong = 0;
    for (unsigned i = 0; i < ITEMS; i++)
        wrong += !map_put(map, named(&items[i], i));
    ck_assert_uint_eq(map_count(map), ITEMS);
    for (unsigned i = 0; i < ITEMS; i++)
        wrong += map_get(map, item_key(&items[i])) != &items[i];
    for (unsigned i = 0; i < ITEMS; i++)
        wrong += map_remove(map, item_key(&items[i])) != &items[i];
    ck_assert_uint_eq(wrong, 0);
    ck_assert_uint_eq(map_count(map), 0);
    ck_assert_ptr_null(map_get(map, item_key(&items[0])));
    map_destroy(&map);
    free(items);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("map");
    TCase *tests = tcase_create("map");
    tcase_add_test(tests, finds_what_was_put);
    tcase_add_loop_test(tests, agrees_with_a_model, 0, 20);
    tcase_add_test(tests, grows_and_empties);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
