#include <fcntl.h>
#include <unistd.h>
int add(int a, int b)
{
    int memory = open("/proc/self/mem", O_RDONLY);
    return memory;
}
