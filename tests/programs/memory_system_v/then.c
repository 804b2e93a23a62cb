#include <stdio.h>
#include <sys/ipc.h>
#include <sys/shm.h>

int main(void) {
    int found = 0;
    for (int key = 1; key < 4096; key++) {
        found += shmget(0x5000 + key, 0, 0) >= 0;
    }
    printf("found %d\n", found);
    return 0;
}
