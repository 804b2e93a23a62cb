#define _GNU_SOURCE
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <unistd.h>

#define TRY(call) do { if ((call) >= 0) { puts("ESCAPED " #call); return 0; } } while (0)

int main(void) {
    pid_t targets[] = {getppid(), 1};
    for (int i = 0; i < 2; i++) {
        if (targets[i] == 0 || targets[i] == getpid()) {
            continue;
        }
        TRY(ptrace(PTRACE_ATTACH, targets[i], 0, 0));
        TRY(ptrace(PTRACE_SEIZE, targets[i], 0, 0));
    }
    puts("REFUSED");
    return 0;
}
