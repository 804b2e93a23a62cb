#define _GNU_SOURCE
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TRY(call) do { if ((call) >= 0) { puts("ESCAPED " #call); return 0; } } while (0)

int main(void) {
    TRY(syscall(SYS_add_key, "user", "name", "secret", 6, -3));
    TRY(syscall(SYS_request_key, "user", "name", NULL, -3));
    TRY(syscall(SYS_keyctl, 0, -3, 1));
    puts("REFUSED");
    return 0;
}
