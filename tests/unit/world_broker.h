#pragma once
#include "common/address.h"
#include "hub_world.h"

/* world_broker - the broker of a hub_world: its streams, and what it answers. What tests use of it
 * is in hub_world.h. */

/* The canonical address of a stream. */
struct span world_stream_key(const struct world *self, size_t stream, uint8_t out[ADDRESS_KEY_MAX]);
