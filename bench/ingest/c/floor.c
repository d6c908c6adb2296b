/* floor: what the disk and the kernel allow a C-STORE SCP, and nothing else.
 *
 *     cc -O2 -pthread floor.c -o floor        floor PORT [LOG]
 *
 * One thread per association reads datasets from its socket and appends them to one log, by buffered
 * writes. Before it answers it waits until an fdatasync that began after its last write has ended;
 * whoever finds none under way does it for all who wait (group commit). It keeps no facts, checks
 * nothing and accepts every presentation context with the first transfer syntax offered: a real node
 * can only come near it.
 *
 * Without LOG it keeps nothing, and the kernel drops datasets without copying them: a receiver that
 * costs next to nothing, to see what a sender can do.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "upper_layer.h"

enum { LARGEST_PDU = 128 * 1024, BUFFER_SIZE = 1024 * 1024 };

static int log_file = -1; /* none: nothing is kept */
static pthread_mutex_t appending = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t committing = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t committed = PTHREAD_COND_INITIALIZER;
static uint64_t appended_count, durable_count; /* objects */
static int sync_under_way;

/* What one thread knows of the object that it receives. */
struct association {
    int socket;
    uint8_t *buffer;
    size_t held; /* bytes in the buffer */
    uint8_t command[MESSAGE_SIZE];
    size_t command_size;
};

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void append(struct association *a, int whole_object)
{
    pthread_mutex_lock(&appending);
    for (size_t done = 0; done < a->held;) {
        ssize_t written = write(log_file, a->buffer + done, a->held - done);
        if (written < 0)
            fail("write");
        done += written;
    }
    a->held = 0;
    uint64_t ticket = appended_count += whole_object;
    pthread_mutex_unlock(&appending);
    if (!whole_object)
        return;

    pthread_mutex_lock(&committing);
    while (durable_count < ticket) {
        if (sync_under_way) {
            pthread_cond_wait(&committed, &committing);
            continue;
        }
        sync_under_way = 1;
        pthread_mutex_unlock(&committing);
        pthread_mutex_lock(&appending);
        uint64_t covered = appended_count;
        pthread_mutex_unlock(&appending);
        if (fdatasync(log_file))
            fail("fdatasync");
        pthread_mutex_lock(&committing);
        durable_count = covered;
        sync_under_way = 0;
        pthread_cond_broadcast(&committed);
    }
    pthread_mutex_unlock(&committing);
}

/* Answer A-ASSOCIATE-RQ: every context is accepted with its first transfer syntax. */
static int accept_association(int socket)
{
    uint8_t request[MESSAGE_SIZE], answer[MESSAGE_SIZE + 256];
    uint32_t size;
    if (read_small_pdu(socket, request, sizeof request, &size) != ASSOCIATE_RQ || size < FIXED_FIELDS)
        return -1;
    memcpy(answer + PDU_HEADER, request, FIXED_FIELDS);
    uint8_t *end = answer + PDU_HEADER + FIXED_FIELDS;
    end = add_item(end, 0x10, APPLICATION_CONTEXT, strlen(APPLICATION_CONTEXT));
    for (size_t at = FIXED_FIELDS; at + 4 <= size; at += 4 + get16(request + at + 2)) {
        size_t item_end = at + 4 + get16(request + at + 2);
        if (request[at] != 0x20 || item_end > size)
            continue;
        for (size_t sub = at + 8; sub + 4 <= item_end; sub += 4 + get16(request + sub + 2)) {
            unsigned length = get16(request + sub + 2);
            if (request[sub] != 0x40 || sub + 4 + length > item_end)
                continue;
            uint8_t context[4 + 4 + UID_SIZE] = {request[at + 4]};
            if (length >= UID_SIZE)
                return -1;
            uint8_t *filled = add_item(context + 4, 0x40, request + sub + 4, length);
            end = add_item(end, 0x21, context, filled - context);
            break;
        }
    }
    uint8_t user[64], largest[4];
    put32(largest, LARGEST_PDU);
    uint8_t *filled = add_item(user, 0x51, largest, sizeof largest);
    filled = add_item(filled, 0x52, "2.25.1", 6);
    end = add_item(end, 0x50, user, filled - user);
    add_header(answer, ASSOCIATE_AC, end - answer - PDU_HEADER);
    return write_bytes(socket, answer, end - answer);
}

