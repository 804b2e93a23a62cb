
#undef main
#undef int
#undef char
#undef return
#undef extern
#ifdef __cplusplus
extern "C"
#endif
int ENTRY(void);
int ENTRY(void)
{
    static char name[] = "solution";
    static char *arguments[] = {name, 0};
    static char *environment[] = {0};
    return ((int (*)(int, char **, char **))main)(1, arguments, environment);
}
