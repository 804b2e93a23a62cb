#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void) {
    int hit = 0;
    for (int pid = 2; pid < 4194304 / 16; pid++) {
        if (pid != getpid()) {
            hit += kill(pid, SIGSTOP) == 0;
            hit += syscall(SYS_tgkill, pid, pid, SIGKILL) == 0;
        }
    }
    printf("hit %d\n", hit);
    return 0;
}
