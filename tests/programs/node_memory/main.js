const held = [];
for (;;) {
  held.push(Buffer.alloc(1 << 22, 1));
}
