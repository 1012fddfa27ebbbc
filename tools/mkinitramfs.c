/*
 * mkinitramfs OUT < LIST: writes an uncompressed cpio archive of the "newc"
 * kind, as the Linux kernel unpacks it into its first root file system.
 *
 * The list has one entry a line; modes are octal, a path has no spaces:
 *
 *     dir  MODE PATH
 *     file MODE PATH SOURCE
 *     link PATH TARGET
 *     node MODE PATH c|b MAJOR MINOR
 *
 * Parents come before their children. Owner and times are zero, so that the
 * same list gives the same bytes.
 */
#include "base/compiler.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_MAX_BYTES = 8192, WORDS = 6, COPY_BYTES = 65536 };

struct job {
    struct archive *archive;
    unsigned long line; /* of the list; also the inode number */
};

HK_NORETURN static void fail(const struct job *job, const char *what,
                             const char *why)
{
    fprintf(stderr, "mkinitramfs: line %lu: %s: %s\n", job->line, what, why);
    exit(1);
}

static unsigned long parse_number(const struct job *job, const char *text,
                                  int base)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, base);
    if (errno != 0 || end == text || *end != '\0' || value > 0xfffff)
        fail(job, text, "not a number that fits here");
    return value;
}

static void put_header(const struct job *job, struct archive_entry *entry)
{
    archive_entry_set_ino64(entry, (la_int64_t)job->line);
    if (archive_write_header(job->archive, entry) != ARCHIVE_OK)
        fail(job, archive_entry_pathname(entry),
             archive_error_string(job->archive));
    archive_entry_free(entry);
}

/* An entry of one kind; `path` is stored without its leading slash. */
static struct archive_entry *new_entry(const struct job *job, const char *path,
                                       unsigned int type, unsigned long mode)
{
    struct archive_entry *entry = archive_entry_new();
    if (entry == NULL)
        fail(job, path, "out of memory");
    archive_entry_set_pathname(entry, path + (path[0] == '/'));
    archive_entry_set_filetype(entry, type);
    archive_entry_set_perm(entry, (__LA_MODE_T)mode);
    archive_entry_set_nlink(entry, type == AE_IFDIR ? 2 : 1);
    archive_entry_set_size(entry, 0);
    archive_entry_set_mtime(entry, 0, 0);
    return entry;
}

static void add_dir(const struct job *job, char **word)
{
    put_header(
        job, new_entry(job, word[2], AE_IFDIR, parse_number(job, word[1], 8)));
}

static void add_link(const struct job *job, char **word)
{
    struct archive_entry *entry = new_entry(job, word[1], AE_IFLNK, 0777);
    archive_entry_set_symlink(entry, word[2]);
    archive_entry_set_size(entry, (la_int64_t)strlen(word[2]));
    put_header(job, entry);
}

static void add_node(const struct job *job, char **word)
{
    unsigned int type = word[3][0] == 'b' ? AE_IFBLK : AE_IFCHR;
    struct archive_entry *entry =
        new_entry(job, word[2], type, parse_number(job, word[1], 8));
    archive_entry_set_rdevmajor(entry, parse_number(job, word[4], 10));
    archive_entry_set_rdevminor(entry, parse_number(job, word[5], 10));
    put_header(job, entry);
}

static void copy_file(const struct job *job, FILE *source, const char *name)
{
    static char bytes[COPY_BYTES];
    size_t n;
    while ((n = fread(bytes, 1, sizeof(bytes), source)) > 0)
        if (archive_write_data(job->archive, bytes, n) != (la_ssize_t)n)
            fail(job, name, "the file changed or the disk is full");
    if (ferror(source))
        fail(job, name, strerror(errno));
}

static void add_file(const struct job *job, char **word)
{
    FILE *source = fopen(word[3], "rb");
    if (source == NULL || fseek(source, 0, SEEK_END) != 0)
        fail(job, word[3], strerror(errno));
    long size = ftell(source);
    if (size < 0)
        fail(job, word[3], strerror(errno));
    rewind(source);

    struct archive_entry *entry =
        new_entry(job, word[2], AE_IFREG, parse_number(job, word[1], 8));
    archive_entry_set_size(entry, size);
    put_header(job, entry);
    copy_file(job, source, word[3]);
    fclose(source);
}

static const struct {
    const char *name;
    int words;
    void (*add)(const struct job *job, char **word);
} kinds[] = {
    {"dir", 3, add_dir},
    {"file", 4, add_file},
    {"link", 3, add_link},
    {"node", 6, add_node},
};

static int split(char *line, char **word)
{
    int count = 0;
    for (char *w = strtok(line, " \t\n"); w != NULL && count < WORDS;
         w = strtok(NULL, " \t\n"))
        word[count++] = w;
    return count;
}

static void add_line(const struct job *job, char *line)
{
    char *word[WORDS] = {NULL};
    int count = split(line, word);
    if (count == 0 || word[0][0] == '#')
        return;
    for (size_t i = 0; i < HK_COUNT(kinds); i++) {
        if (strcmp(word[0], kinds[i].name) != 0)
            continue;
        if (count != kinds[i].words)
            fail(job, word[0], "wrong number of words");
        kinds[i].add(job, word);
        return;
    }
    fail(job, word[0], "unknown kind of entry");
}

int main(int argc, char **argv)
{
    struct job job = {.archive = archive_write_new()};
    if (argc != 2 || job.archive == NULL) {
        fprintf(stderr, "usage: mkinitramfs OUT < LIST\n");
        return 2;
    }
    archive_write_set_format_cpio_newc(job.archive);
    archive_write_set_bytes_in_last_block(job.archive, 1);
    if (archive_write_open_filename(job.archive, argv[1]) != ARCHIVE_OK)
        fail(&job, argv[1], archive_error_string(job.archive));

    char line[LINE_MAX_BYTES];
    while (fgets(line, sizeof(line), stdin) != NULL) {
        job.line++;
        if (strchr(line, '\n') == NULL)
            fail(&job, "line", "too long or not ended");
        add_line(&job, line);
    }
    if (archive_write_close(job.archive) != ARCHIVE_OK)
        fail(&job, argv[1], archive_error_string(job.archive));
    archive_write_free(job.archive);
    return 0;
}
