// The demo's backend: the site's own code that decides who may read the members' room, and that can
// change its mind at once. `./dev run` keeps it alive and writes "revoke" on its standard input when
// the page's button is pressed. What came of it is published, so that every open page can show it.
import { createInterface } from 'node:readline';
import { connect } from '@millrace/backend';

const ROOM = { name: 'chat', resourceId: 'members' };
const TOLD = { name: 'demo' }; // the channel on which the page hears of us
const PAUSE_MS = Number(process.env.DEMO_PAUSE_MS ?? 15000);

// One JSON line an event, as the broker and the gateways write them.
function log(level, event, fields = {}) {
  console.error(JSON.stringify({ time: new Date().toISOString(), level, process: 'permissions', event, ...fields }));
}

const backend = connect({
  onHandlerError: (error, { during }) => log('error', 'handler_failed', { during, error: error.message }),
});
const { permissionsRouter } = backend;
let backAt = 0; // performance.now() from which on members may read
let pause;

const membersMayRead = () => performance.now() >= backAt;

// The page shows these lines.
const register = () =>
  permissionsRouter.add(ROOM, (channel, { type }) => ({
    read: type === 'ADMIN'
      || (type === 'MEMBER' && membersMayRead()),
  }));

async function tell(news) {
  try {
    await backend.publish(TOLD, news);
  } catch (error) {
    log('warn', 'not_told', { error: error.message });
  }
}

function letMembersBack() {
  log('info', 'members_back');
  return tell({ members: true });
}

// First nobody gets in any more, then those that are in lose it: in the other order one might come
// back in between.
async function takeRightBack() {
  backAt = performance.now() + PAUSE_MS;
  clearTimeout(pause);
  pause = setTimeout(letMembersBack, PAUSE_MS);
  const began = performance.now();
  try {
    const { affected, ended, unconfirmed } = await backend.revoke({ channel: ROOM, mode: 'deny' });
    const ms = Math.round((performance.now() - began) * 10) / 10;
    log('info', 'revoked', { affected, ended, unconfirmed, ms });
    await tell({ members: false, affected, ended, unconfirmed, ms, pauseMs: PAUSE_MS });
  } catch (error) {
    log('error', 'not_revoked', { error: error.message });
    await tell({ members: false, error: error.message, pauseMs: PAUSE_MS });
  }
}

async function end() {
  clearTimeout(pause);
  await backend.close();
  log('info', 'ended');
  process.exit(0);
}

// Whatever we did not expect: the supervisor starts us again, with this as our last word.
process.on('uncaughtException', (error) => {
  log('error', 'failed', { error: error.message });
  process.exit(1);
});
// Ctrl-C in a terminal reaches all processes at once; the supervisor says when it is our turn.
process.on('SIGINT', () => {});
process.once('SIGTERM', end);

await register();
log('info', 'registered', { channel: `${ROOM.name}:${ROOM.resourceId}` });
await tell({ members: true }); // whatever one before us remembered is forgotten

// The end of this input is the end of the supervisor.
createInterface({ input: process.stdin })
  .on('line', (line) => { if (line === 'revoke') takeRightBack(); })
  .once('close', end);
