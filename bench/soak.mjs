// ./dev soak [--minutes N] [--json FILE]: the same load for an hour, or N minutes. Status 1: something was
// lost, doubled, reordered or told, or memory grows by 1 % an hour or more.
import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { Cluster, undoAll } from '../tests/system/harness.mjs';
import { soak, soakSettings } from '../tests/system/soak.mjs';

const usage = `usage: ./dev soak [--minutes N] [--json FILE]

Two gateways with 1000 clients each, 200 publications a second over 50 addresses into the file of the
store, 200 more clients that come and go, and names that are used once and are remembered for a minute.
Prints a line a minute and how much each process grows in an hour, after the first seven minutes, in
which history fills; below 20 minutes that is not judged.`;

function refuse(reason) {
  console.error(`${usage}\n\n./dev soak: ${reason}`);
  process.exit(2);
}

function readArguments() {
  try {
    const { values } = parseArgs({ options: { minutes: { type: 'string', default: '60' }, json: { type: 'string' }, help: { type: 'boolean' } } });
    return values;
  } catch (error) {
    return refuse(error.message);
  }
}

const limit = 1; // percent an hour
const warmUpMinutes = 7;
const { minutes: text, json, help } = readArguments();
if (help) {
  console.log(usage);
  process.exit(0);
}
const minutes = Number(text);
if (!(minutes >= 0.1 && minutes <= 100000)) refuse(`--minutes must be a number from 0.1 on, not '${text}'`);

const cluster = new Cluster(soakSettings);
let figures;
try {
  await cluster.start();
  figures = await soak(cluster, {
    clients: 1000, perSecond: 200, minutes, warmUpMinutes, sampleMs: 5000, say: (line) => console.log(JSON.stringify(line)),
  });
} finally {
  await undoAll();
  await cluster.stop();
}
console.log(JSON.stringify(figures, null, 2));
if (json) await writeFile(json, `${JSON.stringify(figures)}\n`);
const grows = Object.entries(figures).filter(([name, value]) => name.endsWith('_per_hour') && value >= limit);
if (minutes >= 20 && grows.length > 0) {
  console.error(`./dev soak: memory grows: ${grows.map(([name, value]) => `${name} ${value}`).join(', ')}`);
  process.exit(1);
}
