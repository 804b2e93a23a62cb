function add() { return 0; }
process.exit(0);
