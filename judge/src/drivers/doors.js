// Closes what would show a candidate the driver or its memory: debugger, heap, native code, internals of the
// runtime. Its threads begin with this file, as they have modules of their own. Native code is also refused by
// the option --no-addons, and the memory's file by the kernel.
'use strict';
(() => {
  const threads = require('worker_threads');
  const events = require('events');
  const { Worker } = threads;
  const { construct } = Reflect;
  const define = Object.defineProperty;
  const options = Object.freeze(['--no-addons', '--require', __filename]);

  function closed() {
    throw new Error('this is closed while tests run');
  }
  const lock = (object, name, value) => {
    try {
      define(object, name, { value, writable: false, configurable: false });
    } catch {
      // It is locked already.
    }
  };
  const doors = {
    async_hooks: ['createHook', 'executionAsyncResource'],
    v8: ['getHeapSnapshot', 'writeHeapSnapshot', 'setFlagsFromString', 'queryObjects', 'startupSnapshot'],
    inspector: ['Session', 'open', 'url', 'console'],
    'inspector/promises': ['Session', 'open', 'url', 'console'],
    repl: ['start', 'REPLServer'],
    // Its hooks run in a thread that does not begin here.
    module: ['register'],
  };
  for (const [name, members] of Object.entries(doors)) {
    let door;
    try {
      door = require(name);
    } catch {
      continue;
    }
    for (const member of members) if (member in door) lock(door, member, closed);
  }
  for (const name of ['binding', '_linkedBinding', 'dlopen', '_debugProcess', '_debugEnd']) lock(process, name, closed);
  // Without a listener this signal opens the debugger; without this one it ends the process.
  if (threads.isMainThread) process.on('SIGUSR1', () => {});

  function Thread(file, given) {
    if (new.target === undefined) throw new TypeError("Class constructor Worker cannot be invoked without 'new'");
    return construct(Worker, [file, { ...given, execArgv: options }], new.target);
  }
  Object.setPrototypeOf(Thread, events);
  define(Thread, 'name', { value: 'Worker' });
  define(Thread, 'prototype', { value: Worker.prototype, writable: false });
  lock(Worker.prototype, 'constructor', Thread);
  lock(threads, 'Worker', Thread);
  require('module').syncBuiltinESMExports();
})();
