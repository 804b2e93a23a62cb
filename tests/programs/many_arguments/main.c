#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int count, char **arguments) {
    enum { STRINGS = 16384 };
    static char *many[STRINGS + 2], text[120000];
    memset(text, 'x', sizeof text - 1);
    many[0] = "/proc/self/exe";
    // Half again as many as the last time, until they no longer fit.
    int strings = count < 4 ? 4 : count + count / 2;
    if (strings > STRINGS) {
        strings = STRINGS;
    }
    for (int number = 1; number <= strings; number++) {
        many[number] = text;
    }
    for (; strings > 0; strings--) {
        many[strings + 1] = NULL;
        execve(arguments[0], many, many + 1);
        execv("/proc/self/exe", many);
    }
    puts("bounded");
    return 0;
}
