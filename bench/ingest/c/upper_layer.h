/* The bytes of the DICOM upper layer (PS3.8 Section 9.3, PS3.7 Section 6.3) that load.c and floor.c
 * have in common. PDUs are big endian, command sets little endian with implicit VRs.
 */
#ifndef UPPER_LAYER_H
#define UPPER_LAYER_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

enum {
    ASSOCIATE_RQ = 1,
    ASSOCIATE_AC = 2,
    P_DATA_TF = 4,
    RELEASE_RQ = 5,
    RELEASE_RP = 6,
    PDU_HEADER = 6,
    PDV_HEADER = 6,                      /* length, context id, control byte */
    BOTH_HEADERS = PDU_HEADER + PDV_HEADER,
    FIXED_FIELDS = 68,                   /* of A-ASSOCIATE-RQ and -AC, before their items */
    IS_COMMAND = 1,                      /* bits of a PDV's control byte */
    IS_LAST = 2,
    UID_SIZE = 65,                       /* 64 characters and a zero */
    MESSAGE_SIZE = 64 * 1024,            /* for negotiation and commands, never for datasets */
    C_STORE_RQ = 0x0001,
    C_STORE_RSP = 0x8001,
    NO_DATASET = 0x0101,
};

/* Elements of group 0000 (PS3.7 Annex E). */
enum {
    GROUP_LENGTH = 0x0000,
    SOP_CLASS = 0x0002,
    COMMAND_FIELD = 0x0100,
    MESSAGE_ID = 0x0110,
    ANSWERED_ID = 0x0120,
    PRIORITY = 0x0700,
    DATASET_TYPE = 0x0800,
    STATUS = 0x0900,
    SOP_INSTANCE = 0x1000,
};

static const char APPLICATION_CONTEXT[] = "1.2.840.10008.3.1.1.1";

static inline void put16(uint8_t *at, unsigned value) { at[0] = value >> 8; at[1] = value; }
static inline void put32(uint8_t *at, uint32_t value) { put16(at, value >> 16); put16(at + 2, value); }
static inline unsigned get16(const uint8_t *at) { return at[0] << 8 | at[1]; }
static inline uint32_t get32(const uint8_t *at) { return (uint32_t)get16(at) << 16 | get16(at + 2); }
static inline unsigned little16(const uint8_t *at) { return at[0] | at[1] << 8; }
static inline uint32_t little32(const uint8_t *at) { return little16(at) | (uint32_t)little16(at + 2) << 16; }

static inline uint8_t *add_header(uint8_t *at, int kind, uint32_t size)
{
    at[0] = kind;
    at[1] = 0;
    put32(at + 2, size);
    return at + PDU_HEADER;
}

/* The PDU and PDV headers of one fragment of `size` bytes. */
static inline void add_fragment_headers(uint8_t *at, uint32_t size, int context_id, int control)
{
    add_header(at, P_DATA_TF, size + PDV_HEADER);
    put32(at + PDU_HEADER, size + 2);
    at[PDU_HEADER + 4] = context_id;
    at[PDU_HEADER + 5] = control;
}

/* An item or sub-item of the association's negotiation: type, a zero, length, value. */
static inline uint8_t *add_item(uint8_t *at, int kind, const void *value, unsigned size)
{
    at[0] = kind;
    at[1] = 0;
    put16(at + 2, size);
    memcpy(at + 4, value, size);
    return at + 4 + size;
}

/* An element of a command set; a value of odd length is padded with a zero. */
static inline uint8_t *add_element(uint8_t *at, unsigned element, const void *value, unsigned size)
{
    unsigned even = (size + 1) & ~1u;
    const uint8_t head[8] = {0, 0, element, element >> 8, even, even >> 8, 0, 0};
    memcpy(at, head, sizeof head);
    memcpy(at + 8, value, size);
    if (even > size)
        at[8 + size] = 0;
    return at + 8 + even;
}

static inline uint8_t *add_short(uint8_t *at, unsigned element, unsigned value)
{
    const uint8_t little[2] = {value, value >> 8};
    return add_element(at, element, little, sizeof little);
}

/* Write the group length over the 12 bytes that were kept for it in front of `first`. */
static inline void close_command(uint8_t *first, const uint8_t *end)
{
    uint32_t size = end - first;
    const uint8_t little[4] = {size, size >> 8, size >> 16, size >> 24};
    add_element(first - 12, GROUP_LENGTH, little, sizeof little);
}

/* Find an element in a command set; gives its value, and its length in *size, or NULL. */
static inline const uint8_t *find_element(const uint8_t *command, size_t total, unsigned element, uint32_t *size)
{
    for (size_t at = 0; at + 8 <= total;) {
        uint32_t length = little32(command + at + 4);
        if (length > total - at - 8)
            return NULL;
        if (little16(command + at) == 0 && little16(command + at + 2) == element) {
            *size = length;
            return command + at + 8;
        }
        at += 8 + length;
    }
    return NULL;
}

static inline int find_short(const uint8_t *command, size_t total, unsigned element)
{
    uint32_t size;
    const uint8_t *value = find_element(command, total, element, &size);
    return value && size == 2 ? (int)little16(value) : -1;
}

/* Copy a UID without its padding; `to` holds UID_SIZE bytes. */
static inline void copy_uid(char *to, const uint8_t *value, uint32_t size)
{
    if (size >= UID_SIZE)
        size = UID_SIZE - 1;
    memcpy(to, value, size);
    to[size] = 0;
    while (size && (to[size - 1] == 0 || to[size - 1] == ' '))
        to[--size] = 0;
}

/* 0 when all bytes came, -1 when the peer closed or nothing came for too long. */
static inline int read_all(int socket, void *into, size_t size)
{
    for (uint8_t *at = into; size;) {
        ssize_t got = recv(socket, at, size, MSG_WAITALL);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return -1;
        at += got;
        size -= got;
    }
    return 0;
}

static inline int write_all(int socket, struct iovec *parts, int count)
{
    while (count) {
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
        ssize_t sent = sendmsg(socket, &message, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return -1;
        for (; count && (size_t)sent >= parts->iov_len; parts++, count--)
            sent -= parts->iov_len;
        if (count) {
            parts->iov_base = (uint8_t *)parts->iov_base + sent;
            parts->iov_len -= sent;
        }
    }
    return 0;
}

static inline int write_bytes(int socket, const void *bytes, size_t size)
{
    struct iovec one = {(void *)bytes, size};
    return write_all(socket, &one, 1);
}

/* Read a PDU that is small by its nature; gives its type, or -1. */
static inline int read_small_pdu(int socket, uint8_t *body, size_t room, uint32_t *size)
{
    uint8_t header[PDU_HEADER];
    if (read_all(socket, header, sizeof header))
        return -1;
    *size = get32(header + 2);
    return *size > room || read_all(socket, body, *size) ? -1 : header[0];
}

#endif
