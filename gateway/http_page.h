#pragma once
#include "gateway/io_metrics.h"

struct lws;
struct lws_plat_file_ops;

/* http_page - the demo page on the clients' port: its files, and its buttons that kill a
 * gateway and take a permission back.
 *
 * One request a connection, then it ends. Files are sent by libwebsockets, a piece whenever the
 * socket takes it and with its time limit; nothing of a file is kept here.
 */
typedef struct http_page http_page_t;

/* root: the folder; control: the supervisor's FIFO, "" for none. Both are copied, metrics is
 * borrowed. NULL when memory is exhausted. */
http_page_t *http_page_new(const char *root, const char *control, struct io_metrics *metrics);
/* Sets *self_p to NULL; safe on NULL. */
void http_page_destroy(http_page_t **self_p);

/* Answers the request whose headers libwebsockets has read. Returns what its callback
 * LWS_CALLBACK_HTTP has to return. */
int http_page_answer(http_page_t *self, struct lws *wsi);

/* How libwebsockets must read the files: its own way, but a file that has become shorter than it
 * was ends the connection; libwebsockets would try to read the rest for ever. */
const struct lws_plat_file_ops *http_page_files(void);
