#include <stdio.h>
#include <unistd.h>

int main(void) {
    long result = syscall(0x40000000L + 39);
    puts(result >= 0 ? "ESCAPED" : "REFUSED");
    return 0;
}
