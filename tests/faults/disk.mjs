// A disk that is full, and a log that cannot be written.
import { execFileSync } from 'node:child_process';
import { open, rm } from 'node:fs/promises';
import { atEnd, Child, freePort, httpGet, programs, temporaryDirectory } from '../system/harness.mjs';

// A file system of its own, of which nothing is left over for others.
export async function smallDisk() {
  const disk = await temporaryDirectory();
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64m', 'tmpfs', disk]);
  atEnd(async () => {
    execFileSync('umount', ['--lazy', disk]);
    await rm(disk, { recursive: true });
  });
  return disk;
}

// To the last byte.
export async function fill(path) {
  const file = await open(path, 'w');
  const piece = Buffer.alloc(65536);
  try {
    for (let size = piece.length; size >= 512; ) {
      const isTaken = await file.write(piece, 0, size).then(() => true, () => false);
      if (!isTaken) size /= 2;
    }
  } finally {
    await file.close();
  }
}

// A gateway whose log can never be written starts and lives.
export async function logToNowhere(world) {
  const { cluster } = world;
  const [admin, port] = [await freePort(), await freePort()];
  const child = new Child('gateway without a log', 'sh', ['-c', `exec ${programs.gateway} --config ${cluster.file} 2>/dev/full`], {
    env: { MILLRACE_GATEWAY_NAME: 'three', MILLRACE_GATEWAY_ADMIN_PORT: `${admin}`, MILLRACE_GATEWAY_LISTEN_PORT: `${port}` },
  });
  await world.expect(10000, 'I4', 'a gateway that cannot log to be ready', async () => {
    const page = await httpGet(`http://127.0.0.1:${admin}/readyz`).catch(() => null);
    return page?.status === 200;
  });
  const { code } = await child.stop();
  if (code !== 0) world.broken('I4', `a gateway that could not log ended with ${code}`);
}
