// The links between gateways and the broker, through proxies of the suite's own.
import { atEnd, httpGet } from '../system/harness.mjs';
import { Proxy } from './proxy.mjs';

export async function openProxy(world, name, listen, to) {
  world.proxies[name] = await Proxy.open(listen, to);
  atEnd(() => world.proxies[name].close());
}

// Which end has not heard the other one for so long that it was cut off? Each says something every second.
export async function isCut(world, which) {
  const { canary_age_ms: gateway } = await world.cluster.gateways[0].readiness();
  if (which !== 'near' && gateway < 1500) world.broken('I4', `gateway one has heard the broker ${gateway} ms ago: nothing was cut`);
  const { gateways } = JSON.parse((await httpGet(`${world.cluster.brokerAdmin}/status`)).text);
  const broker = gateways.find(({ name }) => name === 'one')?.age_ms ?? Infinity; // it may have given up on it
  if (which !== 'far' && broker < 1500) world.broken('I4', `the broker has heard gateway one ${broker} ms ago: nothing was cut`);
}

// Both links of one gateway.
export function behave(world, gateway, behaviour) {
  for (const [name, proxy] of Object.entries(world.proxies)) if (name.startsWith(`${gateway} `)) proxy.behave(behaviour);
}
