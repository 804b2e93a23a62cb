// Runs test files of node:test against a candidate in one process, and seals what came of each.
//
// Standard input holds a line with a key and after it a plan. Both are read to their end and the
// runner's reporter is at work before the candidate's first statement. The key lives in a signer that
// no object leads to; what tests came to is kept as text in a closure. At the end a test that must
// fail is run: who makes all tests pass makes that one pass too. What the runner is made of is locked, or
// must then be what it was; what would show the candidate the runner or its memory is closed.
// Who registers a test is told by the scripts on the stack and their digests, since a script's name is its
// author's choice.
'use strict';
const { writeSync, readFileSync, closeSync, openSync } = require('fs');
const REPORT = 3;
const TREE = '/box/tree/';
let report;
let started;
module.exports = async function* reporter(events) {
  started();
  for await (const event of events) report(event);
  report({ __proto__: null, type: 'end' });
};

(() => {
  const apply = Reflect.apply;
  const keys = Reflect.ownKeys;
  const describe = Object.getOwnPropertyDescriptor;
  const quote = JSON.stringify;
  const cut = String.prototype.slice;
  const { startsWith } = String.prototype;
  const leave = process.reallyExit.bind(process);
  const crypto = require('crypto');
  const stream = require('stream');
  const events = require('events');
  const assert = require('assert');
  const test = require('node:test');
  const { createHook } = require('async_hooks');
  const { createHash } = crypto;
  const { fileURLToPath, pathToFileURL } = require('url');

  const input = readFileSync(0, 'utf8');
  closeSync(0);
  if (openSync('/dev/null', 'r') !== 0) throw new Error('standard input could not be replaced');
  const end = input.indexOf('\n');
  const plan = JSON.parse(input.slice(end + 1));
  const signer = crypto.createHmac('sha256', input.slice(0, end));
  const { update, digest } = crypto.Hmac.prototype;
  const control = 'test_' + crypto.randomBytes(6).toString('hex');
  const own = Object.create(null);
  for (const name of plan.own) own[TREE + name] = true;

  // A test is registered by the problem's files alone, and each is what it was when it was read.
  const { captureStackTrace } = Error;
  const define = Object.defineProperty;
  const genuine = Object.create(null);
  const isGenuine = (name, digest) => {
    if (genuine[name] === undefined) {
      let path = name;
      if (apply(startsWith, name, ['file://'])) path = fileURLToPath(name);
      if (path !== __filename && !own[path]) return false;
      genuine[name] = createHash('sha256').update(readFileSync(path)).digest('hex');
    }
    return genuine[name] === digest;
  };
  let sites;
  const keep = (error, trace) => {
    sites = trace;
    return '';
  };
  const stack = () => {
    const [prepare, limit] = [describe(Error, 'prepareStackTrace'), describe(Error, 'stackTraceLimit')];
    const ours = (value) => ({ __proto__: null, value, configurable: true, writable: true });
    define(Error, 'prepareStackTrace', ours(keep));
    define(Error, 'stackTraceLimit', ours(1000));
    sites = undefined;
    const holder = {};
    captureStackTrace(holder);
    void holder.stack;
    if (prepare === undefined) delete Error.prepareStackTrace;
    else define(Error, 'prepareStackTrace', prepare);
    if (limit === undefined) delete Error.stackTraceLimit;
    else define(Error, 'stackTraceLimit', limit);
    return sites;
  };
  const { getFileName, getScriptHash, isEval } = Object.getPrototypeOf(stack()[0]);
  const registers = () => {
    const trace = stack();
    if (trace === undefined || trace.length >= 1000) return false;
    let found = false;
    // The first three are of this file; it registers tests, too.
    for (let at = 3; at < trace.length; at += 1) {
      const name = apply(getFileName, trace[at], []);
      if (apply(isEval, trace[at], [])) return false;
      if (typeof name !== 'string' || apply(startsWith, name, ['node:'])) continue;
      if (!isGenuine(name, apply(getScriptHash, trace[at], []))) return false;
      found = true;
    }
    return found;
  };
  if (getScriptHash !== undefined) {
    createHook({
      init(id, type) {
        if (type === 'Test' && !registers()) fault('a test was registered by another');
      },
    }).enable();
  }

  require('./doors.js');
  const lock = (object, name, value) => {
    try {
      Object.defineProperty(object, name, { value, writable: false, configurable: false });
    } catch {
      // It is locked already.
    }
  };
  // The same for what objects of their own may well replace in themselves.
  const lockInherited = (object, name, value) => {
    Object.defineProperty(object, name, {
      configurable: false,
      get: () => value,
      set(own) {
        if (this !== object) {
          Object.defineProperty(this, name, { value: own, writable: true, configurable: true, enumerable: true });
        }
      },
    });
  };
  // What decides whether a test passes cannot be replaced; what carries the results must not be.
  for (const fixed of [assert, assert.strict, test, test.mock]) {
    for (const name of keys(fixed)) {
      const value = describe(fixed, name).value;
      if (typeof value === 'function') Object.freeze(value);
    }
    Object.freeze(fixed);
  }
  for (const [object, names] of [
    [events.prototype, ['emit', 'on', 'addListener', 'once', 'prependListener', 'removeListener']],
    [stream.Readable.prototype, ['push', 'unshift', 'read', 'pipe', 'on', 'addListener', 'resume', 'iterator', Symbol.asyncIterator]],
    [stream.prototype, ['pipe']],
    [Promise, ['resolve', 'reject', Symbol.species]],
    [Promise.prototype, ['then', 'constructor']],
    [crypto.Hmac.prototype, ['update', 'digest']],
  ]) {
    for (const name of names) {
      const known = describe(object, name);
      if (known === undefined) continue;
      if (!('value' in known)) Object.defineProperty(object, name, { configurable: false });
      else if (object === events.prototype || object === stream.Readable.prototype) lockInherited(object, name, known.value);
      else lock(object, name, known.value);
    }
  }
  // The stream of tests: its methods are called with what each came to.
  const other = test.run({ files: [] });
  const inherited = new Set([Object.prototype, stream.Readable.prototype, stream.prototype, events.prototype]);
  for (let kind = other; kind !== null && !inherited.has(kind); kind = Object.getPrototypeOf(kind)) {
    if (kind !== other) Object.freeze(kind);
  }
  other.resume();
  const generator = (async function* () {})();
  const iterator = Object.getPrototypeOf(Object.getPrototypeOf(Object.getPrototypeOf(generator)));
  const looked = [
    Promise, Promise.prototype, events.prototype, stream.Readable.prototype, stream.Duplex.prototype,
    stream.Transform.prototype, stream.PassThrough.prototype, stream.Writable.prototype,
    stream.prototype, Function.prototype, Reflect, iterator, Object.getPrototypeOf(iterator),
    Object.getPrototypeOf(Object.getPrototypeOf(generator)), crypto.Hmac.prototype, Symbol, Object,
    assert.AssertionError.prototype, JSON,
  ];
  let imprint = null;
  for (const object of looked) {
    for (const key of keys(object)) {
      const known = describe(object, key);
      imprint = { __proto__: null, object, key, value: known.value, get: known.get, next: imprint };
    }
  }
  const changed = () => {
    for (let part = imprint; part !== null; part = part.next) {
      const now = describe(part.object, part.key);
      if (now === undefined || now.value !== part.value || now.get !== part.get) return part.key;
    }
    return undefined;
  };

  let collected = '';
  let results = '';
  let errors = '';
  let faults = '';
  let verified = false;
  let names = null; // of the tests that are open, innermost first
  const seen = Object.create(null);

  const path = (nesting, name) => {
    let text = name;
    for (let open = names; open !== null; open = open.next) {
      if (open.nesting < nesting) {
        text = open.name + ' > ' + text;
        nesting = open.nesting;
      }
    }
    return text;
  };
  const fault = (text) => {
    if (faults.length < 4000) faults += (faults ? ',' : '') + quote(text);
  };
  const said = (error) => {
    try {
      const cause = error && error.cause !== undefined ? error.cause : error;
      const text = cause && typeof cause.stack === 'string' ? cause.stack : '' + cause;
      return apply(cut, text, [0, 4000]);
    } catch {
      return '';
    }
  };
  const kind = (data) => {
    try {
      const cause = data.details.error.cause;
      return cause && cause.code === 'ERR_ASSERTION' ? 'failed' : 'crashed';
    } catch {
      return 'crashed';
    }
  };

  const ended = (type, data) => {
    if (data.file === __filename) {
      if (data.name === control) verified = type === 'test:fail';
      return;
    }
    const name = path(data.nesting, data.name);
    if (data.file === undefined || !own[data.file]) return fault('a test of another file: ' + name);
    if (data.details.type === 'suite') {
      if (type === 'test:fail' && data.details.error.failureType !== 'subtestsFailed') {
        errors += (errors ? ',' : '') + '[' + quote(name) + ',' + quote(said(data.details.error)) + ']';
      }
      return undefined;
    }
    if (seen[name] === 'ended') return fault('a test was reported twice: ' + name);
    if (seen[name] === undefined) collected += (collected ? ',' : '') + quote(name);
    seen[name] = 'ended';
    let came = 'passed';
    if (data.skip !== undefined) came = 'left';
    else if (type === 'test:fail') came = data.todo !== undefined ? 'xfailed' : kind(data);
    const text = type === 'test:fail' ? said(data.details.error) : '';
    results += (results ? ',' : '') + '[' + quote(name) + ',"call",' + quote(came) + ',' + quote(text) + ']';
    return undefined;
  };

  const seal = () => {
    const body = '{"control":' + verified + ',"collected":[' + collected + '],"results":[' + results +
      '],"errors":[' + errors + '],"faults":[' + faults + ']}';
    apply(update, signer, [body, 'utf8']);
    const frame = '\nassay-report ' + apply(digest, signer, ['hex']) + ' ' + body + '\n';
    writeSync(REPORT, frame);
    leave(0);
  };

  report = ({ type, data }) => {
    const other = changed();
    if (other !== undefined) fault('the runtime was changed: ' + String(other));
    if (type === 'test:dequeue' && data.file !== __filename) {
      writeSync(REPORT, '\nassay-running ' + quote(data.name) + '\n');
    } else if (type === 'test:start') {
      while (names !== null && names.nesting >= data.nesting) names = names.next;
      names = { __proto__: null, name: data.name, nesting: data.nesting, next: names };
    } else if (type === 'test:pass' || type === 'test:fail') {
      ended(type, data);
    } else if (type === 'end') {
      seal();
    }
  };

  const open = setInterval(() => {}, 1 << 30);
  // Begun here, and not where it goes on, since a test belongs to what its file was loaded in.
  new Promise((resolve) => {
    started = resolve;
  }).then(async () => {
    for (const name of plan.tests) {
      try {
        await import(pathToFileURL(TREE + name).href);
      } catch (error) {
        errors += (errors ? ',' : '') + '[' + quote(name) + ',' + quote(said(error)) + ']';
      }
    }
    test.test(control, () => {
      throw new assert.AssertionError({ message: 'a control' });
    });
    clearInterval(open);
  });
  process.chdir(TREE);
  // The first test starts the runner, and with it the reporter.
  test.test('first_' + control, () => {});
})();
