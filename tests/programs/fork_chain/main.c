#include <signal.h>
#include <unistd.h>

int main(void) {
    if (fork() > 0) {
        for (;;) {
            pause();
        }
    }
    for (;;) {
        setsid();
        if (fork() > 0) {
            _exit(0);
        }
    }
}
