#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

int main(void) {
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    if (fork() == 0) {
        setsid();
        if (vfork() == 0) {
            for (;;) {
                pause();
            }
        }
    }
    if (vfork() == 0) {
        for (;;) {
            pause();
        }
    }
    puts("ESCAPED");
    return 0;
}
