#include <stdio.h>

int main(void) {
    long result;
    /* 20 is getpid there; in the 64-bit table it is writev. */
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(20) : "memory", "r8", "r9", "r10", "r11");
    puts(result >= 0 ? "ESCAPED" : "REFUSED");
    return 0;
}
