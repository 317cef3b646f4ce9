#pragma once
#include <stdint.h>

#include "broker/store.h"
#include "proto/backend_codec.h"

/* core_handlers - registrations of permission handlers: a part of the core.
 *
 * A registration is acknowledged when the store has it. Until then it refuses already; when the
 * store fails it is gone again.
 */
struct core;
struct party;
typedef struct registrations registrations_t;

/* NULL only when memory is exhausted. */
registrations_t *registrations_new(void);
/* Sets *self_p to NULL; safe on NULL. */
void registrations_destroy(registrations_t **self_p);

/* Is none on its way to the store? */
bool core_no_registering(const struct core *core);
/* The requests handle and unhandle. */
void core_handle(struct core *core, struct party *from, const struct backend_request *request);
/* The request handlers. */
void core_list_handlers(struct core *core, struct party *from,
                        const struct backend_request *request);
/* Fills in what the effect CORE_REGISTER with this ticket is about. False: nothing any more. */
bool core_find_registration(struct core *core, uint64_t ticket, struct store_registration *out);
/* A backend went away: nobody asks it any more. */
void core_backend_gone(struct core *core, struct party *backend);

/* At the start: a handler that the store remembers. False: its key is none, it is there already, or
 * memory is exhausted. */
bool core_restore_handler(struct core *core, struct span key);
