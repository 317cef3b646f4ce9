// The faults, one after the other: how each is injected, and what only it promises. The rest is for the
// checker. `run(world)` begins when the load runs, and ends when the fault is over.
import { execFileSync } from 'node:child_process';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Gateway } from '../system/gateways.mjs';
import { atEnd, freePort, httpGet, until } from '../system/harness.mjs';
import { hang } from '../system/hung.mjs';
import { footprint, forgetPeak, peakOf } from '../system/mortal.mjs';
import { hangup, reload } from '../system/reloading.mjs';
import { Worker } from '../system/worker.mjs';
import { acknowledgedBy, compareToStore, copyStore, judgeDamaged, keeping } from './damage.mjs';
import { fill, logToNowhere, smallDisk } from './disk.mjs';
import { allIn, guardedHerd, guardedSettings, useTokens } from './guarded.mjs';
import { dieWhileAsking, stages } from './half_message.mjs';
import { answerOf, guardedChannel } from './handler.mjs';
import { behave, isCut, openProxy } from './links.mjs';
import { Network, unableToPartition } from './network.mjs';
import { errors, Orders } from './orders.mjs';
import { targetOf } from './publisher.mjs';
import { channels, delay, prefix } from './world.mjs';

const seconds = (world, short, long) => (world.size.isShort ? short : long) * 1000;

