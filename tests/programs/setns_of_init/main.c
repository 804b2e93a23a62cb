#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#define TRY(call) do { if ((call) >= 0) { puts("ESCAPED " #call); return 0; } } while (0)

int main(void) {
    const char *kinds[] = {"mnt", "user", "pid", "net", "ipc", "uts", "cgroup"};
    int targets[] = {1, getppid()};
    for (int t = 0; t < 2; t++) {
        for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++) {
            char path[64];
            snprintf(path, sizeof path, "/proc/%d/ns/%s", targets[t], kinds[i]);
            int fd = open(path, O_RDONLY);
            if (fd >= 0) {
                TRY(setns(fd, 0));
            }
        }
    }
    puts("REFUSED");
    return 0;
}
