#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>

#define TRY(call) do { if ((call) >= 0) { puts("ESCAPED " #call); return 0; } } while (0)

int main(void) {
    TRY(socket(AF_PACKET, SOCK_RAW, htons(3)));
    TRY(socket(AF_PACKET, SOCK_DGRAM, htons(3)));
    puts("REFUSED");
    return 0;
}
