#define assay_call std
#define run exit
int add(int, int) { return 0; }
