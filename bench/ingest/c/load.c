/* load: a C-STORE SCU that costs next to nothing, so that what is measured is the SCP.
 *
 *     cc -O2 -pthread load.c objects.c -o load
 *     load [-a ASSOCIATIONS] [-n OBJECTS] [-t SECONDS] [-s SERIAL] [-p PDU] [-c CALLED] [-g CALLING] PORT FILE...
 *
 * FILEs are Part 10 files in explicit VR little endian or encapsulated. Their datasets are sent from
 * memory, over and over, each time as a new object: the last ten digits of the Study, Series and SOP
 * Instance UIDs become a serial number. Every association sends Series of 200 Instances of its own;
 * -s sets its first serial number. All associations are open before the first object is sent; from
 * then on each sends the next object when the last one was answered, until OBJECTS were sent in all or
 * SECONDS are over. One line of JSON tells what came of it. Exit status 0 says no more than that it
 * could be told: `failures` counts what was not answered with Success.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "objects.h"
#include "upper_layer.h"

enum {
    MOST_ASSOCIATIONS = 64,
    MOST_FRAGMENTS = 256, /* of one system call */
    PATIENCE_S = 60,      /* for any one answer */
    UNANSWERED = -1,
};
/* Serial numbers of different associations do not meet, and all have ten digits. */
static const uint64_t FIRST_SERIAL = 1000000000, SERIALS_EACH = 10000000;

struct association {
    int number, socket;
    uint32_t pdu_size;             /* the smaller of ours and the peer's */
    uint8_t accepted[MOST_CONTEXTS];
    long stored, failures;
    double bytes, first_at, last_at;
    double *seconds;               /* of each answer */
    size_t answers, room;
    char trouble[160];             /* the first one, in words */
};

static struct object *objects;
static int object_count, association_count = 1, port;
static long most_objects = 0;
static double most_seconds = 0, deadline;
static uint64_t serial_offset = 0;
static uint32_t own_pdu_size = 128 * 1024;
static const char *called = "ANY-SCP", *calling = "LOAD";
static atomic_long begun;
static pthread_barrier_t all_associated;

static double now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec + at.tv_nsec * 1e-9;
}

static void fault(struct association *a, const char *form, ...)
{
    va_list values;
    a->failures++;
    if (a->trouble[0])
        return;
    va_start(values, form);
    vsnprintf(a->trouble, sizeof a->trouble, form, values);
    va_end(values);
}

/* ---- association ---------------------------------------------------------------------------- */

