function add() { return new Promise(() => {}); }
