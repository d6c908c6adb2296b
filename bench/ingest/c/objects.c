#include "objects.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct context contexts[MOST_CONTEXTS];
int context_count;

void die(const char *what, const char *why)
{
    fprintf(stderr, "load: %s: %s\n", what, why);
    exit(2);
}

static int has_long_header(const uint8_t *vr)
{
    static const char longs[] = "OB OD OF OL OV OW SQ SV UC UN UR UT UV ";
    for (const char *each = longs; *each; each += 3)
        if (!memcmp(vr, each, 2))
            return 1;
    return 0;
}

/* Read one explicit VR element's header; gives where its value starts, or 0 past the end. */
static size_t value_of(const uint8_t *bytes, size_t total, size_t at, uint32_t *tag, uint32_t *size)
{
    if (at + 12 > total)
        return 0;
    *tag = little16(bytes + at) << 16 | little16(bytes + at + 2);
    if (has_long_header(bytes + at + 4)) {
        *size = little32(bytes + at + 8);
        return at + 12;
    }
    *size = little16(bytes + at + 6);
    return at + 8;
}

static size_t read_meta(struct object *o, const uint8_t *bytes, size_t total)
{
    uint32_t tag, size;
    for (size_t at = 132, value; (value = value_of(bytes, total, at, &tag, &size)); at = value + size) {
        if (tag >> 16 != 0x0002)
            return at;
        if (tag == 0x00020002)
            copy_uid(o->sop_class, bytes + value, size);
        if (tag == 0x00020003)
            copy_uid(o->instance, bytes + value, size);
        if (tag == 0x00020010)
            copy_uid(o->syntax, bytes + value, size);
    }
    return 0;
}

/* Note where the UIDs end in the dataset; what lies between is skipped by its length. */
static int find_uids(struct object *o)
{
    static const struct { uint32_t tag; unsigned shared_by; } wanted[] = {
        {0x00080018, 1}, {0x0020000D, STUDY_OF}, {0x0020000E, SERIES_OF}};
    uint32_t tag, size;
    for (size_t at = 0, value; o->uid_count < 3; at = value + size) {
        value = value_of(o->dataset, o->size, at, &tag, &size);
        if (!value || value + size > o->size)
            return -1;
        if (tag != wanted[o->uid_count].tag)
            continue;
        size_t end = value + size;
        while (end > value && (o->dataset[end - 1] == 0 || o->dataset[end - 1] == ' '))
            end--;
        if (end - value <= DIGITS)
            return -1;
        o->uids[o->uid_count].digits = end - DIGITS;
        o->uids[o->uid_count].shared_by = wanted[o->uid_count].shared_by;
        o->uid_count++;
        o->head = end;
    }
    return o->head <= HEAD_SIZE ? 0 : -1;
}

static int context_of(const struct object *o)
{
    int i = 0;
    while (i < context_count && (strcmp(contexts[i].sop_class, o->sop_class) || strcmp(contexts[i].syntax, o->syntax)))
        i++;
    if (i == MOST_CONTEXTS)
        die("FILE", "too many SOP classes and transfer syntaxes");
    if (i == context_count) {
        strcpy(contexts[i].sop_class, o->sop_class);
        strcpy(contexts[i].syntax, o->syntax);
        context_count++;
    }
    return i;
}

void load_file(struct object *o, const char *path)
{
    struct stat facts;
    int file = open(path, O_RDONLY);
    if (file < 0 || fstat(file, &facts))
        die(path, strerror(errno));
    const uint8_t *bytes = mmap(NULL, facts.st_size, PROT_READ, MAP_SHARED | MAP_POPULATE, file, 0);
    close(file);
    if (bytes == MAP_FAILED)
        die(path, strerror(errno));
    size_t dataset = read_meta(o, bytes, facts.st_size);
    if (!dataset || strlen(o->instance) <= DIGITS)
        die(path, "no file meta with UIDs");
    o->dataset = bytes + dataset;
    o->size = facts.st_size - dataset;
    if (find_uids(o))
        die(path, "no SOP Instance, Study and Series UID of more than ten characters near its start");
    o->context = context_of(o);
}

static void stamp(uint8_t *digits, uint64_t number)
{
    for (int i = DIGITS - 1; i >= 0; i--, number /= 10)
        digits[i] = '0' + number % 10;
}

void copy_head(uint8_t *head, const struct object *o, uint64_t serial)
{
    memcpy(head, o->dataset, o->head);
    for (int i = 0; i < o->uid_count; i++)
        stamp(head + o->uids[i].digits, serial / o->uids[i].shared_by * o->uids[i].shared_by);
}

size_t copy_instance(uint8_t *to, const struct object *o, uint64_t serial)
{
    size_t length = strlen(o->instance);
    memcpy(to, o->instance, length);
    stamp(to + length - DIGITS, serial);
    return length;
}
