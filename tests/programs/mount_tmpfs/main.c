#define _GNU_SOURCE
#include <stdio.h>
#include <sys/mount.h>

#define TRY(call) do { if ((call) >= 0) { puts("ESCAPED " #call); return 0; } } while (0)

int main(void) {
    TRY(mount("none", "/w", "tmpfs", 0, ""));
    puts("REFUSED");
    return 0;
}
