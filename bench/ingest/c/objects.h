/* Part 10 files whose datasets load.c sends over and over, each time under new UIDs. */
#ifndef OBJECTS_H
#define OBJECTS_H

#include <stddef.h>
#include <stdint.h>

#include "upper_layer.h"

enum {
    DIGITS = 10,
    SERIES_OF = 200,  /* Instances */
    STUDY_OF = 1000,  /* Instances */
    HEAD_SIZE = 8192, /* of a dataset, up to its Series Instance UID */
    MOST_CONTEXTS = 64,
};

/* A file's dataset, and where its UIDs' last digits are. */
struct object {
    const uint8_t *dataset;
    size_t size;
    size_t head; /* bytes up to the end of the last UID that changes */
    struct { size_t digits; unsigned shared_by; } uids[3];
    int uid_count;
    char sop_class[UID_SIZE], instance[UID_SIZE], syntax[UID_SIZE];
    int context;
};

struct context { char sop_class[UID_SIZE], syntax[UID_SIZE]; };

/* The presentation contexts that the files need; filled by load_file. */
extern struct context contexts[MOST_CONTEXTS];
extern int context_count;

/* Map a file into memory; ends the program where it is none of ours. */
void load_file(struct object *o, const char *path);

/* Copy what precedes the pixels into `head`, under the UIDs that belong to a serial number. */
void copy_head(uint8_t *head, const struct object *o, uint64_t serial);

/* Write a SOP Instance UID that belongs to a serial number; gives its length. */
size_t copy_instance(uint8_t *to, const struct object *o, uint64_t serial);

_Noreturn void die(const char *what, const char *why);

#endif
