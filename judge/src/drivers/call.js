// Calls one function of a candidate and writes what it returned, as plain data, to descriptor 3.
//
// Standard input holds the name of the function and its arguments. What was expected is not here and
// never comes here: the result is compared outside. What the candidate prints goes elsewhere.
'use strict';
(() => {
  const fs = require('fs');
  const vm = require('vm');
  const { createRequire } = require('module');
  const write = fs.writeSync;
  const leave = process.reallyExit.bind(process);
  const run = vm.runInThisContext;
  const defineProperty = Object.defineProperty;
  const quote = JSON.stringify;
  const { isArray } = Array;
  const { isInteger } = Number;

  function encode(value, depth = 0) {
    if (depth > 190) return '{"other":"nested too deep"}';
    const all = (items) => {
      const parts = [];
      for (const item of items) parts[parts.length] = encode(item, depth + 1);
      return parts.join(',');
    };
    switch (typeof value) {
      case 'undefined':
        return 'null';
      case 'boolean':
        return value ? 'true' : 'false';
      case 'bigint':
        return value.toString();
      case 'string':
        return quote(value);
      case 'number':
        if (value !== value) return '{"float":"nan"}';
        if (value === Infinity || value === -Infinity) return `{"float":"${value > 0 ? '' : '-'}inf"}`;
        return isInteger(value) && Math.abs(value) < 1e21 ? BigInt(value).toString() : String(value);
      case 'object':
        break;
      default:
        return `{"other":${quote(typeof value)}}`;
    }
    if (value === null) return 'null';
    if (isArray(value)) {
      const parts = [];
      for (let at = 0; at < value.length; at += 1) parts[at] = encode(value[at], depth + 1);
      return `[${parts.join(',')}]`;
    }
    if (ArrayBuffer.isView(value)) return `[${all(value)}]`;
    if (value instanceof Set) return `{"set":[${all(value)}]}`;
    const entries = value instanceof Map ? value : Object.entries(value);
    const pairs = [];
    for (const [key, item] of entries) {
      pairs[pairs.length] = `[${encode(key, depth + 1)},${encode(item, depth + 1)}]`;
    }
    return `{"dict":[${pairs.join(',')}]}`;
  }

  const request = JSON.parse(fs.readFileSync(0, 'utf8'));
  fs.closeSync(0);
  if (fs.openSync('/dev/null', 'r') !== 0) throw new Error('standard input could not be replaced');
  const solution = fs.readFileSync('/box/solution.js', 'utf8');
  const module = { exports: {}, id: '.', filename: '/box/solution.js', loaded: false, children: [] };
  const globals = {
    require: createRequire('/w/solution.js'),
    module,
    exports: module.exports,
    __filename: '/box/solution.js',
    __dirname: '/box',
  };
  for (const [name, value] of Object.entries(globals)) {
    defineProperty(globalThis, name, { value, writable: true, configurable: true });
  }

  run(solution, { filename: '/box/solution.js' });
  const { entry, args } = request;
  // A class or a constant of the top level is a name of the scope, and no property of anything.
  const named = (name) => run(`typeof ${name} === 'undefined' ? undefined : ${name}`);
  const owner = named('Solution');
  let call = null;
  if (typeof owner === 'function' && owner.prototype && typeof owner.prototype[entry] === 'function') {
    const self = new owner();
    call = () => self[entry](...args);
  } else {
    const found = [named(entry), module.exports[entry], module.exports].find((f) => typeof f === 'function');
    if (!found) throw new ReferenceError(`the program defines no function ${entry}`);
    call = () => found(...args);
  }
  const finish = (result) => {
    const frame = Buffer.from(`\n${encode(result)}\n`);
    for (let at = 0; at < frame.length; ) at += write(3, frame, at);
    leave(0);
  };
  const result = call();
  if (result instanceof Promise) {
    result.then(finish, (error) => {
      console.error(error);
      leave(1);
    });
  } else {
    finish(result);
  }
})();
