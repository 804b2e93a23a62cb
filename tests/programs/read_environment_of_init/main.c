#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define TRY(call) do { if ((call) >= 0) { puts("ESCAPED " #call); return 0; } } while (0)

int main(void) {
    const char *files[] = {"environ", "maps", "root/etc/passwd", "cwd/.", "exe", "auxv", "fd/0", "stack"};
    int targets[] = {getppid(), 1};
    for (int i = 0; i < 2; i++) {
        if (targets[i] == 0 || targets[i] == getpid()) {
            continue;
        }
        for (unsigned f = 0; f < sizeof files / sizeof *files; f++) {
            char path[64], byte;
            snprintf(path, sizeof path, "/proc/%d/%s", targets[i], files[f]);
            int fd = open(path, O_RDONLY);
            if (fd >= 0 && read(fd, &byte, 1) == 1) {
                printf("ESCAPED %s\n", path);
                return 0;
            }
        }
    }
    puts("REFUSED");
    return 0;
}
