#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define TRY(call) do { if ((call) >= 0) { puts("ESCAPED " #call); return 0; } } while (0)

int main(void) {
    int targets[] = {getppid(), 1};
    for (int i = 0; i < 2; i++) {
        if (targets[i] == 0 || targets[i] == getpid()) {
            continue;
        }
        char path[64], byte;
        struct iovec here = {&byte, 1}, there = {(void *)main, 1};
        TRY(process_vm_readv(targets[i], &here, 1, &there, 1, 0));
        TRY(process_vm_writev(targets[i], &here, 1, &there, 1, 0));
        snprintf(path, sizeof path, "/proc/%d/mem", targets[i]);
        TRY(open(path, O_RDWR));
        TRY(open(path, O_RDONLY));
        long fd = syscall(SYS_pidfd_open, targets[i], 0);
        TRY(fd < 0 ? -1 : syscall(SYS_pidfd_getfd, fd, 0, 0));
    }
    puts("REFUSED");
    return 0;
}