static int connect_to_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {.tv_sec = PATIENCE_S};
    int made = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    setsockopt(made, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(made, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(made, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (connect(made, (struct sockaddr *)&address, sizeof address) == 0)
        return made;
    close(made);
    return -1;
}

static size_t make_request(uint8_t *request)
{
    uint8_t *at = request + PDU_HEADER, user[128], largest[4];
    memset(at, 0, FIXED_FIELDS);
    put16(at, 1); /* protocol version */
    memset(at + 4, ' ', 32);
    memcpy(at + 4, called, strnlen(called, 16));
    memcpy(at + 20, calling, strnlen(calling, 16));
    at = add_item(at + FIXED_FIELDS, 0x10, APPLICATION_CONTEXT, strlen(APPLICATION_CONTEXT));
    for (int i = 0; i < context_count; i++) {
        uint8_t value[4 + 2 * (4 + UID_SIZE)] = {2 * i + 1}, *end = value + 4;
        end = add_item(end, 0x30, contexts[i].sop_class, strlen(contexts[i].sop_class));
        end = add_item(end, 0x40, contexts[i].syntax, strlen(contexts[i].syntax));
        at = add_item(at, 0x20, value, end - value);
    }
    put32(largest, MESSAGE_SIZE);
    uint8_t *end = add_item(user, 0x51, largest, sizeof largest);
    end = add_item(end, 0x52, "2.25.2", 6);
    at = add_item(at, 0x50, user, end - user);
    add_header(request, ASSOCIATE_RQ, at - request - PDU_HEADER);
    return at - request;
}

static void read_acceptance(struct association *a, const uint8_t *body, size_t size)
{
    a->pdu_size = own_pdu_size;
    for (size_t at = FIXED_FIELDS; at + 4 <= size; at += 4 + get16(body + at + 2)) {
        size_t end = at + 4 + get16(body + at + 2);
        if (end > size)
            return;
        if (body[at] == 0x21 && end >= at + 8 && body[at + 4] / 2 < MOST_CONTEXTS)
            a->accepted[body[at + 4] / 2] = body[at + 6] == 0;
        if (body[at] != 0x50)
            continue;
        for (size_t sub = at + 4; sub + 8 <= end; sub += 4 + get16(body + sub + 2)) {
            uint32_t theirs = get32(body + sub + 4);
            if (body[sub] == 0x51 && theirs && theirs < a->pdu_size) /* 0: no limit */
                a->pdu_size = theirs;
        }
    }
}

static void associate(struct association *a)
{
    uint8_t message[MESSAGE_SIZE];
    uint32_t size;
    a->socket = connect_to_port();
    if (a->socket < 0) {
        fault(a, "no connection: %s", strerror(errno));
        return;
    }
    size_t length = make_request(message);
    int sent = write_bytes(a->socket, message, length);
    int kind = sent ? -1 : read_small_pdu(a->socket, message, sizeof message, &size);
    if (kind == ASSOCIATE_AC) {
        read_acceptance(a, message, size);
        return;
    }
    fault(a, kind == 3 ? "association rejected" : "association not answered");
    close(a->socket);
    a->socket = -1;
}

static void release(struct association *a)
{
    static const uint8_t request[] = {RELEASE_RQ, 0, 0, 0, 0, 4, 0, 0, 0, 0};
    uint8_t answer[64];
    uint32_t size;
    if (write_bytes(a->socket, request, sizeof request)
        || read_small_pdu(a->socket, answer, sizeof answer, &size) != RELEASE_RP)
        fault(a, "release not answered");
    close(a->socket);
}

/* ---- C-STORE -------------------------------------------------------------------------------- */

/* What is sent of one object: a copy of the dataset's head with new UIDs, the rest as it lies. */
struct message {
    struct iovec parts[3 * MOST_FRAGMENTS + 1];
    uint8_t headers[MOST_FRAGMENTS][BOTH_HEADERS];
    uint8_t head[HEAD_SIZE];
    uint8_t command[BOTH_HEADERS + 512];
    int count, fragments;
};

static size_t make_command(uint8_t *message, const struct object *o, uint64_t serial, unsigned id)
{
    uint8_t *first = message + BOTH_HEADERS + 12, *at = first, instance[UID_SIZE];
    size_t length = copy_instance(instance, o, serial);
    at = add_element(at, SOP_CLASS, o->sop_class, strlen(o->sop_class));
    at = add_short(at, COMMAND_FIELD, C_STORE_RQ);
    at = add_short(at, MESSAGE_ID, id);
    at = add_short(at, PRIORITY, 0);
    at = add_short(at, DATASET_TYPE, 0);
    at = add_element(at, SOP_INSTANCE, instance, length);
    close_command(first, at);
    add_fragment_headers(message, at - message - BOTH_HEADERS, 2 * o->context + 1, IS_COMMAND | IS_LAST);
    return at - message;
}

static void add_part(struct message *m, const void *bytes, size_t size)
{
    if (size)
        m->parts[m->count++] = (struct iovec){(void *)bytes, size};
}

static int flush(struct association *a, struct message *m)
{
    int failed = write_all(a->socket, m->parts, m->count);
    m->count = m->fragments = 0;
    return failed;
}

static int send_object(struct association *a, struct message *m, const struct object *o, uint64_t serial, unsigned id)
{
    copy_head(m->head, o, serial);
    m->count = m->fragments = 0;
    add_part(m, m->command, make_command(m->command, o, serial, id));
    for (size_t at = 0; at < o->size;) {
        size_t size = a->pdu_size - PDV_HEADER;
        if (size > o->size - at)
            size = o->size - at;
        uint8_t *headers = m->headers[m->fragments++];
        add_fragment_headers(headers, size, 2 * o->context + 1, at + size == o->size ? IS_LAST : 0);
        add_part(m, headers, BOTH_HEADERS);
        size_t copied = at >= o->head ? 0 : size < o->head - at ? size : o->head - at;
        add_part(m, m->head + at, copied);
        add_part(m, o->dataset + at + copied, size - copied);
        at += size;
        if (m->fragments == MOST_FRAGMENTS && flush(a, m))
            return -1;
    }
    return flush(a, m);
}

/* The status of the answer to message `id`, or UNANSWERED. */
static int read_answer(struct association *a, unsigned id)
{
    uint8_t body[MESSAGE_SIZE], command[MESSAGE_SIZE];
    uint32_t size;
    size_t held = 0;
    for (;;) {
        if (read_small_pdu(a->socket, body, sizeof body, &size) != P_DATA_TF)
            return UNANSWERED;
        for (size_t at = 0; at + PDV_HEADER <= size; at += 4 + get32(body + at)) {
            size_t length = get32(body + at) - 2;
            if (length > size - at - PDV_HEADER || length > sizeof command - held)
                return UNANSWERED;
            memcpy(command + held, body + at + PDV_HEADER, length);
            held += length;
            if (!(body[at + 5] & IS_LAST))
                continue;
            return find_short(command, held, ANSWERED_ID) == (int)id ? find_short(command, held, STATUS) : UNANSWERED;
        }
    }
}

static void note_answer(struct association *a, const struct object *o, double seconds, int status)
{
    if (a->answers == a->room) {
        a->room = a->room ? 2 * a->room : 4096;
        a->seconds = realloc(a->seconds, a->room * sizeof *a->seconds);
        if (!a->seconds)
            die("memory", "none left");
    }
    a->seconds[a->answers++] = seconds;
    if (status == 0) {
        a->stored++;
        a->bytes += o->size;
    } else {
        fault(a, "status 0x%04X", status);
    }
}

static void store_all(struct association *a, struct message *m)
{
    a->first_at = a->last_at = now();
    for (long sent = 0; !most_seconds || a->last_at < deadline; sent++) {
        if (most_objects && atomic_fetch_add(&begun, 1) >= most_objects)
            return;
        const struct object *o = &objects[(a->number + sent * association_count) % object_count];
        if (!a->accepted[o->context]) {
            fault(a, "presentation context refused: %s", contexts[o->context].syntax);
            return;
        }
        uint64_t serial = FIRST_SERIAL + a->number * SERIALS_EACH + serial_offset + sent;
        unsigned id = sent % 65535 + 1;
        double began = now();
        int status = send_object(a, m, o, serial, id) ? UNANSWERED : read_answer(a, id);
        a->last_at = now();
        if (status == UNANSWERED) {
            fault(a, "object %ld was not answered", sent);
            close(a->socket);
            a->socket = -1;
            return;
        }
        note_answer(a, o, a->last_at - began, status);
    }
}

static void *run(void *argument)
{
    struct association *a = argument;
    struct message *m = malloc(sizeof *m);
    if (!m)
        die("memory", "none left");
    associate(a);
    pthread_barrier_wait(&all_associated); /* everybody is connected: */
    pthread_barrier_wait(&all_associated); /* and knows when to end */
    if (a->socket >= 0)
        store_all(a, m);
    if (a->socket >= 0)
        release(a);
    free(m);
    return NULL;
}

/* ---- result --------------------------------------------------------------------------------- */

static int by_size(const void *left, const void *right)
{
    double l = *(const double *)left, r = *(const double *)right;
    return (l > r) - (l < r);
}

static void tell(struct association *all, double associate_seconds)
{
    long stored = 0, failures = 0;
    size_t answers = 0;
    double bytes = 0, first = 0, last = 0;
    const char *trouble = "";
    for (int i = 0; i < association_count; i++)
        answers += all[i].answers;
    double *seconds = malloc((answers + 1) * sizeof *seconds), *end = seconds;
    for (int i = 0; i < association_count; i++) {
        struct association *a = &all[i];
        if (a->answers) {
            memcpy(end, a->seconds, a->answers * sizeof *seconds);
            end += a->answers;
            first = first == 0 || a->first_at < first ? a->first_at : first;
            last = a->last_at > last ? a->last_at : last;
        }
        stored += a->stored;
        failures += a->failures;
        bytes += a->bytes;
        trouble = trouble[0] ? trouble : a->trouble;
    }
    qsort(seconds, answers, sizeof *seconds, by_size);
    seconds[answers] = 0;
    struct timespec cpu;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    printf("{\"objects\": %ld, \"failures\": %ld, \"bytes\": %.0f, \"seconds\": %.6f, \"associate_s\": %.6f, "
           "\"p50_ms\": %.4f, \"p99_ms\": %.4f, \"max_ms\": %.4f, \"client_cpu_s\": %.4f, \"pdu_bytes\": %u, "
           "\"trouble\": \"%s\"}\n",
           stored, failures, bytes, last - first, associate_seconds, 1e3 * seconds[answers / 2],
           1e3 * seconds[answers * 99 / 100], 1e3 * seconds[answers ? answers - 1 : 0],
           cpu.tv_sec + cpu.tv_nsec * 1e-9, all[0].pdu_size, trouble);
    free(seconds);
}

static void read_options(int count, char **words)
{
    int option;
    while ((option = getopt(count, words, "a:n:t:s:p:c:g:")) > 0)
        switch (option) {
        case 'a': association_count = atoi(optarg); break;
        case 'n': most_objects = atol(optarg); break;
        case 't': most_seconds = atof(optarg); break;
        case 's': serial_offset = strtoull(optarg, NULL, 10); break;
        case 'p': own_pdu_size = atol(optarg); break;
        case 'c': called = optarg; break;
        case 'g': calling = optarg; break;
        default: exit(2);
        }
    if (count - optind < 2)
        die("usage", "load [options] PORT FILE...");
    if (association_count < 1 || association_count > MOST_ASSOCIATIONS)
        die("-a", "1 to 64");
    if (!most_objects && !most_seconds)
        die("-n, -t", "one of them must end it");
    port = atoi(words[optind]);
}

int main(int count, char **words)
{
    static struct association all[MOST_ASSOCIATIONS];
    pthread_t threads[MOST_ASSOCIATIONS];
    read_options(count, words);
    object_count = count - optind - 1;
    objects = calloc(object_count, sizeof *objects);
    for (int i = 0; i < object_count; i++)
        load_file(&objects[i], words[optind + 1 + i]);

    pthread_barrier_init(&all_associated, NULL, association_count + 1);
    double began = now();
    for (int i = 0; i < association_count; i++) {
        all[i].number = i;
        if (pthread_create(&threads[i], NULL, run, &all[i]))
            die("thread", "cannot be made");
    }
    pthread_barrier_wait(&all_associated);
    double associated = now() - began;
    deadline = now() + most_seconds;
    pthread_barrier_wait(&all_associated);
    for (int i = 0; i < association_count; i++)
        pthread_join(threads[i], NULL);
    tell(all, associated);
    return 0;
}
