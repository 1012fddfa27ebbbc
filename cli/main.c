/* The `husk` command. */
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "version") == 0) {
        puts("husk " HUSK_VERSION);
        return 0;
    }
    fputs("usage: husk version\n", stderr);
    return 125;
}
