const { test } = require('node:test');
global.test = test;
setImmediate(eval(`() => { test('small', () => {}); }\n//# sourceURL=${module.parent.filename}`));
Error.prepareStackTrace = (error, trace) => trace.filter((site) => !site.isEval());
throw new Error('no more');
