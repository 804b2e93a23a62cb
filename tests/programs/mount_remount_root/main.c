#define _GNU_SOURCE
#include <stdio.h>
#include <sys/mount.h>

#define TRY(call) do { if ((call) >= 0) { puts("ESCAPED " #call); return 0; } } while (0)

int main(void) {
    TRY(mount(NULL, "/", NULL, MS_REMOUNT, NULL));
    TRY(mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND, NULL));
    TRY(mount("/", "/w", NULL, MS_BIND, NULL));
    puts("REFUSED");
    return 0;
}
