// A backend that says who may read: registers handlers and answers checks as the test decides.
import assert from 'node:assert/strict';
import { encode } from '@msgpack/msgpack';
import { Backend } from './backend.mjs';
import { patience, within } from './harness.mjs';

export class Worker extends Backend {
  // decide(check): an answer, a promise of one, or undefined: silence for the whole message.
  static async serve(cluster, handlers, decide = () => ({ read: true }), more = {}) {
    const worker = Worker.open(cluster);
    worker.decide = decide;
    await worker.register(handlers, more);
    return worker;
  }

  checks = []; // all that it was asked
  messages = 0;
  last = null; // the id of the last message with checks
  waiters = new Set();
  strays = { push: (message) => this.#take(message) }; // what a Backend takes for a reply that nobody waits for

  async register(handlers, more = {}) {
    const reply = await this.request('handle', { handlers, ...more });
    assert.equal(reply.ok, true, JSON.stringify(reply));
  }

  async #take({ op, id, checks }) {
    assert.equal(op, 'check');
    if (checks.length > 0) {
      this.messages++;
      this.last = id;
    }
    this.checks.push(...checks);
    for (const waiter of this.waiters) waiter();
    const answers = await Promise.all(checks.map((check) => this.decide(check)));
    if (answers.every((one) => one !== undefined)) await this.answer(id, answers);
  }

  answer(id, answers) {
    return this.raw(encode({ op: 'answer', id, answers })).catch(() => {}); // closed meanwhile
  }

  // Resolves when it was asked so often in all.
  asked(count) {
    return within(patience, `${count} checks`, new Promise((done) => {
      const look = () => {
        if (this.checks.length < count) return;
        this.waiters.delete(look);
        done(this.checks[count - 1]);
      };
      this.waiters.add(look);
      look();
    }));
  }
}
