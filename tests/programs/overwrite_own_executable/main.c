#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define TRY(call) do { if ((call) >= 0) { puts("ESCAPED " #call); return 0; } } while (0)

int main(void) {
    const char *paths[] = {"/proc/self/exe", "/proc/1/exe", "/proc/%d/exe"};
    for (int i = 0; i < 3; i++) {
        char path[64];
        snprintf(path, sizeof path, paths[i], getppid());
        if (i > 0 && (getppid() == 0 || getpid() == 1)) {
            continue;
        }
        TRY(open(path, O_WRONLY));
        TRY(open(path, O_RDWR | O_TRUNC));
        int held = open(path, O_PATH);
        if (held >= 0) {
            snprintf(path, sizeof path, "/proc/self/fd/%d", held);
            TRY(open(path, O_WRONLY));
        }
    }
    puts("REFUSED");
    return 0;
}
