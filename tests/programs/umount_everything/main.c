#define _GNU_SOURCE
#include <stdio.h>
#include <sys/mount.h>

#define TRY(call) do { if ((call) >= 0) { puts("ESCAPED " #call); return 0; } } while (0)

int main(void) {
    const char *points[] = {"/", "/proc", "/dev", "/w", "/tmp", "/box", "/usr", "/dev/shm"};
    for (unsigned i = 0; i < sizeof points / sizeof *points; i++) {
        TRY(umount2(points[i], MNT_DETACH));
    }
    puts("REFUSED");
    return 0;
}
