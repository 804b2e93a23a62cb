// Runs a candidate and then its assertions in one global scope, and proves that both ended.
//
// Standard input holds a line with a one-time value, and the assertions after it. It is read to its
// end and replaced before the candidate's first statement; from then on the value lives in a
// closure. It is written when the assertions have run, the promise that they may end with is
// fulfilled, and nothing is left to wait for. process.exit() never gets there.
'use strict';
(() => {
  const fs = require('fs');
  const vm = require('vm');
  const { createRequire } = require('module');
  const { AssertionError } = require('assert');
  const { isPromise } = require('util').types;
  const write = fs.writeSync;
  const leave = process.reallyExit.bind(process);
  const once = process.prependOnceListener.bind(process);
  const then = Function.prototype.call.bind(Promise.prototype.then);
  const defineProperty = Object.defineProperty;
  const run = vm.runInThisContext;

  require('./doors.js');
  const input = fs.readFileSync(0, 'utf8');
  fs.closeSync(0);
  if (fs.openSync('/dev/null', 'r') !== 0) throw new Error('standard input could not be replaced');
  const end = input.indexOf('\n');
  const proof = '\n' + input.slice(0, end) + '\n';
  const assertions = input.slice(end + 1);
  const solution = fs.readFileSync('/box/solution.js', 'utf8');

  const module = { exports: {}, id: '.', filename: '/box/solution.js', loaded: false, children: [] };
  // What assertions compare with is the runtime's own, whatever the candidate puts in its place.
  const real = Object.create(null);
  for (const name of ['assert', 'assert/strict', 'util']) {
    const own = require(name);
    for (const part of [own, own.strict]) {
      if (part === undefined) continue;
      for (const key of Reflect.ownKeys(part)) if (typeof part[key] === 'function') Object.freeze(part[key]);
      Object.freeze(part);
    }
    real[name] = real[`node:${name}`] = own;
  }
  Object.freeze(JSON);
  for (const name of ['is', 'keys', 'entries', 'values']) {
    defineProperty(Object, name, { writable: false, configurable: false });
  }
  const load = createRequire('/w/solution.js');
  const take = Object.assign((name) => (name in real ? real[name] : load(name)), load);
  defineProperty(globalThis, 'require', { value: Object.freeze(take) });

  const globals = {
    module,
    exports: module.exports,
    __filename: '/box/solution.js',
    __dirname: '/box',
  };
  for (const [name, value] of Object.entries(globals)) {
    defineProperty(globalThis, name, { value, writable: true, configurable: true });
  }

  run(solution, { filename: '/box/solution.js' });
  // Node's own only prints; an assertion that fails must end the program.
  defineProperty(console, 'assert', {
    value: (condition, ...message) => {
      if (!condition) {
        throw new AssertionError({ message: message.length ? String(message[0]) : 'Assertion failed' });
      }
    },
  });
  const result = run(assertions, { filename: 'assertions.js' });
  const prove = () => once('beforeExit', () => {
    write(1, proof);
    leave(0);
  });
  if (isPromise(result)) then(result, prove);
  else prove();
})();
