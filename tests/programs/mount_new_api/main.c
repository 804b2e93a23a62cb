#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TRY(call) do { if ((call) >= 0) { puts("ESCAPED " #call); return 0; } } while (0)

int main(void) {
    TRY(syscall(SYS_fsopen, "tmpfs", 0));
    TRY(syscall(SYS_open_tree, AT_FDCWD, "/", 1));
    TRY(syscall(SYS_mount_setattr, AT_FDCWD, "/", 0, NULL, 0));
    TRY(syscall(SYS_fspick, AT_FDCWD, "/", 0));
    puts("REFUSED");
    return 0;
}
