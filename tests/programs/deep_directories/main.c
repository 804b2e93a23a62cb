#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

int main(void) {
    int depth = 0;
    while (depth < 100000 && mkdir("d", 0700) == 0 && chdir("d") == 0) {
        depth++;
    }
    puts(depth > 100 ? "deep" : "shallow");
    return 0;
}
