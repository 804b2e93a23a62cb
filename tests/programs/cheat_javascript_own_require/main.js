globalThis.require = () => ({ strictEqual() {}, deepEqual() {} });
function add() { return 7; }
