#pragma once
#include <stddef.h>
#include <stdint.h>

/* ws_frame - headers of unmasked WebSocket frames (RFC 6455, section 5.2), server to client.
 * They are the same for every client, so a frame is built once and sent to all. */

enum ws_opcode { WS_TEXT = 0x1, WS_CLOSE = 0x8 };

#define WS_HEADER_MAX 10

/* Bytes of the header in front of a payload of this size. */
static inline size_t ws_header_size(size_t payload)
{
    return payload < 126 ? 2 : payload <= UINT16_MAX ? 4 : 10;
}

/* Writes the header of a final frame; returns its size. */
static inline size_t ws_write_header(uint8_t *to, enum ws_opcode opcode, size_t payload)
{
    size_t size = ws_header_size(payload);
    to[0] = (uint8_t)(0x80 | opcode);
    to[1] = (uint8_t)(size == 2 ? payload : size == 4 ? 126 : 127);
    for (size_t i = 2; i < size; i++)
        to[i] = (uint8_t)(payload >> (8 * (size - 1 - i)));
    return size;
}

/* What a frame that was written with ws_write_header carries. */
static inline const uint8_t *ws_frame_payload(const uint8_t *frame)
{
    return frame + (frame[1] < 126 ? 2 : frame[1] == 126 ? 4 : 10);
}
