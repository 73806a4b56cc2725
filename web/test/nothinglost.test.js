// @ts-check
// The server carries out each request once, and answers it. The client hears each message once, and in order. Both hold
// whatever happens to connections, pages and servers. TestNothingIsLost of signal/ tests the same of the server.
//
//     NOTHINGLOST_SEED=1234 node --test web/test/nothinglost.test.js     plays one game again
//     NOTHINGLOST_GAMES=1000 node --test web/test/nothinglost.test.js    plays many
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeStorage, FakeTimers } from './fakes.js';
import { Network, randomFrom } from './faultynetwork.js';
import { ModelServer } from './modelserver.js';
import { Client } from '../static/sdk/turnpike.js';
import { insideOf } from '../static/sdk/client.js';

const GAMES = Number(process.env.NOTHINGLOST_GAMES) || 40;
const STEPS = 700;

/** @typedef {{ isGone: boolean, client: Client, events: EventTarget, asked: Set<string> }} Page */

/** A game: one tab, one server after the other, and a network between them. */
class Game {
  #random;
  #timers;
  server;
  network;
  #storage = new FakeStorage();
  /** @type {Page} */
  page;
  #made = 0;
  /** @type {Map<string, string[]>} the lives of sessions in which a request was carried out */
  #done = new Map();
  /** The last message that has arrived, in each life. Messages up to #mayMiss may be missing. @type {Map<string, number>} */
  #arrived = new Map();
  #mayMiss = 0;
  /** The last message from the server. Those in #unheard cannot come any more. */
  #heard = 0;
  /** @type {Set<number>} */
  #unheard = new Set();
  /** @type {Set<number>} the numbers of the messages that were sent */
  #said = new Set();
  counts = { asked: 0, said: 0, reloads: 0, restarts: 0, refused: 0 };

