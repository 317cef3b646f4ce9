import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addressOf } from '../src/address.js';

test('a channel object has a text and a frozen copy', () => {
  const cases = [
    [{ name: 'chat' }, 'chat', { name: 'chat' }],
    [{ name: 'chat', resourceId: '' }, 'chat', { name: 'chat' }],
    [{ name: 'chat', resourceId: null, appId: undefined }, 'chat', { name: 'chat' }],
    [{ name: '@chat', resourceId: 'room 1/2:3' }, '@chat:room 1/2:3', { name: '@chat', resourceId: 'room 1/2:3' }],
    [{ name: 'quotes', appId: '13d2.x_-', resourceId: 'A' }, '13d2.x_-/quotes:A', { name: 'quotes', resourceId: 'A', appId: '13d2.x_-' }],
    [{ name: 'chat', other: 1 }, 'chat', { name: 'chat' }],
  ];
  for (const [given, text, channel] of cases) {
    const address = addressOf(given);
    assert.deepEqual(address, { text, channel });
    assert.ok(Object.isFrozen(address.channel) && !Object.isFrozen(given));
  }
});

test('a broken rule is named', () => {
  const cases = [
    [undefined, /an object .* is needed, not undefined/],
    [null, /not null/],
    ['chat', /not string/],
    [['chat'], /not an array/],
    [{}, /the name is empty/],
    [{ name: '' }, /the name is empty/],
    [{ name: '@' }, /the name is empty/],
    [{ name: 7 }, /the name is a string, not number/],
    [{ name: 'a b' }, /only letters, digits/],
    [{ name: 'chat:room' }, /only letters, digits/],
    [{ name: 'app/chat' }, /only letters, digits/],
    [{ name: 'chat\n' }, /only letters, digits/],
    [{ name: 'ch@t' }, /only letters, digits/],
    [{ name: 'größe' }, /only letters, digits/],
    [{ name: 'chat', resourceId: 7 }, /resource: the id is a string, not number/],
    [{ name: 'chat', resourceId: 'a\0b' }, /resource: the id contains U\+0000/],
    [{ name: 'chat', resourceId: 'a\ud83d' }, /half of a surrogate pair/],
    [{ name: 'chat', resourceId: '\ude00\ud83d' }, /half of a surrogate pair/],
    [{ name: 'chat', appId: '' }, /app: an app id has 1 to 64/],
    [{ name: 'chat', appId: 'a/b' }, /app: an app id/],
    [{ name: 'chat', appId: 'a'.repeat(65) }, /app: an app id/],
    [{ name: 'chat', appId: {} }, /app: the id is a string, not object/],
    [{ name: 'a'.repeat(141) }, /exceed 140 Unicode code points/],
    [{ name: 'a', resourceId: 'b'.repeat(140) }, /exceed 140/],
    [{ name: 'a', resourceId: '😀'.repeat(140) }, /exceed 140/],
    [{ name: 'a', resourceId: 'b'.repeat(1000000) }, /exceed 140/],
  ];
  for (const [given, message] of cases) {
    assert.throws(() => addressOf(given), (error) => {
      assert.match(error.message, message);
      assert.equal(error.errorCode, 'BAD_INPUT');
      assert.equal(error.recoverable, false);
      assert.equal(error.channel, given);
      assert.ok(!('status' in error));
      return true;
    });
  }
});

test('the length counts code points, not UTF-16 units', () => {
  assert.equal(addressOf({ name: 'a', resourceId: '😀'.repeat(139) }).text, `a:${'😀'.repeat(139)}`);
  assert.equal(addressOf({ name: 'a'.repeat(140) }).text.length, 140);
});
