#define _GNU_SOURCE
#include <errno.h>
#include <linux/sched.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

static void *say(void *text) {
    puts(text);
    return NULL;
}

int main(void) {
    struct clone_args arguments = {.flags = 0x10000000 /* CLONE_NEWUSER */};
    long pid = syscall(SYS_clone3, &arguments, sizeof arguments);
    if (pid >= 0) {
        puts("ESCAPED");
        return 0;
    }
    puts(errno == ENOSYS ? "ENOSYS" : "another error");
    fflush(stdout);
    pthread_t thread;
    if (pthread_create(&thread, NULL, say, "threads work") != 0) {
        puts("no threads");
        return 1;
    }
    pthread_join(thread, NULL);
    return 0;
}
