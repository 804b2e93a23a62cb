#define _GNU_SOURCE
#include <stdio.h>
#include <sys/io.h>
#include <sys/klog.h>
#include <sys/reboot.h>
#include <sys/swap.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

#define TRY(call) do { if ((call) >= 0) { puts("ESCAPED " #call); return 0; } } while (0)

int main(void) {
    struct timespec now = {.tv_sec = 1};
    struct timeval day = {.tv_sec = 1};
    TRY(clock_settime(CLOCK_REALTIME, &now));
    TRY(settimeofday(&day, NULL));
    TRY(sethostname("evil", 4));
    TRY(setdomainname("evil", 4));
    TRY(reboot(RB_DISABLE_CAD));
    TRY(swapoff("/w/none"));
    TRY(acct("/w/acct"));
    TRY(klogctl(3, NULL, 0));
    TRY(ioperm(0, 1, 1));
    TRY(iopl(3));
    TRY(vhangup());
    puts("REFUSED");
    return 0;
}
