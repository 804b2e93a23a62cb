#define _GNU_SOURCE
#include <grp.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TRY(call) do { if ((call) >= 0) { puts("ESCAPED " #call); return 0; } } while (0)

int main(void) {
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    gid_t root = 0;
    memset(data, 0xff, sizeof data);
    TRY(setuid(0));
    TRY(setresuid(0, 0, 0));
    TRY(setgid(0));
    TRY(setgroups(1, &root));
    TRY(syscall(SYS_capset, &head, data));
    TRY(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, 21, 0, 0));
    TRY(geteuid() == 0 ? 0 : -1);
    TRY(getuid() == 0 ? 0 : -1);
    TRY(getegid() == 0 ? 0 : -1);
    puts("REFUSED");
    return 0;
}
