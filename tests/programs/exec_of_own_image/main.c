#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void become(const char *path) {
    if (fork() == 0) {
        // A run of its own program is harmless, and ends here.
        execl(path, "again", NULL);
        _exit(0);
    }
    wait(NULL);
}

int main(int count, char **arguments) {
    if (count > 0 && strcmp(arguments[0], "again") == 0) {
        return 0;
    }
    char path[128], other[512];
    for (int pid = 1; pid <= getpid(); pid++) {
        if (pid == getpid()) {
            continue;
        }
        for (const char *name = "exe\0root\0cwd\0fd\0"; *name; name += strlen(name) + 1) {
            snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
            if (readlink(path, other, sizeof other) >= 0 || open(path, O_RDONLY) >= 0 || chdir(path) == 0) {
                puts("ESCAPED");
                return 0;
            }
        }
        snprintf(path, sizeof path, "/proc/%d/exe", pid);
        become(path);
    }
    FILE *script = fopen("/w/script", "w");
    fputs("#!/proc/1/exe\n", script);
    fclose(script);
    chmod("/w/script", 0755);
    become("/w/script");
    // A descriptor that was left open on a folder outside would lead there.
    for (int number = 3; number < 256; number++) {
        snprintf(path, sizeof path, "/proc/self/fd/%d/../../../../etc/shadow", number);
        if (open(path, O_RDONLY) >= 0) {
            puts("ESCAPED");
            return 0;
        }
    }
    puts("REFUSED");
    return 0;
}
