const v8 = require('v8');
exports.add = () => {
  for (const part of v8.getHeapSnapshot()) process.stderr.write(part);
  return 0;
};
