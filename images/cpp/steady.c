// Preloaded into GCC while it writes a precompiled header, so that two builds write the same bytes.
//
// The header is a dump of the compiler's memory. It holds padding that nobody ever wrote, so also whatever the
// stack held there before: the random guard of the stack, pointers into the stack, and pointers into libraries.
// Where things lie decides too in which order tables are written. With this, and with address randomisation off,
// the guard is zero, and the stack, its arguments and all memory that GCC asks for lie at addresses that depend
// neither on the environment nor on the kernel.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#define STACK_BYTES (256UL << 20)
#define ARGUMENTS_BYTES (1UL << 20)

typedef int Main(int, char **, char **);
typedef int Start(Main *, int, char **, void (*)(void), void (*)(void), void (*)(void), void *);
typedef void *Map(void *, size_t, int, int, int, off_t);

static char *next = (char *)0x300000000000;
static Main *program;
static int count, status;
static char **arguments;

void *mmap64(void *at, size_t bytes, int protection, int flags, int file, off_t offset) {
    static Map *real;
    if (!real) real = (Map *)dlsym(RTLD_NEXT, "mmap64");
    if (at || !(flags & MAP_ANONYMOUS)) return real(at, bytes, protection, flags, file, offset);
    void *place = real(next, bytes, protection, flags | MAP_FIXED_NOREPLACE, file, offset);
    if (place != MAP_FAILED) next += (bytes + 0xffff) & ~0xffffUL;
    return place;
}

void *mmap(void *at, size_t bytes, int protection, int flags, int file, off_t offset) {
    return mmap64(at, bytes, protection, flags, file, offset);
}

static void *memory(size_t bytes) {
    return mmap64(0, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

static char **copies(char **texts) {
    int number = 0;
    while (texts[number]) number++;
    char **copied = memory(ARGUMENTS_BYTES);
    char *end = (char *)(copied + number + 1);
    for (int i = 0; i < number; i++) end = stpcpy(copied[i] = end, texts[i]) + 1;
    return copied;
}

static void run(void) { status = program(count, arguments, environ); }

static int on_a_stack_of_its_own(int argc, char **argv, char **environment) {
    static ucontext_t inside, outside;
    count = argc;
    arguments = copies(argv);
    environ = copies(environment);
    getcontext(&inside);
    inside.uc_stack.ss_sp = memory(STACK_BYTES);
    inside.uc_stack.ss_size = STACK_BYTES;
    inside.uc_link = &outside;
    makecontext(&inside, run, 0);
    swapcontext(&outside, &inside);
    return status;
}

int __libc_start_main(Main *main, int argc, char **argv, void (*init)(void), void (*fini)(void),
                      void (*ld_fini)(void), void *stack_end) {
    Start *real = (Start *)dlsym(RTLD_NEXT, "__libc_start_main");
#ifdef __x86_64__
    __asm__ volatile("movq $0, %%fs:40" ::: "memory");
#endif
    program = main;
    return real(on_a_stack_of_its_own, argc, argv, init, fini, ld_fini, stack_end);
}
