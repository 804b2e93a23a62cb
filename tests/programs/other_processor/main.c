#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TRY(call) do { if ((call) >= 0) { puts("ESCAPED " #call); return 0; } } while (0)

int main(void) {
    cpu_set_t all, own;
    sched_getaffinity(0, sizeof own, &own);
    if (CPU_COUNT(&own) != 1) {
        puts("ESCAPED count");
    }
    CPU_ZERO(&all);
    for (int number = 0; number < CPU_SETSIZE; number++) {
        CPU_SET(number, &all);
    }
    TRY(sched_setaffinity(0, sizeof all, &all));
    TRY(sched_setaffinity(0, sizeof own, &own));
    TRY(syscall(SYS_mbind, 0, 0, 0, 0, 0, 0));
    TRY(syscall(SYS_set_mempolicy, 2, (unsigned long[]){1}, 64));
    TRY(syscall(SYS_migrate_pages, getppid(), 1, (unsigned long[]){1}, (unsigned long[]){1}));
    puts("REFUSED");
    return 0;
}
