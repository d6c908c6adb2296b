/* durable: makes an SCP that writes a file per object durable from outside.
 *
 *     cc -O2 -shared -fPIC durable.c -o durable.so -ldl      LD_PRELOAD=./durable.so storescp ...
 *
 * A regular file that was open for writing is synced before it is closed, so that DCMTK's storescp,
 * which closes the file before it answers, answers only for what is on disk. On ext4, btrfs and XFS
 * the sync of a new file takes its directory entry with it; on others set SYNC_FOLDERS=1, and the
 * folder is synced as well.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int (*libc_close)(int);
static int (*libc_fclose)(FILE *);
static int with_folders;

__attribute__((constructor)) static void find_libc(void)
{
    const char *words = getenv("SYNC_FOLDERS");
    *(void **)&libc_close = dlsym(RTLD_NEXT, "close");
    *(void **)&libc_fclose = dlsym(RTLD_NEXT, "fclose");
    with_folders = words && !strcmp(words, "1");
}

static void sync_folder(int file)
{
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t size = readlink(link, path, sizeof path - 1);
    char *slash = size > 0 ? (path[size] = 0, strrchr(path, '/')) : NULL;
    if (!slash || slash == path)
        return;
    *slash = 0;
    int folder = open(path, O_RDONLY | O_DIRECTORY);
    if (folder < 0)
        return;
    fsync(folder);
    libc_close(folder);
}

static void sync_written(int file)
{
    struct stat facts;
    int flags = fcntl(file, F_GETFL);
    if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY || fstat(file, &facts) || !S_ISREG(facts.st_mode))
        return;
    fdatasync(file);
    if (with_folders)
        sync_folder(file);
}

int close(int file)
{
    if (file > STDERR_FILENO)
        sync_written(file);
    return libc_close(file);
}

int fclose(FILE *stream)
{
    int file = fileno(stream);
    if (file > STDERR_FILENO) {
        fflush(stream);
        sync_written(file);
    }
    return libc_fclose(stream);
}
