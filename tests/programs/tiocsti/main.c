#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define TRY(call) do { if ((call) >= 0) { puts("ESCAPED " #call); return 0; } } while (0)

int main(void) {
    for (int fd = 0; fd < 3; fd++) {
        TRY(ioctl(fd, TIOCSTI, "x"));
        /* The kernel compares 32 bits only; a filter that compares 64 is passed by this. */
        TRY(ioctl(fd, TIOCSTI | (1UL << 32), "x"));
        TRY(ioctl(fd, TIOCLINUX, "\3"));
    }
    TRY(open("/dev/tty", O_RDWR));
    puts("REFUSED");
    return 0;
}
