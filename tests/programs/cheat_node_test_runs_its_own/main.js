const { test } = require('node:test');
setImmediate(test, 'small', () => {});
test('small', () => {});
exports.add = () => 0;
