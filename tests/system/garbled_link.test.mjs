// A network that changes a byte of the greeting: ZeroMQ gives up such a link for ever, gateways and the
// packages for backends do not.
import assert from 'node:assert/strict';
import { Proxy } from '../faults/proxy.mjs';
import { Client } from './client.mjs';
import { Backend } from './backend.mjs';
import { atEnd, Cluster, freePort, patience, scenario, until } from './harness.mjs';
import { kinds } from './packages.mjs';

// In the name of the mechanism: no greeting that anybody understands.
const garbled = { flip: { first: 14, last: 16, way: 'down' }, cut: true };

// A proxy in front of an endpoint that is known when the cluster runs.
async function proxyTo(endpoint) {
  const port = await freePort();
  const proxy = await Proxy.open(`127.0.0.1:${port}`, () => endpoint().replace('tcp://', ''));
  atEnd(() => proxy.close());
  return Object.assign(proxy, { endpoint: `tcp://127.0.0.1:${port}` });
}

const cluster = new Cluster();
scenario('a gateway whose links were garbled comes back, and its clients miss nothing', cluster, async () => {
  const links = {};
  for (const name of ['control', 'publications']) links[name] = await proxyTo(() => cluster.sections.broker[name]);
  cluster.settings.gateway = { control: links.control.endpoint, publications: links.publications.endpoint };
  atEnd(() => cluster.stop());
  await cluster.start();
  const backend = Backend.open(cluster);
  const reader = await Client.open(cluster);
  await reader.subscribe('chat');

  for (const link of Object.values(links)) link.behave(garbled);
  await until(patience, 'both links to be garbled', () => Object.values(links).every((link) => link.flipped > 0));
  await backend.publish('chat', { n: 1 });
  await until(patience, 'the links to be connected anew', async () => (await cluster.metric('bus_renewed_total')) >= 2);
  assert.deepEqual(reader.pushes, []);
  for (const link of Object.values(links)) link.behave();
  assert.deepEqual((await reader.publication('chat')).data, { n: 1 });
  await backend.publish('chat', { n: 2 });
  assert.deepEqual((await reader.publication('chat')).data, { n: 2 });
  assert.ok((await cluster.gateway.event('link_renewed')).endpoint.startsWith('tcp://127.0.0.1:'));
});

for (const [kind, open] of Object.entries(kinds)) {
  const other = new Cluster();
  scenario(`${kind}: a backend whose link was garbled comes back`, other, async () => {
    atEnd(() => other.stop());
    await other.start();
    const link = await proxyTo(() => other.endpoint);
    const backend = await open({ endpoint: link.endpoint, timeoutMs: 60000 });
    await backend.ping();
    link.behave(garbled);
    const asked = backend.publish({ name: 'chat' }, { n: 1 }, { key: 'once' });
    await until(patience, 'the link to be garbled', () => link.flipped > 0);
    link.behave();
    assert.equal((await asked).offset, 1);
  });
}
