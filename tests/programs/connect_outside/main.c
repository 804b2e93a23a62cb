#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

#define TRY(call) do { if ((call) >= 0) { puts("ESCAPED " #call); return 0; } } while (0)

int main(void) {
    const char *hosts[] = {"1.1.1.1", "8.8.8.8", "169.254.169.254", "10.0.0.1", "192.168.0.1"};
    for (unsigned i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(53)};
        inet_pton(AF_INET, hosts[i], &to.sin_addr);
        TRY(connect(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)&to, sizeof to));
        TRY(connect(socket(AF_INET, SOCK_DGRAM, 0), (struct sockaddr *)&to, sizeof to));
    }
    puts("REFUSED");
    return 0;
}
