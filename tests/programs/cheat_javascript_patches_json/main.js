JSON.stringify = () => 'x';
function add() { return 7; }
