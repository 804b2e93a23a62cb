#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(void) {
    for (int child = 0; child < 32; child++) {
        if (fork() == 0) {
            char *block = memset(malloc(8 << 20), 1, 8 << 20);
            /* Or the compiler sees that nobody reads it. */
            __asm__ volatile("" : : "r"(block) : "memory");
            for (;;) {
                pause();
            }
        }
    }
    for (;;) {
        pause();
    }
}
