#include <string.h>
#include <unistd.h>

int main(void) {
    static char block[1 << 16];
    memset(block, 'x', sizeof block);
    for (long written = 0; written < 10L << 30;) {
        long count = write(1, block, sizeof block);
        if (count <= 0) {
            return 1;
        }
        written += count;
    }
    return 0;
}
