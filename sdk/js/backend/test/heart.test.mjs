// When the other side hangs.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Heart } from '../src/heart.js';

test('four beats without a word', () => {
  const heart = new Heart();
  const beats = [];
  for (let now = 0; now <= 5000; now += 50) {
    if (heart.beat(now, 0)) beats.push([now, heart.isHung]);
  }
  assert.deepEqual(beats, [[1000, false], [2000, false], [3000, false], [4000, true], [5000, true]]);
  heart.heard();
  assert.equal(heart.isHung, false);
});

test('no beat while something comes', () => {
  const heart = new Heart();
  for (let now = 0; now < 20000; now += 50) assert.equal(heart.beat(now, now - 900), false);
});

test('who hung himself counts one beat', () => {
  const heart = new Heart();
  assert.equal(heart.beat(1000, 0), true);
  assert.equal(heart.beat(600000, 0), true);
  assert.equal(heart.beat(600001, 0), false);
  assert.equal(heart.isHung, false);
});
