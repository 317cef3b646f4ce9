#pragma once
#include <stdbool.h>
#include <uv.h>

/* stream_watch - tells when a socket that is only written to takes more, and when the other side is
 * gone.
 *
 * libwebsockets 4.1.6 cannot be left to it: the end of what a client sends behind a GET makes it
 * spin, and while it does not read a connection it does not say either that it is writable.
 */
typedef struct stream_watch stream_watch_t;

/* is_over: the client has said its last word, or the connection is broken. It may not close
 * sockets at once. */
typedef void stream_watch_fn(void *arg, void *about, bool is_over);

/* NULL on failure. Borrows the loop. */
stream_watch_t *stream_watch_new(uv_loop_t *loop, stream_watch_fn *changed, void *arg);
/* Call while the loop runs on; the memory goes when it runs next. Sets *self_p to NULL; safe on
 * NULL. */
void stream_watch_destroy(stream_watch_t **self_p);

/* From now until the socket is closed, by whoever owns it; `about` is handed to stream_watch_fn and
 * must live as long. Tells that the socket takes more once after it did not, and now. False on
 * failure. */
bool stream_watch_add(stream_watch_t *self, int fd, void *about);
/* Tells once more that a watched socket takes more, if it does. */
void stream_watch_again(stream_watch_t *self, int fd, void *about);
