// One fault after the other, each with several seeds: rows for the table.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { seeded } from '../system/random.mjs';
import { faults } from './faults.mjs';
import { World } from './world.mjs';

export const full = { clients: 1000, perSecond: 200, sideMs: 30000, isShort: false };
export const short = { clients: 1000, perSecond: 200, sideMs: 8000, isShort: true };

export const columns = ['fault', 'seeds', 'published', 'acknowledged', 'delivered', 'repaired', 'told_lost', 'violations', 'recovery_ms'];

const sums = ['published', 'acknowledged', 'delivered', 'repaired', 'told_lost', 'violations'];

// The rows of all seeds of one fault as one: sums, and the slowest recovery.
function together(id, rows) {
  const row = { fault: id, seeds: rows.length };
  for (const name of sums) row[name] = rows.reduce((sum, one) => sum + one[name], 0);
  row.recovery_ms = Math.max(0, ...rows.map((one) => one.recovery_ms));
  return row;
}

export function faultsNamed(ids) {
  const unknown = ids.filter((id) => !faults.some((fault) => fault.id === id));
  if (unknown.length > 0) throw new RangeError(`there is no fault ${unknown.join(', ')}; there are: ${faults.map(({ id }) => id).join(' ')}`);
  return faults.filter(({ id }) => ids.length === 0 || ids.includes(id));
}

// {rows, skipped, failures}; failures: {id, seed, texts, directory}.
export async function runFaults(chosen, { seeds, size, say }) {
  const directory = await mkdtemp(join(tmpdir(), 'millrace-faults-'));
  const result = { rows: [], skipped: [], failures: [] };
  for (const fault of chosen) {
    const reason = await fault.unable?.();
    if (reason) {
      say(`${fault.id} skipped: ${reason}`);
      result.skipped.push({ id: fault.id, reason });
      continue;
    }
    const rows = [];
    for (const seed of seeds) {
      const world = new World(fault, { seed, random: seeded(`${fault.id} ${seed}`), size, directory, say: (text) => say(`${fault.id} seed ${seed}: ${text}`) });
      let row;
      try {
        row = await world.run();
      } catch (error) {
        say(`${fault.id} seed ${seed} failed: ${error.stack}\n${world.logs()}`);
        row = { published: 0, acknowledged: 0, delivered: 0, repaired: 0, told_lost: 0, violations: 1, recovery_ms: 0, texts: [`the run failed: ${error.message}`], directory: world.directory };
      }
      rows.push(row);
      if (row.violations > 0) result.failures.push({ id: fault.id, seed, texts: row.texts, directory: row.directory });
    }
    result.rows.push(together(fault.id, rows));
  }
  if (result.failures.length === 0) await rm(directory, { recursive: true });
  return result;
}

export function table(rows) {
  const cells = [columns, ...rows.map((row) => columns.map((name) => `${row[name]}`))];
  const widths = columns.map((_, i) => Math.max(...cells.map((line) => line[i].length)));
  return cells.map((line) => line.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join('  ')).join('\n');
}
