#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>

#define TRY(call) do { if ((call) >= 0) { puts("ESCAPED " #call); return 0; } } while (0)

int main(void) {
    const char *files[] = {"/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe",
                           "/proc/sys/kernel/hostname", "/proc/sys/kernel/domainname",
                           "/proc/sys/vm/overcommit_memory", "/proc/sys/vm/drop_caches",
                           "/proc/sys/kernel/ns_last_pid", "/proc/sys/fs/file-max",
                           "/proc/sys/net/ipv4/ip_forward", "/proc/sys/kernel/panic",
                           "/proc/sys/kernel/shmmax", "/proc/sys/kernel/msgmax",
                           "/proc/sys/fs/mqueue/queues_max", "/proc/sys/fs/binfmt_misc/register",
                           "/sys/kernel/uevent_helper", "/sys/power/state", "/sys/kernel/mm/ksm/run"};
    for (unsigned i = 0; i < sizeof files / sizeof *files; i++) {
        TRY(open(files[i], O_WRONLY));
        TRY(open(files[i], O_RDWR));
    }
    puts("REFUSED");
    return 0;
}
