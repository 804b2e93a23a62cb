#define _GNU_SOURCE
#include <stdio.h>
#include <sys/mman.h>
#include <sys/personality.h>

#define TRY(call) do { if ((call) >= 0) { puts("ESCAPED " #call); return 0; } } while (0)

int main(void) {
    TRY(personality(ADDR_NO_RANDOMIZE));
    TRY(personality(READ_IMPLIES_EXEC | MMAP_PAGE_ZERO));
    void *zero = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    TRY(zero == MAP_FAILED ? -1 : 0);
    puts("REFUSED");
    return 0;
}
