// What happened, one JSON object a line, with the monotonic time in ms: written by the load (and by
// bench/herd), read by the checker and by nobody else. The kinds are listed in docs/faults.md.
import { createReadStream, createWriteStream } from 'node:fs';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

// The clock of all records: CLOCK_MONOTONIC, as in bench/herd.
export const now = () => Number(process.hrtime.bigint() / 1000n) / 1000;

export class Records {
  constructor(path) {
    this.path = path;
    this.stream = createWriteStream(path);
  }

  write(kind, fields = {}) {
    const t = now();
    this.stream.write(`${JSON.stringify({ t, kind, ...fields })}\n`);
    return t;
  }

  async end() {
    this.stream.end();
    await once(this.stream, 'close');
  }
}

async function* linesOf(path) {
  for await (const line of createInterface({ input: createReadStream(path), crlfDelay: Infinity })) {
    if (line !== '') yield JSON.parse(line);
  }
}

// All records of several files, in the order of their times; `herd` says which file a client is of.
export async function* recordsOf(paths) {
  const sources = [];
  for (const [herd, path] of paths.entries()) {
    const lines = linesOf(path);
    const { value } = await lines.next();
    if (value) sources.push({ herd, lines, record: value });
  }
  while (sources.length > 0) {
    let first = 0;
    for (let i = 1; i < sources.length; i++) if (sources[i].record.t < sources[first].record.t) first = i;
    const source = sources[first];
    yield Object.assign(source.record, { herd: source.herd });
    const { value, done } = await source.lines.next();
    if (done) sources.splice(first, 1);
    else source.record = value;
  }
}
