#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static int tried(const char *root, const char *path, const char *file) {
    char full[4096];
    snprintf(full, sizeof full, "%s%s/%s", root, path, file);
    int fd = open(full, O_WRONLY);
    if (fd >= 0) {
        printf("ESCAPED %s\n", full);
    }
    return fd;
}

int main(void) {
    const char *roots[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/memory", "/sys/fs/cgroup/pids",
                           "/sys/fs/cgroup/cpu", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/freezer"};
    const char *files[] = {"cgroup.procs", "tasks", "memory.max", "memory.limit_in_bytes", "pids.max"};
    char line[4096];
    FILE *own = fopen("/proc/self/cgroup", "r");
    while (own && fgets(line, sizeof line, own)) {
        line[strcspn(line, "\n")] = 0;
        const char *path = strrchr(line, ':') + 1;
        for (int r = 0; r < 6; r++) {
            for (int f = 0; f < 5; f++) {
                tried(roots[r], path, files[f]);
                tried(roots[r], "", files[f]);
            }
        }
    }
    puts("REFUSED");
    return 0;
}
