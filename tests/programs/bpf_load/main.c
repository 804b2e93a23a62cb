#define _GNU_SOURCE
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TRY(call) do { if ((call) >= 0) { puts("ESCAPED " #call); return 0; } } while (0)

int main(void) {
    unsigned attributes[32] = {2, 4, 4, 1};
    TRY(syscall(SYS_bpf, 0, attributes, sizeof attributes));
    puts("REFUSED");
    return 0;
}
