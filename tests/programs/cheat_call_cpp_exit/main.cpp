int add(int, int) { exit(0); }
