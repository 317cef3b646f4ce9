#pragma once
#include "broker/store_records.h"

/* records_world - the records of the file world_path, without the writer. */
extern sqlite3 *db;
extern store_records_t *records;

void open_records(void);
void close_records(void);

/* store_records_begin and store_records_commit, which must succeed. */
void begin(void);
void commit(void);
