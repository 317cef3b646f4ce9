// One thread of a process hangs, the others live: what the kernel does to whoever waits for a broken disk.
import { join } from 'node:path';
import { atEnd, Child, root } from './harness.mjs';

// Resolves when the thread ('main' or 'writer') hangs, with what lets it go on; null where we may not do that.
export async function hang(child, which) {
  const tracer = new Child('tracer', '/usr/bin/python3', [join(root, 'tests/system/hung_thread.py'), `${child.pid}`, which]);
  const release = async () => {
    tracer.process.stdin.end();
    await tracer.exited;
  };
  atEnd(release);
  const answer = await tracer.line('stdout', () => true);
  return answer === 'stopped' ? release : null;
}
