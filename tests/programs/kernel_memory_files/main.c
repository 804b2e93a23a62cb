#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TRY(call) do { if ((call) >= 0) { puts("ESCAPED " #call); return 0; } } while (0)

int main(void) {
    const char *files[] = {"/proc/kcore", "/proc/keys", "/proc/key-users", "/proc/kmsg", "/proc/timer_list",
                           "/proc/sched_debug", "/proc/kpageflags", "/proc/kpagecount", "/proc/vmallocinfo",
                           "/sys/firmware/acpi/tables/DSDT", "/sys/kernel/debug/x", "/sys/kernel/security/lsm",
                           "/proc/scsi/scsi", "/proc/acpi/wakeup"};
    for (unsigned i = 0; i < sizeof files / sizeof *files; i++) {
        char byte;
        int fd = open(files[i], O_RDONLY);
        if (fd >= 0 && read(fd, &byte, 1) == 1) {
            printf("ESCAPED %s\n", files[i]);
            return 0;
        }
    }
    FILE *symbols = fopen("/proc/kallsyms", "r");
    char line[256] = "0";
    if (symbols && fgets(line, sizeof line, symbols)) {
        TRY(strtoull(line, NULL, 16) == 0 ? -1 : 0);
    }
    puts("REFUSED");
    return 0;
}
