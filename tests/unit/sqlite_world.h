#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "broker/store.h"

/* sqlite_world - the store that writes in a thread of its own, on a disk that the test commands,
 * and the steps to use it. Appends are of epoch 7. */
#define QUEUE_BYTES ((size_t)64 << 20)
/* Long enough for a slow machine; nobody waits for the end of it. */
#define PATIENCE_MS 60000

extern store_t *store;

/* The fixture of all tests. */
void sqlite_setup(void);
void sqlite_teardown(void);

void open_with(size_t queue_bytes, int64_t hang_ms);
void reopen(void);

/* False: it was not accepted. */
bool append_body(uint64_t ticket, const char *stream, uint64_t offset, const char *body);
/* With the body "body"; tickets are 1000 and the offset. */
void append(const char *stream, uint64_t offset);
void append_many(const char *stream, uint64_t first, uint64_t last);
void registers(uint64_t ticket, const char *key, bool removed);
void registers_bytes(uint64_t ticket, struct span key, bool removed);
/* The writer is with an append of the stream "occupied", whose ticket is 1, and everything after it
 * waits, until disk_let_go. */
void occupy(void);
#define OCCUPIED "occupied 7:1\n  1 @10 \n"

bool is_readable(int timeout_ms);
/* Waits for it. */
struct store_completion next(void);
void expect(bool is_registration, uint64_t ticket, enum store_outcome outcome);
/* What `append` is told. */
void expect_appended(uint64_t first, uint64_t last, enum store_outcome outcome);
void expect_nothing(void);
/* In the next life of the store. */
void expect_kept(const char *expected);
struct store_figures figures(void);
