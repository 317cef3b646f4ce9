// Other settings for processes that run: the file is written anew, and SIGHUP tells them.
import { rename, writeFile } from 'node:fs/promises';
import { iniText, patience } from './harness.mjs';

// At once: nobody reads half of it.
export async function replace(file, text) {
  await writeFile(`${file}.new`, text);
  await rename(`${file}.new`, file);
}

// Writes the settings of the start with `changes` on top: {section: {key: value}}, null leaves a
// section out. A text is written as it is.
export async function rewrite(cluster, changes) {
  if (typeof changes === 'string') return replace(cluster.file, changes);
  const sections = { ...cluster.sections };
  for (const [name, values] of Object.entries(changes)) {
    if (values === null) delete sections[name];
    else sections[name] = { ...sections[name], ...values };
  }
  return replace(cluster.file, iniText(sections, cluster));
}

// Tells the process; the log events of this reload, the last of which is `last`.
export async function hangup(child, last = 'reloaded') {
  const from = child.stderr.length;
  child.signal('SIGHUP');
  await child.line('stderr', (line) => JSON.parse(line).event === last, patience, from);
  return child.events.slice(from);
}

export async function reload(cluster, child, changes, last) {
  await rewrite(cluster, changes);
  return hangup(child, last);
}