export const faults = [
  {
    id: 'F1',
    name: 'a gateway is killed',
    async run(world) {
      const [one] = world.cluster.gateways;
      await world.load(world.random.below(1000));
      world.inject('kill -9 of gateway one');
      await world.killGateway(one);
      world.over();
      const began = performance.now();
      await world.expect(6000, 'I4', 'the broker to notice', async () => (await world.cluster.metric('gateways', 'broker')) === 1);
      await world.whole();
      const ms = Math.round(performance.now() - began);
      if (ms > 5000) world.broken('I4', `all are back at the other gateway after ${ms} ms`);
      await world.cluster.run(one);
    },
  },
  {
    id: 'F2',
    name: 'the broker is killed and started again',
    prepare(world) {
      world.orders = new Orders(join(world.directory, 'orders'));
      atEnd(() => world.orders.close());
    },
    settings: () => ({ streams: keeping }),
    environment: (world, name) => (name === 'broker' ? world.orders.environment : {}),
    async run(world) {
      const rounds = world.size.isShort ? 2 : 6;
      for (let round = 0; round < rounds; round++) {
        await world.load(500 + world.random.below(1500));
        const inSync = round % 2 === 1; // most likely
        if (inSync) world.orders.give({ syncMs: 300 });
        if (inSync) await delay(300 + world.random.below(300));
        // All that came since the last 300 ms began; without them it is a few.
        if (inSync && world.publisher.open.size < world.size.perSecond / 10) world.broken('I4', 'hardly anything waits for the disk: nothing was tried');
        world.inject(`kill -9 of the broker, round ${round + 1}${inSync ? ', while it waits for the disk' : ''}`);
        await world.killBroker();
        world.orders.give();
        await delay(world.random.below(1500));
        const began = performance.now();
        const started = world.cluster.startBroker();
        if (round === rounds - 1) world.over();
        await started;
        await world.publisher.more(1);
        const ms = Math.round(performance.now() - began);
        if (ms > 2000 && !world.size.isShort) world.broken('I4', `publications go on ${ms} ms after its start`);
        await world.publisher.more(world.size.perSecond);
      }
      await compareToStore(world);
    },
  },
  {
    id: 'F3',
    name: 'the broker hangs',
    async run(world) {
      const ms = seconds(world, 5, world.random.pick([5, 30]));
      world.inject(`SIGSTOP of the broker for ${ms} ms`);
      world.cluster.broker.signal('SIGSTOP');
      await world.load(ms);
      world.cluster.broker.signal('SIGCONT');
      await world.publisher.more(world.size.perSecond);
      const release = await hang(world.cluster.broker, 'main'); // ZeroMQ's own threads go on and answer heartbeats
      world.inject(release ? `only its main thread hangs for ${ms} ms` : 'not allowed to trace: its main thread cannot be stopped alone');
      if (!release) return;
      await world.load(ms);
      await release();
    },
  },
  {
    id: 'F4',
    name: 'the link between broker and gateways is cut, one way or both, slow, or garbles bytes',
    // Gateway one is behind a network of the kernel, gateway two behind a proxy; the broker has sockets in a folder.
    async prepare(world) {
      const reason = await unableToPartition();
      if (reason) world.say(`${reason}: a proxy stalls instead of the kernel's loss`);
      world.sockets = { control: join(world.directory, 'control'), publications: join(world.directory, 'publications') };
      world.proxies = {};
      world.network = reason ? null : Network.open();
      world.ends = {};
      for (const [name, path] of Object.entries(world.sockets)) {
        const ports = [await freePort(), await freePort()];
        if (world.network) await world.network.relay(ports[0], path);
        else await openProxy(world, `one ${name}`, `127.0.0.1:${ports[0]}`, path);
        await openProxy(world, `two ${name}`, `127.0.0.1:${ports[1]}`, path);
        world.ends[name] = [`tcp://${world.network?.host ?? '127.0.0.1'}:${ports[0]}`, `tcp://127.0.0.1:${ports[1]}`];
      }
    },
    settings: (world) => ({ broker: Object.fromEntries(Object.entries(world.sockets).map(([name, path]) => [name, `ipc://${path}`])) }),
    environment(world, name) {
      const at = ['one', 'two'].indexOf(name);
      if (at < 0) return {};
      return { MILLRACE_GATEWAY_CONTROL: world.ends.control[at], MILLRACE_GATEWAY_PUBLICATIONS: world.ends.publications[at] };
    },
    async run(world) {
      const stalls = { none: {}, near: { up: 'stall' }, far: { down: 'stall' }, both: { up: 'stall', down: 'stall' } };
      const lose = (which) => (world.network ? world.network.lose(which) : behave(world, 'one', stalls[which]));
      const longest = world.size.isShort ? [3] : [3, 10, world.random.pick([10, 60])];
      for (const ms of longest) {
        for (const which of world.size.isShort ? ['both', 'far'] : ['both', 'near', 'far']) {
          world.inject(`partition of gateway one, ${which}, ${ms} s`);
          lose(which);
          await world.load(ms * 1000);
          await isCut(world, which);
          lose('none');
          await world.load(3000);
        }
      }
      world.inject('gateway two: 200 ms late, 50 ms more or less');
      behave(world, 'two', { delayMs: 175, jitterMs: 50 });
      await world.load(seconds(world, 4, 10));
      world.inject('gateway two: connections end, and a byte of each new one is flipped');
      behave(world, 'two', { flip: { first: 0, last: 100 }, cut: true });
      await world.load(seconds(world, 6, 12));
      behave(world, 'two', { cut: true });
      world.over();
      const flipped = Object.values(world.proxies).reduce((sum, proxy) => sum + proxy.flipped, 0);
      if (flipped === 0) world.broken('I4', 'no byte was flipped: nothing was tried');
    },
  },
  {
    id: 'F6',
    name: 'a gateway does not keep up, and the broker drops what is for it',
    settings: () => ({ broker: { publications_queue: 10 } }),
    async run(world) {
      const [one] = world.cluster.gateways;
      const count = world.size.isShort ? 8000 : 16000;
      world.inject(`SIGSTOP of gateway one, and ${count} publications at once`);
      // What was published and never came; all addresses have readers there. Not the holes that it has counted: after
      // three seconds without a word it asks for everything, holes or not.
      const difference = async () => (await world.cluster.metric('published_total', 'broker')) - (await one.metric('publications_total'));
      const before = await difference();
      const hasMissed = async () => (await difference()) > before + count / 100;
      // What the sockets of the kernel hold besides the queue is not ours to set: until something was dropped.
      for (let i = 0; i < 5 && !(await hasMissed()); i++) {
        one.child.signal('SIGSTOP');
        const began = performance.now();
        await world.publisher.burst(count, 2000);
        await delay(Math.max(0, 3000 - (performance.now() - began)));
        one.child.signal('SIGCONT');
        // The next canary comes behind all that has waited.
        await until(20000, 'gateway one to hear the broker again', async () => (await one.readiness()).canary_age_ms < 1000);
      }
      world.over();
      if (!(await hasMissed())) world.broken('I4', 'the broker has dropped nothing: nothing was tried');
    },
  },
  {
    id: 'F7',
    name: 'subscribers join while publications flow',
    async run(world) {
      const waves = world.size.isShort ? 3 : 10;
      const [one, two] = world.cluster.gateways;
      world.inject(`${waves} times 250 clients join four addresses each, and leave`);
      for (let wave = 0; wave < waves; wave++) {
        const burst = world.publisher.burst(world.random.below(400), 64);
        const joiners = await world.herd(world.random.pick([[one, two], [two, one]]), { connections: 250, subscriptions: 4, channels, prefix });
        await world.load(200 + world.random.below(800));
        await burst;
        await world.publisher.more(2 * channels); // something for each of them
        await world.dismiss(joiners);
      }
    },
  },
  {
    id: 'F8',
    name: 'subscribers stop reading',
    settings: () => ({ gateway: { queue_bytes: 262144, send_buffer_bytes: 4096 } }),
    async run(world) {
      const [one, two] = world.cluster.gateways;
      const burst = () => world.publisher.burst(world.size.isShort ? 4000 : 8000, 1000); // more than any socket holds
      await world.pace('before', burst());
      const others = [...world.herds];
      const lostBefore = await disconnections(others);
      const slow = await world.herd([one, two], { connections: 20, subscriptions: channels, channels, prefix });
      world.aside(slow);
      const { rss } = await footprint(one.child);
      await forgetPeak(one.child);
      world.inject('20 clients of all addresses stop reading');
      slow.child.signal('SIGSTOP');
      const waiting = world.pace('during', burst());
      await world.expect(60000, 'I4', 'gateway one to give up on them', async () => (await one.metric('closed_slow_total')) >= 20);
      await waiting;
      // Queues that were dropped since are in it.
      const peak = await peakOf(one.child);
      const most = 20 * (262144 + 4096) + 16 * 1024 * 1024;
      world.say(`gateway one took ${Math.round((peak - rss) / 1024)} KiB more, of ${most / 1024}`);
      if (peak > rss + most) world.broken('I6', `gateway one grew from ${rss} to ${peak} bytes`);
      const tops = new Map(world.publisher.tops);
      await world.expect(60000, 'I1', 'all others to have everything', () => world.haveAll(others, tops));
      const lost = (await disconnections(others)) - lostBefore;
      if (lost > 0) world.broken('I4', `${lost} connections of others were lost`);
      slow.child.signal('SIGCONT');
      world.over();
    },
  },
  {
    id: 'F9',
    name: 'a second gateway has the name of the first one',
    async run(world) {
      const { cluster } = world;
      const [one] = cluster.gateways;
      const twin = new Gateway(cluster, 'one', await freePort());
      world.inject('another gateway one');
      await twin.start({ MILLRACE_GATEWAY_LISTEN_PORT: `${await freePort()}` });
      await cluster.broker.event('gateway_replaced');
      await one.child.event('replaced');
      const unready = async ({ admin, name }, wanted) => {
        const { status } = await httpGet(`${admin}/readyz`);
        if (status !== wanted) world.broken('I4', `/readyz of ${name} says ${status}, not ${wanted}`);
      };
      await unready(one, 503);
      await unready(twin, 200);
      await world.load(seconds(world, 4, 15));
      const lost = await disconnections(world.herds);
      if (lost > 0) world.broken('I4', `${lost} connections were lost`);
      await twin.end('SIGTERM');
      await one.child.event('reinstated');
      await unready(one, 200);
    },
  },
  {
    id: 'F10',
    name: 'the permission handler dies with questions open, and with grants out',
    prepare: useTokens,
    settings: guardedSettings,
    async run(world) {
      const clients = world.size.isShort ? 300 : 1000;
      const silent = await world.handler('silent');
      world.inject(`${clients} clients wait for a permission`);
      const herd = await guardedHerd(world, clients);
      await world.expect(20000, 'I4', 'the handler to be asked', async () => (await world.cluster.metric('checks_sent_total', 'broker')) > 0);
      await world.expect(20000, 'I4', 'all clients to wait', async () => (await herd.report()).open === clients);
      silent.signal('SIGKILL');
      const answered = await world.expect(20000, 'I4', 'all clients to be answered', async () => (await herd.report()).refused_for_now >= clients);
      // The gateway answers each at most 4 s after its command.
      if (answered > 4000 + 1500) world.broken('I4', `some had no answer for ${answered} ms`);
      const before = await herd.report();
      if (before.live > 0) world.broken('I5', `${before.live} were let in by nobody`);
      if (before.unanswered > 0) world.broken('I4', `${before.unanswered} commands had no answer`);

      let handler = await world.handler('yes');
      await allIn(world, herd, clients);
      handler.signal('SIGKILL');
      world.inject('the handler dies, and those who are in stay in');
      await world.load(seconds(world, 3, 10));
      const after = await herd.report();
      if (after.told + after.revoked > 0) world.broken('I4', `${after.told + after.revoked} subscriptions ended with the handler`);
      handler = await world.handler('yes');
    },
  },
  {
    id: 'F11',
    name: 'the permission handler answers too late',
    prepare: useTokens,
    settings: guardedSettings,
    async run(world) {
      const clients = world.size.isShort ? 300 : 1000;
      const slow = await world.handler('slow');
      world.inject(`${clients} clients ask a handler that takes ten seconds`);
      const herd = await guardedHerd(world, clients);
      await world.expect(20000, 'I4', 'all clients to be answered', async () => (await herd.report()).refused_for_now >= clients);
      // Nobody else waits for it.
      const [one, two] = world.cluster.gateways;
      const began = performance.now();
      const others = await world.herd([one, two], { connections: 100, channels, prefix });
      const ms = performance.now() - began;
      if (ms > 2000) world.broken('I4', `others waited ${Math.round(ms)} ms for their subscriptions`);
      await world.load(seconds(world, 6, 20));
      await world.dismiss(others);
      const { live, unanswered } = await herd.report();
      if (live > 0) world.broken('I5', `${live} were let in by an answer that came too late`);
      if (unanswered > 0) world.broken('I4', `${unanswered} commands had no answer`);
      slow.signal('SIGKILL');
      await world.handler('yes');
      world.over();
      await allIn(world, herd, clients);
    },
  },
  {
    id: 'F12',
    name: 'the permission handler comes and goes',
    prepare: useTokens,
    settings: guardedSettings,
    async run(world) {
      const clients = world.size.isShort ? 300 : 1000;
      const { records, cluster } = world;
      // Every second time it goes without an answer to what it was asked.
      let times = 0;
      const flap = () => {
        const isSilent = times++ % 2 === 1;
        return Worker.serve(cluster, [{ channel: guardedChannel }], ({ channel, resource, subscriber }) => {
          if (isSilent) return undefined;
          const answer = answerOf({ name: channel, resourceId: resource }, subscriber);
          records.write('answer', answer);
          return { read: answer.read };
        });
      };
      const first = await flap();
      await first.close();
      const herd = await guardedHerd(world, clients);
      world.inject('up for 200 ms, down for 200 ms');
      const end = performance.now() + seconds(world, 6, 60);
      while (performance.now() < end) {
        const worker = await flap();
        await delay(200);
        await worker.close();
        await delay(200);
        world.status();
      }
      const asked = await cluster.metric('checks_sent_total', 'broker');
      const { first: live, refused_for_now: again, faults } = await herd.report();
      if (again === 0) world.broken('I4', 'nobody has met a handler that was gone: nothing was tried');
      const most = 2 * (live + again + faults.refused + clients);
      if (asked > most) world.broken('I4', `the handler was asked ${asked} times for ${most / 2} attempts`);
      await world.handler('yes');
      world.over();
      await allIn(world, herd, clients);
    },
  },
  {
    id: 'F13',
    name: 'backends die in the middle of a publication, and it is sent again',
    async run(world) {
      const { publisher, cluster, records } = world;
      const rounds = world.size.isShort ? 60 : 300;
      world.inject(`${rounds} backends die`);
      const one = async (i) => {
        const { n, address, key } = publisher.begin();
        const stage = stages[i % stages.length];
        const { name: channel, resourceId: resource } = targetOf(address);
        const request = { op: 'publish', id: 1, channel, resource, payload: publisher.payload(n, address), key };
        const reply = await dieWhileAsking(cluster.endpoint, request, stage);
        if (reply?.ok) records.write('ack', { n, epoch: reply.epoch, offset: reply.offset });
        if (stage === stages.at(-1) && !reply?.ok) world.broken('I4', `no answer to ${n}: ${JSON.stringify(reply)}`);
        await publisher.decide(n, address, key);
      };
      for (let i = 0; i < rounds; i += 20) {
        await Promise.all(Array.from({ length: 20 }, (_, j) => one(i + j)));
        await world.load(300);
      }
    },
  },
  {
    id: 'F14',
    name: 'the wall clock jumps by an hour, there and back',
    prepare(world) {
      world.orders = new Orders(join(world.directory, 'orders'));
      atEnd(() => world.orders.close());
    },
    environment: (world) => world.orders.environment,
    async run(world) {
      const hour = 3600 * 1000;
      const [one] = world.cluster.gateways;
      const jumps = world.random.pick([[hour, -hour], [-hour, hour]]);
      for (const wallMs of [...jumps, 0]) {
        world.inject(`the wall clock is ${wallMs / hour} h off`);
        world.orders.give({ wallMs });
        await haveJumped(world, wallMs);
        await world.load(seconds(world, 3, 15));
      }
      const reports = await Promise.all(world.herds.map((herd) => herd.report()));
      const disturbed = reports.reduce((sum, { disconnected, told, revoked }) => sum + disconnected + told + revoked, 0);
      if (disturbed > 0) world.broken('I4', `the clock cost ${disturbed} connections or subscriptions`);
      // What is kept is neither too old nor too young by it.
      world.orders.give({ wallMs: jumps[0] });
      await world.killGateway(one);
      await world.whole();
      const lost = (await Promise.all(world.herds.map((herd) => herd.report()))).reduce((sum, { unrecovered }) => sum + unrecovered, 0);
      if (lost > 0) world.broken('I1', `${lost} subscriptions could not be recovered behind a jump of the clock`);
      world.orders.give();
      await world.cluster.run(one);
    },
  },
  {
    id: 'F15',
    name: 'the disk is full, fails or hangs',
    async prepare(world) {
      world.orders = new Orders(join(world.directory, 'orders'));
      atEnd(() => world.orders.close());
      world.disk = process.getuid() === 0 ? await smallDisk() : null;
      if (!world.disk) world.say('no root: no small file system of its own');
    },
    settings: (world) => ({ streams: keeping, store: { hang_ms: 1000, ...(world.disk && { path: join(world.disk, 'millrace.db') }) } }),
    environment: (world, name) => (name === 'broker' ? world.orders.environment : {}),
    async run(world) {
      const { orders } = world;
      const filler = world.disk && join(world.disk, 'filler');
      const obey = (order) => ({ fail: () => orders.give(order), mend: () => orders.give() });
      const all = [
        // A little may still fit into what the store's files have: whatever is acknowledged is checked at the end. That
        // nothing more is written is known, so nothing may be lost.
        ['the disk is full', filler ? { fail: () => fill(filler), mend: () => rm(filler) } : obey({ writeError: errors.ENOSPC })],
        ['fsync fails', obey({ syncError: errors.EIO }), { mayLose: true }], // nobody knows what is on the disk: an epoch ends
        ['each write ends in the middle', obey({ shortWrite: 1 })],
        ['writes find no space', obey({ writeError: errors.ENOSPC })],
        ['fsync takes 3 s', obey({ syncMs: 3000 })],
      ];
      for (const [text, { fail, mend }, { mayLose } = {}] of world.size.isShort ? all.slice(0, 2) : all) {
        if (mayLose) world.mayLose();
        world.inject(text);
        await fail();
        await world.expect(20000, 'I4', 'the broker to say that its store fails', async () => (await httpGet(`${world.cluster.brokerAdmin}/readyz`)).status === 503);
        // What was acknowledged before is on its way. It comes in front of an answer, of two at the latest.
        for (let i = 0; i < 2; i++) await world.publisher.backend.ping();
        const { acknowledged } = world.publisher;
        await world.load(seconds(world, 2, 5));
        const more = world.publisher.acknowledged - acknowledged;
        const nothingCan = !text.includes('takes') && !(text === 'the disk is full' && filler);
        if (nothingCan && more > 0) world.broken('I1', `${more} were acknowledged while ${text}`);
        await mend();
        if (text === all.at(world.size.isShort ? 1 : -1)[0]) world.over();
        await world.publisher.more(world.size.perSecond);
      }
      // On the disk is what was acknowledged, also on one that had just failed.
      await world.publisher.pause();
      await world.killBroker();
      await world.cluster.startBroker();
      await compareToStore(world);
      world.publisher.resume();
      await logToNowhere(world);
    },
  },
  {
    id: 'F16',
    name: 'the file of the store is damaged, or its log ends early',
    settings: () => ({ streams: keeping }),
    async run(world) {
      const { publisher, cluster } = world;
      const places = world.size.isShort ? 20 : 70;
      await world.killBroker();
      const from = join(world.directory, 'store');
      await mkdir(from);
      await copyStore(cluster.directory, from);
      const addresses = acknowledgedBy(publisher);
      await cluster.startBroker();
      world.inject(`${places} copies of its store are damaged, each at one place`);
      const count = { refused: 0, started: 0, 'went back': 0, 'began anew': 0, noticed: 0 };
      for (let i = 0; i < places; i++) {
        const { place, outcome, wrong, wentBack, isNew, isNoticed } = await judgeDamaged(world, from, addresses);
        if (wentBack) count['went back']++;
        if (isNew) count['began anew']++;
        if (isNoticed) count.noticed++;
        count[outcome]++;
        for (const text of wrong) world.broken('I3', `${place}: ${text}`);
      }
      world.status(`${count.started} started, ${count['went back']} of them at earlier positions, ${count['began anew']} with new epochs, ${count.noticed} with damaged records, ${count.refused} refused;`);
      if (count['went back'] + count['began anew'] + count.noticed + count.refused === 0) world.broken('I4', 'no damage was of any consequence: nothing was tried');

      world.mayLose(); // the copy does not have what subscribers have
      world.inject('an older copy of its store is put back');
      await publisher.pause();
      await world.killBroker();
      await copyStore(from, cluster.directory);
      await cluster.startBroker();
      await world.expect(30000, 'I4', 'the broker to learn that its store has gone back', async () => (await cluster.metric('streams_gone_back_total', 'broker')) === channels);
      publisher.resume();
      world.over();
    },
  },
  {
    id: 'F18',
    name: 'a gateway with a crowd of clients is killed and started again',
    async run(world) {
      const [one] = world.cluster.gateways;
      const connections = world.size.isShort ? 3000 : 9000;
      await world.herd([one], { connections, channels, prefix: 'crowd:room-', inFlight: 500 });
      world.publisher.addresses.push('crowd:room-0', 'crowd:room-1'); // of which each has many readers
      await world.load(2000);
      world.inject(`kill -9 of gateway one with ${connections + world.size.clients / 2} clients`);
      await world.killGateway(one);
      world.over();
      await world.cluster.run(one);
      const back = await world.expect(60000, 'I4', 'all of the crowd to be back', async () => {
        const reports = await Promise.all(world.herds.map((herd) => herd.report()));
        return reports.every(({ whole, connections: all }) => whole === all);
      });
      world.say(`back within ${back} ms`);
      if (back > 30000) world.broken('I4', `the last client was back after ${back} ms`);
    },
  },
  {
    id: 'F19',
    name: 'every process is replaced, one after the other',
    async run(world) {
      const { cluster, publisher } = world;
      const refused = publisher.refused;
      for (const gateway of cluster.gateways) {
        world.inject(`SIGTERM to gateway ${gateway.name}`);
        world.repairs += await gateway.metric('repaired_total');
        const { code } = await gateway.end('SIGTERM');
        if (code !== 0) world.broken('I4', `gateway ${gateway.name} ended with ${code}`);
        await cluster.run(gateway);
        await world.load(seconds(world, 1, 3));
      }
      world.inject('SIGTERM to the broker');
      const { code } = await cluster.broker.stop('SIGTERM');
      if (code !== 0) world.broken('I4', `the broker ended with ${code}`);
      await cluster.startBroker();
      world.over();
      await publisher.more(world.size.perSecond);
      if (publisher.refused > refused) world.broken('I4', `${publisher.refused - refused} publications failed for good`);
    },
  },
  {
    id: 'F20',
    name: 'a gateway runs out of file descriptors, then of memory',
    async run(world) {
      const [one] = world.cluster.gateways;
      const { descriptors } = await footprint(one.child);
      const limit = (soft) => execFileSync('prlimit', ['--pid', `${one.child.pid}`, `--nofile=${soft}:`]);
      const [, was] = (await readFile(`/proc/${one.child.pid}/limits`, 'utf8')).match(/Max open files +(\d+)/);
      await crowd(world, one, 'gateway one may have 50 more descriptors', () => limit(descriptors + 50));
      limit(was);
      await world.whole();

      const { rss } = await footprint(one.child);
      await crowd(world, one, 'gateway one takes all the memory that it may take', async () => {
        await reload(world.cluster, one.child, { gateway: { memory_bytes: Math.round(rss / 2) } });
        await one.child.event('memory_short');
      });
      if ((await one.metric('refused_memory_total')) === 0) world.broken('I4', 'nobody was refused for want of memory');
      await reload(world.cluster, one.child, { gateway: {} });
      world.over();
      await world.whole();
    },
  },
];

