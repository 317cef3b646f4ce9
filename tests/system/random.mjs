// Random numbers that a failed run can be repeated with: SEED=... node --test ...
export const seed = Number(process.env.SEED ?? Date.now() % 1000000);

// mulberry32
export function seeded(text) {
  let state = seed;
  for (const character of text) state = Math.imul(state ^ character.charCodeAt(0), 0x9e3779b1);
  const next = () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
  return {
    next,
    below: (limit) => Math.floor(next() * limit),
    pick: (list) => list[Math.floor(next() * list.length)],
  };
}
