#include <stdio.h>

char large[6UL << 30] = {1};

int main(void) {
    puts("1");
    return large[1];
}
