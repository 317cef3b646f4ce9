// Whether the other side hangs: a connection may live on while nobody reads from it any more.
//
// While an answer is waited for and nothing comes, a ping is sent each BEAT_MS; after BEATS of them without a
// word the other side hangs. Beats are counted, not time: a process that hung itself blames nobody.
const BEAT_MS = 1000;
const BEATS = 4;

export class Heart {
  #beats = 0;
  #beatMs = -Infinity;

  get isHung() {
    return this.#beats >= BEATS;
  }

  // Something came, or there is another connection.
  heard() {
    this.#beats = 0;
  }

  // To be called often while nothing comes; heardMs: when something came last. True: it is time for a ping.
  beat(nowMs, heardMs) {
    if (nowMs - Math.max(this.#beatMs, heardMs) < BEAT_MS) return false;
    this.#beatMs = nowMs;
    this.#beats++;
    return true;
  }
}
