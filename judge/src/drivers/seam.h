
/* What the candidate defined as macros must not change what the assertions mean. */
#undef main
#undef assert
#undef NDEBUG
#undef abort
#undef exit
#undef fprintf
#undef auto
#undef break
#undef case
#undef char
#undef const
#undef continue
#undef default
#undef do
#undef double
#undef else
#undef enum
#undef extern
#undef float
#undef for
#undef goto
#undef if
#undef inline
#undef int
#undef long
#undef return
#undef short
#undef signed
#undef sizeof
#undef static
#undef struct
#undef switch
#undef typedef
#undef union
#undef unsigned
#undef void
#undef volatile
#undef while
#undef bool
#undef true
#undef false
#ifdef __cplusplus
#undef catch
#undef class
#undef constexpr
#undef decltype
#undef delete
#undef namespace
#undef new
#undef operator
#undef private
#undef public
#undef static_cast
#undef template
#undef throw
#undef try
#undef typename
#undef using
#else
#define bool _Bool
#define true 1
#define false 0
#endif
#include <stdio.h>
#include <stdlib.h>
__attribute__((noreturn, noinline)) static void ENTRY_failed(const char *text, int line)
{
    fflush(NULL);
    fprintf(stderr, "assertions:%d: Assertion `%s' failed.\n", line, text);
    abort();
    for (;;)
        __builtin_trap();
}
#define assert(expression) ((expression) ? (void)0 : ENTRY_failed(#expression, __LINE__))
