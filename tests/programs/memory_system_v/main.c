#include <stdio.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/shm.h>

int main(void) {
    for (int key = 1; key < 4096; key++) {
        int id = shmget(0x5000 + key, 4 << 20, IPC_CREAT | 0666);
        char *block = id < 0 ? (char *)-1 : shmat(id, 0, 0);
        if (block != (char *)-1) {
            memset(block, 1, 4 << 20);
        }
    }
    puts("done");
    return 0;
}
