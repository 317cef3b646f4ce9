#include "records_world.h"
#include "asserts.h"

#include "broker/store_file.h"
#include "store_world.h"

sqlite3 *db;
store_records_t *records;

void open_records(void)
{
    struct buffer why = {0};
    db = store_file_open(world_path, &why);
    ck_assert_msg(db, "%.*s", SPAN_ARG(buffer_span(&why)));
    records = store_records_new(db);
    ck_assert_ptr_nonnull(records);
}

void close_records(void)
{
    store_records_destroy(&records);
    ck_assert_ptr_null(records);
    ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
}

void begin(void)
{
    ck_assert(store_records_begin(records));
}

void commit(void)
{
    bool is_sure = false;
    ck_assert(store_records_commit(records, &is_sure));
    ck_assert(is_sure);
}
