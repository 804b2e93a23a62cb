process.on('uncaughtException', () => process.exit(0));
function add() { return 0; }
