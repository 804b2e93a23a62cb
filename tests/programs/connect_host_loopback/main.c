#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define TRY(call) do { if ((call) >= 0) { puts("ESCAPED " #call); return 0; } } while (0)

int main(void) {
    for (int port = 1; port < 65536; port++) {
        struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
        to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        if (fd < 0) {
            break;
        }
        if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0) {
            /* A socket whose own port happens to be the one it asks for connects to itself. */
            struct sockaddr_in own;
            socklen_t size = sizeof own;
            getsockname(fd, (struct sockaddr *)&own, &size);
            if (own.sin_port != to.sin_port) {
                printf("ESCAPED port %d\n", port);
                return 0;
            }
        }
        close(fd);
    }
    puts("REFUSED");
    return 0;
}
