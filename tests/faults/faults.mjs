// The faults, one after the other: how each is injected, and what only it promises. The rest is for the
// checker. `run(world)` begins when the load runs, and ends when the fault is over.
import { delay } from './world.mjs';

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
      await world.expect(10000, 'I4', 'the broker to notice', async () => (await world.cluster.metric('gateways', 'broker')) === 1);
      await world.whole();
      await world.cluster.run(one);
    },
  },
  {
    id: 'F2',
    name: 'the broker is killed and started again',
    async run(world) {
      const rounds = world.size.isShort ? 2 : 4;
      for (let round = 0; round < rounds; round++) {
        await world.load(500 + world.random.below(1500));
        world.inject(`kill -9 of the broker, round ${round + 1}`);
        await world.killBroker();
        await delay(world.random.below(1500));
        const started = world.cluster.startBroker();
        if (round === rounds - 1) world.over();
        await started;
        await world.publisher.more(world.size.perSecond);
      }
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
    },
  },
];
