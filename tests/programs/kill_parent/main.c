#include <signal.h>
#include <stdio.h>
#include <unistd.h>

int main(void) {
    int signals[] = {SIGKILL, SIGSTOP, SIGTERM, SIGINT};
    for (int i = 0; i < 4; i++) {
        if (getppid() > 0) {
            kill(getppid(), signals[i]);
        }
        if (getpid() != 1) {
            kill(1, signals[i]);
        }
    }
    puts("done");
    return 0;
}
