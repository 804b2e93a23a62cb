#define _GNU_SOURCE
#include <stdio.h>
#include <sys/socket.h>

#define TRY(call) do { if ((call) >= 0) { puts("ESCAPED " #call); return 0; } } while (0)

int main(void) {
    for (int family = 3; family < 64; family++) {
        if (family == AF_INET6) {
            continue;
        }
        TRY(socket(family, SOCK_STREAM, 0));
        TRY(socket(family, SOCK_DGRAM, 0));
        TRY(socket(family, SOCK_SEQPACKET, 0));
        TRY(socket(family, SOCK_RAW, 0));
    }
    puts("REFUSED");
    return 0;
}
