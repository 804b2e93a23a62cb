#include <fcntl.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/inotify.h>

int main(void) {
    int opened = 0;
    while (open("/dev/null", O_RDONLY) >= 0) {
        opened++;
    }
    printf("%s\n", opened <= 256 ? "bounded" : "ESCAPED");
    return 0;
}
