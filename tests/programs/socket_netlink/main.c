#define _GNU_SOURCE
#include <stdio.h>
#include <sys/socket.h>

#define TRY(call) do { if ((call) >= 0) { puts("ESCAPED " #call); return 0; } } while (0)

int main(void) {
    for (int protocol = 0; protocol < 24; protocol++) {
        TRY(socket(AF_NETLINK, SOCK_RAW, protocol));
    }
    puts("REFUSED");
    return 0;
}