static int answer_store(struct association *a, int context_id)
{
    uint8_t message[BOTH_HEADERS + 512], *first = message + BOTH_HEADERS + 12, *end = first;
    uint32_t class_size = 0, instance_size = 0;
    const uint8_t *class = find_element(a->command, a->command_size, SOP_CLASS, &class_size);
    const uint8_t *instance = find_element(a->command, a->command_size, SOP_INSTANCE, &instance_size);
    int id = find_short(a->command, a->command_size, MESSAGE_ID);
    if (!class || !instance || id < 0 || class_size > UID_SIZE || instance_size > UID_SIZE)
        return -1;
    end = add_element(end, SOP_CLASS, class, class_size);
    end = add_short(end, COMMAND_FIELD, C_STORE_RSP);
    end = add_short(end, ANSWERED_ID, id);
    end = add_short(end, DATASET_TYPE, NO_DATASET);
    end = add_short(end, STATUS, 0);
    end = add_element(end, SOP_INSTANCE, instance, instance_size);
    close_command(first, end);
    add_fragment_headers(message, end - message - BOTH_HEADERS, context_id, IS_COMMAND | IS_LAST);
    a->command_size = 0;
    return write_bytes(a->socket, message, end - message);
}

/* Have the kernel drop bytes (tcp(7), MSG_TRUNC). */
static int drop_all(int socket, size_t size)
{
    while (size) {
        ssize_t got = recv(socket, NULL, size, MSG_TRUNC | MSG_WAITALL);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return -1;
        size -= got;
    }
    return 0;
}

static int read_fragment(struct association *a, uint32_t size, int context_id, int control)
{
    if (control & IS_COMMAND) {
        if (size > sizeof a->command - a->command_size)
            return -1;
        if (read_all(a->socket, a->command + a->command_size, size))
            return -1;
        a->command_size += size;
        return 0;
    }
    if (log_file < 0) {
        if (drop_all(a->socket, size))
            return -1;
        return control & IS_LAST ? answer_store(a, context_id) : 0;
    }
    if (size > BUFFER_SIZE)
        return -1;
    if (size > BUFFER_SIZE - a->held)
        append(a, 0);
    if (read_all(a->socket, a->buffer + a->held, size))
        return -1;
    a->held += size;
    if (!(control & IS_LAST))
        return 0;
    append(a, 1);
    return answer_store(a, context_id);
}

static int read_data_pdu(struct association *a, uint32_t size)
{
    while (size) {
        uint8_t header[PDV_HEADER];
        if (size < sizeof header || read_all(a->socket, header, sizeof header))
            return -1;
        uint32_t length = get32(header);
        if (length < 2 || length + 4 > size || read_fragment(a, length - 2, header[4], header[5]))
            return -1;
        size -= length + 4;
    }
    return 0;
}

static void *serve(void *argument)
{
    static const uint8_t released[] = {RELEASE_RP, 0, 0, 0, 0, 4, 0, 0, 0, 0};
    struct association *a = argument;
    uint8_t header[PDU_HEADER];
    a->buffer = malloc(BUFFER_SIZE);
    if (a->buffer && accept_association(a->socket) == 0)
        while (read_all(a->socket, header, sizeof header) == 0) {
            if (header[0] == RELEASE_RQ)
                write_bytes(a->socket, released, sizeof released);
            if (header[0] != P_DATA_TF || read_data_pdu(a, get32(header + 2)))
                break;
        }
    close(a->socket);
    free(a->buffer);
    free(a);
    return NULL;
}

int main(int count, char **words)
{
    if (count != 2 && count != 3) {
        fprintf(stderr, "usage: floor PORT [LOG]\n");
        return 2;
    }
    if (count == 3) {
        log_file = open(words[2], O_CREAT | O_WRONLY | O_EXCL, 0600);
        if (log_file < 0)
            fail(words[2]);
    }
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(atoi(words[1])),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 64))
        fail("listen");
    for (;;) {
        int socket = accept(listener, NULL, NULL);
        if (socket < 0)
            continue;
        setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        struct association *a = calloc(1, sizeof *a);
        pthread_t thread;
        if (!a)
            fail("calloc");
        a->socket = socket;
        if (pthread_create(&thread, NULL, serve, a))
            fail("pthread_create");
        pthread_detach(thread);
    }
}
