#define _GNU_SOURCE
#include <sys/mman.h>

int main(void) {
    unsigned long size = 1UL << 46;
    char *space = MAP_FAILED;
    while (space == MAP_FAILED && size > 1UL << 30) {
        size >>= 1;
        space = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    }
    for (unsigned long at = 0;; at = (at + (2UL << 20)) % size) {
        space[at] = 1;
    }
}
