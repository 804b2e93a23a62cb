#include <stdio.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>

int main(void) {
    int found = 0;
    for (int key = 1; key < 2048; key++) {
        found += msgget(0x6000 + key, 0) >= 0;
        found += semget(0x6000 + key, 0, 0) >= 0;
    }
    printf("found %d\n", found);
    return 0;
}
