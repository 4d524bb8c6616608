/* Sends back what it reads, frame by frame: `echo` sleeps between them, `echo spin` looks first. */
#include <string.h>
#include <unistd.h>

#include "limit.h"

int
main(int argc, char **argv)
{
    bool spin = argc > 1 && strcmp(argv[1], "spin") == 0;
    char frame[FRAME];

    while (read_all(STDIN_FILENO, frame, sizeof frame, spin))
        write_all(STDOUT_FILENO, frame, sizeof frame);
    return 0;
}
