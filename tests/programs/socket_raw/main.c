#define _GNU_SOURCE
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

#define TRY(call) do { if ((call) >= 0) { puts("ESCAPED " #call); return 0; } } while (0)

int main(void) {
    TRY(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
    TRY(socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6));
    puts("REFUSED");
    return 0;
}
