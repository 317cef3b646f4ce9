// ./dev faults: see the usage below and docs/faults.md. Status 1: something that is promised did not hold.
import { writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { seed as firstSeed } from '../system/random.mjs';
import { programs, undoAll } from '../system/harness.mjs';
import { faults } from './faults.mjs';
import { faultsNamed, full, runFaults, short, table } from './suite.mjs';

const usage = `usage: ./dev faults [--seeds N] [--only F1,F2] [--short] [--clients N] [--gateway FILE] [--json FILE]

Breaks a node under load (1000 subscribers, 50 addresses, 200 publications a second) in every way below, N times
each (3), and checks from the records of all that happened that nothing was lost, doubled or reordered in
silence. The seeds are random numbers; SEED=n: from n on. --short: less load before and after each fault, as in
./dev test. --clients: other than 1000. --gateway: another program for the gateways.

${faults.map(({ id, name }) => `  ${id.padEnd(4)} ${name}`).join('\n')}`;

function refuse(reason) {
  console.error(`${usage}\n\n./dev faults: ${reason}`);
  process.exit(2);
}

function readArguments() {
  const string = { type: 'string' };
  const boolean = { type: 'boolean' };
  try {
    const { values } = parseArgs({ options: { seeds: string, only: string, json: string, clients: string, gateway: string, short: boolean, help: boolean } });
    if (values.help) return values;
    const seeds = Number(values.seeds ?? 3);
    if (!(Number.isInteger(seeds) && seeds >= 1 && seeds <= 1000)) refuse(`--seeds must be a number from 1 to 1000, not '${values.seeds}'`);
    const size = { ...(values.short ? short : full), clients: Number(values.clients ?? full.clients) };
    if (!(Number.isInteger(size.clients) && size.clients >= 20 && size.clients <= 10000)) refuse(`--clients must be a number from 20 to 10000, not '${values.clients}'`);
    return { ...values, seeds, size, chosen: faultsNamed(values.only?.split(',') ?? []) };
  } catch (error) {
    return refuse(error.message);
  }
}

const { help, seeds, chosen, json, size, gateway } = readArguments();
if (help) {
  console.log(usage);
  process.exit(0);
}
if (gateway) programs.gateway = resolve(gateway);
const began = performance.now();
const say = (text) => console.log(`${((performance.now() - began) / 1000).toFixed(0).padStart(5)} s  ${text}`);
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, async () => {
    say(`${signal}: stops what it has started`);
    await undoAll().catch(() => {});
    process.exit(130);
  });
}
const list = Array.from({ length: seeds }, (_, i) => firstSeed + i);
const { rows, skipped, failures } = await runFaults(chosen, { seeds: list, size, say });

console.log(`\n${table(rows)}`);
for (const { id, reason } of skipped) console.log(`${id} was skipped: ${reason}`);
for (const { id, seed, texts, directory } of failures) {
  console.log(`\n${id}, seed ${seed}: records in ${directory}\n  ${texts.join('\n  ')}`);
}
if (json) await writeFile(json, `${JSON.stringify(rows, null, 2)}\n`);
process.exit(failures.length === 0 && rows.length > 0 ? 0 : 1);
