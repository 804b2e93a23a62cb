#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

int main(void) {
    char path[64];
    for (int i = 0; i < 1000000; i++) {
        snprintf(path, sizeof path, "/w/%d", i);
        int fd = open(path, O_CREAT | O_WRONLY, 0600);
        if (fd < 0) {
            puts("REFUSED");
            return 0;
        }
        close(fd);
    }
    puts("ESCAPED");
    return 0;
}
