// Orders for preload.c: what the disk and the wall clock of one process do from now on.
import { openSync, writeSync, closeSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { buildDir } from '../system/harness.mjs';

const fields = ['wallMs', 'syncMs', 'syncError', 'writeError', 'shortWrite'];
export const errors = constants.errno;

export class Orders {
  #file;

  constructor(path) {
    this.path = path;
    this.#file = openSync(path, 'w+');
    this.give();
  }

  // {syncMs: 200, writeError: errors.ENOSPC}; what is not named is as it should be.
  give(orders = {}) {
    const numbers = BigInt64Array.from(fields.map((name) => BigInt(orders[name] ?? 0)));
    writeSync(this.#file, new Uint8Array(numbers.buffer), 0, numbers.byteLength, 0);
  }

  // The environment of a process that is to obey.
  get environment() {
    return {
      LD_PRELOAD: join(buildDir, 'tests/faults/faults_preload.so'),
      FAULTS_CONTROL: this.path,
      ASAN_OPTIONS: `${process.env.ASAN_OPTIONS ?? ''}:verify_asan_link_order=0`,
    };
  }

  close() {
    closeSync(this.#file);
  }
}
