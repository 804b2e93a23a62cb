const vm = require('vm');
const { test } = require('node:test');
global.test = test;
// No function of this file is on the stack then.
setImmediate(vm.runInThisContext("() => { test('small', () => {}); }", { filename: module.parent.filename }));
throw new Error('no more');
