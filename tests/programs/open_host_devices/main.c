#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>

#define TRY(call) do { if ((call) >= 0) { puts("ESCAPED " #call); return 0; } } while (0)

int main(void) {
    const char *devices[] = {"/dev/kvm", "/dev/mem", "/dev/kmem", "/dev/port", "/dev/kmsg", "/dev/fuse",
                             "/dev/vda", "/dev/sda", "/dev/loop0", "/dev/net/tun", "/dev/vhost-net",
                             "/dev/console", "/dev/tty", "/dev/tty0", "/dev/ptmx", "/dev/pts/ptmx",
                             "/dev/vsock", "/dev/userfaultfd", "/dev/hpet", "/dev/uinput"};
    for (unsigned i = 0; i < sizeof devices / sizeof *devices; i++) {
        TRY(open(devices[i], O_RDWR | O_NOCTTY));
        TRY(open(devices[i], O_RDONLY | O_NOCTTY));
    }
    puts("REFUSED");
    return 0;
}
