#include <unistd.h>

int main(void) {
    while (fork() >= 0) {
    }
    for (;;) {
        pause();
    }
}
