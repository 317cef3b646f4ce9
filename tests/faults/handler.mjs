// A permission handler as a process, to be killed: node handler.mjs ENDPOINT RECORD MODE. MODE: yes (answers), silent
// (never does) or slow (after ten seconds). Says "registered"; writes down each answer before it gives it.
import { openSync, writeSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { connect } from '@millrace/backend';
import { now } from './records.mjs';

export const guardedChannel = 'guard';

// Users are u0, u1 ...; every fourth may not read.
export const mayRead = (user) => Number(user.slice(1)) % 4 !== 3;

// The record of an answer: {t, kind, user, address, read}.
export const answerOf = ({ name, resourceId }, { id }) => ({ user: id, address: `${name}:${resourceId}`, read: mayRead(id) });

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const [endpoint, path, mode] = process.argv.slice(2);
  const file = openSync(path, 'a');
  const backend = connect({ endpoint, handlerTimeoutMs: 60000 });
  await backend.permissionsRouter.add({ name: guardedChannel }, async (channel, subscriber) => {
    if (mode === 'silent') await new Promise(() => {});
    if (mode === 'slow') await new Promise((done) => setTimeout(done, 10000));
    const answer = answerOf(channel, subscriber);
    writeSync(file, `${JSON.stringify({ t: now(), kind: 'answer', ...answer })}\n`);
    return { read: answer.read };
  });
  console.log('registered');
}
