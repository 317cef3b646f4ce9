#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* ws_client - the client's half of WebSocket (RFC 6455), as little as measuring programs need.
 * Pure.
 */
#define WS_CLIENT_REQUEST_MAX 256
#define WS_CLIENT_HEAD_MAX    8 /* of a frame that we send: up to 65,535 bytes of text */

enum { WS_CLIENT_TEXT = 0x81, WS_CLIENT_CLOSE = 0x88, WS_CLIENT_PING = 0x89 }; /* with FIN */

/* The whole request head. Returns its bytes. */
static inline size_t ws_client_request(char to[WS_CLIENT_REQUEST_MAX], unsigned port)
{
    return (size_t)snprintf(
        to, WS_CLIENT_REQUEST_MAX,
        "GET /connection/websocket HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n"
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        port);
}

/* The head of a frame with `size` bytes of text, at most 65,535. A mask of zeros is a mask: the
 * server cannot tell, and the text stays as it is. Returns the bytes of the head. */
static inline size_t ws_client_head(uint8_t to[WS_CLIENT_HEAD_MAX], uint8_t kind, size_t size)
{
    size_t head = size < 126 ? 2 : 4;
    to[0] = kind;
    to[1] = (uint8_t)(0x80 | (size < 126 ? size : 126));
    if (head == 4) {
        to[2] = (uint8_t)(size >> 8);
        to[3] = (uint8_t)size;
    }
    memset(to + head, 0, 4);
    return head + 4;
}

/* A frame from the server. */
struct ws_client_frame {
    uint8_t kind; /* FIN, reserved bits and opcode */
    const uint8_t *bytes;
    size_t size;
};

/* The bytes that the frame takes, or 0 when it is not whole yet. */
static inline size_t ws_client_take(const uint8_t *bytes, size_t size,
                                    struct ws_client_frame *frame)
{
    size_t head = size < 2 ? 2 : bytes[1] == 127 ? 10 : bytes[1] == 126 ? 4 : 2;
    if (size < head)
        return 0;
    size_t length = head == 2 ? bytes[1] : 0;
    for (size_t i = 2; i < head; i++)
        length = length << 8 | bytes[i];
    if (size - head < length)
        return 0;
    *frame = (struct ws_client_frame){bytes[0], bytes + head, length};
    return head + length;
}
