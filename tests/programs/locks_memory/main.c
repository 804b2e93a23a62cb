#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

int main(void) {
    mlockall(MCL_CURRENT | MCL_FUTURE);
    for (;;) {
        char *block = malloc(1 << 20);
        if (block) {
            memset(block, 1, 1 << 20);
        }
    }
}