// How often clients of these herds have lost their connection.
async function disconnections(herds) {
  const reports = await Promise.all(herds.map((herd) => herd.report()));
  return reports.reduce((sum, { disconnected }) => sum + disconnected, 0);
}

// --- what a process may take ---

// 200 clients come to a gateway that has no room for them, and go on trying; those who are there stay.
async function crowd(world, gateway, text, makeShort) {
  const before = await Promise.all(world.herds.map((herd) => herd.report()));
  world.inject(`${text}, and 200 more clients come`);
  await makeShort();
  const more = await world.herd([gateway], { connections: 200, channels, prefix, inFlight: 200 }, { wait: false });
  await world.expect(20000, 'I4', 'clients to be sent away', async () => (await more.report()).failed > 100);
  await world.load(seconds(world, 3, 15));
  const after = await Promise.all(world.herds.slice(0, before.length).map((herd) => herd.report()));
  const lost = after.reduce((sum, { disconnected }, i) => sum + disconnected - before[i].disconnected, 0);
  if (lost > 0) world.broken('I4', `${lost} connections that were there were lost`);
}

// --- clocks ---

// Each process writes a line of its log, with the time that it believes.
async function haveJumped(world, wallMs) {
  for (const [name, child] of Object.entries(world.processes())) {
    const { time } = (await hangup(child)).at(-1);
    const offMs = Date.parse(time) - Date.now();
    if (!(Math.abs(offMs - wallMs) < 60000)) world.broken('I4', `the clock of ${name} says ${time}: nothing was tried`);
  }
}