  /** @param {number} seed @param {FakeTimers} timers @param {{ resumes: boolean }} options */
  constructor(seed, timers, options) {
    this.#random = randomFrom(seed);
    this.#timers = timers;
    this.server = new ModelServer({
      did: (op, life) => this.#did(op, life),
      lost: (pushed) => pushed.forEach((number) => this.#unheard.add(number)),
    }, options);
    this.network = new Network(this.#random, this.server);
    this.page = this.#newPage();
  }

  async play() {
    for (let step = 0; step < STEPS; step++) {
      this.#step(this.#random());
      await this.#pass(this.#random() * 800);
    }
    this.network.calmDown();
    for (let round = 0; round < 3; round++) { // A client that has not noticed a dead connection notices it by sending.
      this.#say();
      this.server.push();
      await this.#pass(60_000);
    }
    this.#ask();
    await this.#pass(60_000);
    assert.equal(this.page.client.status, 'online');
    assert.deepEqual([...this.page.asked], [], 'every question has its answer');
    assert.ok(Math.max(...this.#arrived.values()) > this.#mayMiss, 'the last message has arrived');
    const pushed = this.server.push();
    await this.#pass(1000);
    assert.equal(this.#heard, pushed, 'the last message from the server');
    const closed = this.page.client.close();
    await this.#pass(5000);
    await closed;
    await this.#pass(120_000);
    assert.equal(this.#timers.waiting, 0, 'timers after the end');
  }

  /** @param {number} dice */
  #step(dice) {
    const { server, page } = this;
    if (dice < 0.3) this.#ask();
    else if (dice < 0.55) this.#say();
    else if (dice < 0.8) server.push();
    else if (dice < 0.85) repeat(10 + 60 * this.#random(), () => server.push());
    else if (dice < 0.88) repeat(60 * this.#random(), () => this.#say());
    else if (dice < 0.89) repeat(60 * this.#random(), () => this.#ask());
    else if (dice < 0.892) repeat(300, () => this.#ask());
    else if (dice < 0.896) repeat(300, () => this.#say());
    else if (dice < 0.91) server.renewTokens();
    else if (dice < 0.93) {
      page.events.dispatchEvent(new Event('online'));
      if (this.#random() < 0.5) setTimeout(() => this.network.break(), 200 * this.#random()); // The network from before is gone.
      setTimeout(() => repeat(5 * this.#random(), () => this.#say()), 100 * this.#random());
    }
    else if (dice < 0.94) page.events.dispatchEvent(new Event('visibilitychange'));
    else if (dice < 0.955) this.#reload();
    else if (dice < 0.97) this.#restart();
    else if (dice < 0.975) server.goAway(1 + Math.floor(4 * this.#random()));
    else if (dice < 0.98) server.endThoseAway();
  }

  /** @returns {Page} */
  #newPage() {
    /** @type {Page} */
    const page = { isGone: false, events: new EventTarget(), asked: new Set(), client: /** @type {any} */ (undefined) };
    page.client = new Client({
      url: 'https://turn.example.org',
      ticket: 'a ticket',
      timeout: Infinity,
      storage: this.#storage,
      events: page.events,
      WebSocket: /** @type {any} */ (this.network.socketFor(page)),
    });
    page.client.on('error', ({ code }) => page.isGone || this.#hear(Number(code.slice(1))));
    const begunAnew = () => (this.#mayMiss = this.#made); // Messages to the former session, or process, may be lost with it.
    page.client.on('online', ({ how }) => ['restored', 'anew'].includes(how) && begunAnew());
    page.client.open().then(begunAnew, (/** @type {unknown} */ error) => page.isGone || this.network.failures.push(error));
    return page;
  }

  #reload() {
    this.counts.reloads++;
    const { page } = this;
    page.events.dispatchEvent(new Event('pagehide'));
    page.isGone = true;
    this.network.break(1001);
    page.client.close();
    this.#mayMiss = this.#made; // The page had no time to send these.
    this.page = this.#newPage();
  }

  #restart() {
    this.counts.restarts++;
    this.server.restart();
  }

  /** Makes a request that the server must carry out once. */
  #ask() {
    const { page } = this;
    const refuses = this.#random() < 0.2;
    const op = `r${++this.#made}`;
    this.counts.asked++;
    page.asked.add(op);
    const settled = (/** @type {() => void} */ check) => {
      if (page.isGone) return;
      page.asked.delete(op);
      this.#try(check);
    };
    insideOf(page.client).request({ type: refuses ? 'unlock' : 'lock', room: op }).then(
      (answer) => settled(() => {
        assert.equal(answer.room, op, 'the answer to another question');
        assert.ok(!refuses && this.#done.has(op));
      }),
      (error) => settled(() => {
        if (error.code === 'rate-limited') {
          this.counts.refused++;
          return assert.ok(!this.#done.has(op), 'refused, and done');
        }
        assert.deepEqual([error.code, error.message], ['forbidden', op]);
        assert.ok(refuses && this.#done.has(op));
      }),
    );
  }

  /** Sends a message that has no answer. */
  #say() {
    this.counts.said++;
    this.#said.add(++this.#made);
    insideOf(this.page.client).send({ type: 'signal', room: `t${this.#made}`, to: 's0', candidates: [null] });
  }

  /** The server has carried out a request. @param {string} op @param {string} life of a session */
  #did(op, life) {
    const lives = this.#done.get(op) ?? [];
    assert.ok(!lives.includes(life), `${op} was done twice`);
    this.#done.set(op, [...lives, life]);
    if (op[0] !== 't') return;
    const number = Number(op.slice(1));
    const last = this.#arrived.get(life) ?? 0;
    assert.equal(lives.length, 0, `${op} arrived twice`);
    assert.ok(number > last, `${op} arrived after ${last}`);
    for (let missed = Math.max(last, this.#mayMiss) + 1; missed < number; missed++) {
      assert.ok(!this.#said.has(missed), `t${missed} did not arrive before ${op}`);
    }
    this.#arrived.set(life, number);
  }

  /** @param {number} number of the message that the server has pushed */
  #hear(number) {
    this.#try(() => {
      assert.ok(number > this.#heard, `heard ${number} after ${this.#heard}`);
      for (let missed = this.#heard + 1; missed < number; missed++) assert.ok(this.#unheard.has(missed), `${missed} was not heard`);
      this.#heard = number;
    });
  }

  /** @param {() => void} check in a place where nobody would see its error */
  #try(check) {
    try {
      check();
    } catch (error) {
      this.network.failures.push(error);
    }
  }

  /** @param {number} ms */
  async #pass(ms) {
    await this.#timers.pass(ms);
    if (this.network.failures.length > 0) throw this.network.failures[0];
  }
}

/** @param {number} times @param {() => void} step */
function repeat(times, step) {
  for (let time = 0; time < times; time++) step();
}

/** @param {number} seed @param {{ resumes: boolean }} options */
async function play(seed, options) {
  const timers = new FakeTimers();
  const { random } = Math;
  const { fetch } = globalThis;
  Math.random = randomFrom(seed + 1); // Back-off uses it.
  globalThis.fetch = async () => Promise.reject(new TypeError('no HTTP in this game')); // A real one takes real time.
  const game = new Game(seed, timers, options);
  try {
    await game.play();
  } catch (error) {
    console.log(`NOTHINGLOST_SEED=${seed} plays this game again`);
    throw error;
  } finally {
    timers.restore();
    Math.random = random;
    globalThis.fetch = fetch;
  }
  return { ...game.counts, ...game.network.counts, ...game.server.counts };
}

const { NOTHINGLOST_SEED } = process.env;

for (const resumes of [true, false]) {
  test(resumes ? 'nothing is lost' : 'without resuming, nothing is done twice', async (t) => {
    /** @type {Record<string, number>} */
    const sum = {};
    const made = Array.from({ length: resumes ? GAMES : GAMES / 4 }, () => Math.floor(Math.random() * 2 ** 32));
    const seeds = NOTHINGLOST_SEED ? [Number(NOTHINGLOST_SEED)] : made;
    for (const seed of seeds) {
      for (const [name, count] of Object.entries(await play(seed, { resumes }))) sum[name] = (sum[name] ?? 0) + count;
    }
    t.diagnostic(JSON.stringify(sum));
    for (const what of resumes ? ['replayed', 'restored', 'fresh', 'replaced', 'new'] : ['new']) {
      assert.ok(Number(sum[what]) >= seeds.length / 4, `only ${sum[what]} ${what}`);
    }
    assert.ok(Number(sum.broken) + Number(sum.silent) + Number(sum.halfDead) > 20 * seeds.length);
  });
}
