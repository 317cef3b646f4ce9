#pragma once
#include "bench/herd.h"

/* herd_record - what the clients of a herd were given and told, one JSON object a line, for a
 * checker that reads nothing else (tests/faults).
 *
 *   {"t":MS,"kind":"deliver","client":N,"address":"...","epoch":"...","offset":N,"n":N,"recovered":B}
 *   {"t":MS,"kind":"subscribed","client":N,"address":"...","epoch":"...","offset":N,"asked":B,"recovered":B}
 *   {"t":MS,"kind":"told"|"revoked"|"refused"|"refused_for_now"|"connected"|"disconnected"|"failed"|"ended",
 *    "client":N,"address":"...","code":N}
 *
 * MS is CLOCK_MONOTONIC. "n" is what a payload says of itself. Without a file nothing is written.
 */

/* Ends the process when the file cannot be made. "": no record. */
void herd_record_open(struct herd *self, const char *path);
/* What was written so far is in the file. */
void herd_record_flush(const struct herd *self);

void herd_record_delivery(const struct herd *self, const struct herd_client *client,
                          const struct herd_subscription *subscription,
                          const struct herd_publication *publication, bool recovered);
/* The position is that of the subscription; `offset` is what the reply said. */
void herd_record_subscribed(const struct herd *self, const struct herd_client *client,
                            const struct herd_subscription *subscription,
                            const struct herd_line *reply);
/* subscription: NULL when it is about the connection. code 0: none. */
void herd_record_signal(const struct herd *self, const struct herd_client *client,
                        const struct herd_subscription *subscription, const char *kind,
                        unsigned code);
