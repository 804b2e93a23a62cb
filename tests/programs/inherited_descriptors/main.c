#define _GNU_SOURCE
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define TRY(call) do { if ((call) >= 0) { puts("ESCAPED " #call); return 0; } } while (0)

int main(void) {
    struct stat about;
    for (int fd = 3; fd < 65536; fd++) {
        if (fstat(fd, &about) == 0) {
            printf("ESCAPED descriptor %d\n", fd);
            return 0;
        }
    }
    puts("REFUSED");
    return 0;
}
