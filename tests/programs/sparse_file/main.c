#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

int main(void) {
    signal(SIGXFSZ, SIG_IGN);
    int fd = open("/w/sparse", O_CREAT | O_RDWR, 0600);
    int grown = ftruncate(fd, 1L << 40) == 0;
    int reserved = fallocate(fd, 0, 0, 1L << 40) == 0;
    int written = pwrite(fd, "x", 1, 1L << 40) == 1;
    puts(grown || reserved || written ? "ESCAPED" : "REFUSED");
    return 0;
}
