#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/timerfd.h>
#include <time.h>

int main(void) {
    int instances = 0;
    int watcher = inotify_init();
    for (int i = 0; watcher >= 0 && i < 100000; i++) {
        if (inotify_add_watch(watcher, "/usr", IN_ALL_EVENTS) < 0) {
            break;
        }
    }
    while (inotify_init() >= 0 && instances < 100000) {
        instances++;
    }
    while (epoll_create1(0) >= 0 || eventfd(0, 0) >= 0 || timerfd_create(CLOCK_MONOTONIC, 0) >= 0) {
        if (++instances > 100000) {
            break;
        }
    }
    timer_t timer;
    int timers = 0;
    while (timers < 1000000 && timer_create(CLOCK_MONOTONIC, 0, &timer) == 0) {
        timers++;
    }
    puts(instances < 10000 && timers < 1000000 ? "bounded" : "ESCAPED");
    return 0;
}
