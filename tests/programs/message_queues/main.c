#include <stdio.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>

int main(void) {
    struct {
        long type;
        char text[8192];
    } message = {1, ""};
    for (int key = 1; key < 2048; key++) {
        int id = msgget(0x6000 + key, IPC_CREAT | 0666);
        while (id >= 0 && msgsnd(id, &message, sizeof message.text, IPC_NOWAIT) == 0) {
        }
        semget(0x6000 + key, 16, IPC_CREAT | 0666);
    }
    puts("done");
    return 0;
}
