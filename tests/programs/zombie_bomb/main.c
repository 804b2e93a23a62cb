#include <stdio.h>
#include <unistd.h>

int main(void) {
    int children = 0;
    for (; children < 100000; children++) {
        int pid = fork();
        if (pid == 0) {
            _exit(0);
        }
        if (pid < 0) {
            break;
        }
    }
    puts(children < 64 ? "REFUSED" : "ESCAPED");
    return 0;
}
