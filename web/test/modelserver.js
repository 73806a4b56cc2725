// @ts-check
// A server in memory that keeps the rules of signal/PROTOCOL.md by which nothing is lost, and fails when the client breaks one.
import assert from 'node:assert/strict';

const ACK_EVERY = 32;
const WINDOW_MS = 30_000;
const CLOSED_WINDOW_MS = 5000;
/** More than a well-behaved client ever leaves unacknowledged here; the real one ends the session at 1,024. */
const MAX_UNACKNOWLEDGED = 100_000;

/** The answer to a token from the past. Only a late hello may have one, and then its client no longer listens. */
export const STALE = 'a stale token';

/**
 * @typedef {{ send: (message: any) => void, close: (code: number, reason: string) => void }} Line to the client
 * @typedef {{ session: string, epoch: number, generation: number }} Token
 *
 * @typedef {object} Observer
 * @property {(op: string, life: string) => void} did a request was carried out, in one life of a session; each process begins another life
 * @property {(pushed: number[]) => void} lost these messages will not come, or not again
 */

/** One session in one process. */
class Session {
  /** @type {any[]} not acknowledged; the number of the first is `acknowledged + 1` */
  messages = [];
  acknowledged = 0;
  /** @type {Line | undefined} undefined: away */
  line;
  /** @type {Map<string, any>} by id; undefined for those that have none */
  answers = new Map();
  /** @type {string | undefined} */
  handled;
  unanswered = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  away;

  /** @param {string} id @param {number} generation @param {number} oldest good generation of tokens */
  constructor(id, generation, oldest) {
    this.id = id;
    this.generation = generation;
    this.oldest = oldest;
  }

  /** The later the session began, the greater. */
  get number() {
    return Number(this.id.slice(1));
  }

  get last() {
    return this.acknowledged + this.messages.length;
  }
}

export class ModelServer {
  #observer;
  #resumes;
  #epoch = 1;
  #sessions = 0;
  #pushed = 0;
  /** @type {Map<string, Session>} */
  #alive = new Map();
  /** Counts of events, by name. */
  counts = { new: 0, replayed: 0, restored: 0, fresh: 0, replaced: 0, gone: 0 };

  /** @param {Observer} observer @param {{ resumes: boolean }} options */
  constructor(observer, { resumes }) {
    this.#observer = observer;
    this.#resumes = resumes;
  }

  /** @param {Line} line of a new connection */
  connected(line) {
    /** @type {Session | undefined} */
    let session;
    let handled = 0;
    let isQuiet = true;
    return {
      /** @param {any} message */
      receive: (message) => {
        if (message.type === 'ping') return line.send({ type: 'pong', ref: message.id });
        if (!session) {
          assert.equal(message.type, 'hello', 'nothing comes before hello');
          session = this.#hello(line, message);
          handled = message.resume ? Number(session?.handled ?? 0) : 0;
          isQuiet = message.resume !== undefined;
        } else if (session.line === line) {
          if (isQuiet) assert.equal(message.type, 'ack', 'the first message after a resume');
          isQuiet = false;
          if (message.id !== undefined) assert.ok(Number(message.id) > handled, `${message.id} is sent again, and handled was ${handled}`);
          this.#act(session, message);
        }
      },
      /** @param {number} code */
      lost: (code) => session?.line === line && this.#lose(session, code),
    };
  }

  /** Pushes a message to the client, if it has a session. @returns {number} how many were pushed so far */
  push() {
    let session;
    for (const other of this.#alive.values()) if (!session || other.number > session.number) session = other; // The client knows no other.
    if (session) this.#tell(session, { type: 'error', code: `p${++this.#pushed}`, message: 'pushed' });
    return this.#pushed;
  }

  /** A new resume token for everybody. */
  renewTokens() {
    if (!this.#resumes) return;
    for (const session of this.#alive.values()) this.#tell(session, { type: 'resume', token: this.#token(session) });
  }

  /** Announces a stop. @param {number} retryAfter */
  goAway(retryAfter) {
    for (const session of this.#alive.values()) this.#tell(session, { type: 'going-away', retryAfter });
  }

  /** Another process takes over, which knows nothing, but can read tokens. */
  restart() {
    for (const session of [...this.#alive.values()]) this.#end(session, 1001, 'going-away');
    this.#epoch++;
  }

  /** Ends the sessions whose clients are away: they did not come back in time. */
  endThoseAway() {
    for (const session of [...this.#alive.values()]) {
      if (!session.line) this.#end(session, 0, '');
    }
  }

  /**
   * @param {Line} line
   * @param {any} hello
   */
  #hello(line, hello) {
    const { resume, ticket, id } = hello;
    const found = resume && this.#resumes ? this.#resume(line, hello) : undefined;
    if (found) return found;
    if (!ticket) {
      const isAlive = resume && this.#alive.has(resume.session);
      return void line.send({ type: 'error', ref: id, code: 'no-such-session', message: isAlive ? STALE : '' });
    }
    const session = new Session(`s${++this.#sessions}`, 1, 1);
    this.counts.new++;
    this.#giveUpBefore(session);
    this.#alive.set(session.id, session);
    this.#welcome(line, session, { ref: id, after: 0 });
    return session;
  }

  /**
   * @param {Line} line
   * @param {any} hello
   * @returns {Session | undefined}
   */
  #resume(line, { id, resume }) {
    /** @type {Token} */
    const token = JSON.parse(resume.token);
    assert.equal(token.session, resume.session, 'the token is of the session');
    const known = this.#alive.get(token.session);
    if (!known && token.epoch === this.#epoch) return undefined;
    if (known && token.generation < known.oldest) return undefined;
    const session = known ?? new Session(token.session, token.generation, token.generation);
    const isKnown = token.epoch === this.#epoch;
    const unheard = !isKnown && session.acknowledged === 0;
    let after = isKnown ? resume.received : unheard ? 0 : session.last;
    if (isKnown && !resume.fresh) {
      assert.ok(after >= session.acknowledged && after <= session.last, `received ${after}, which was never sent`);
    }
    if (resume.fresh) {
      after = session.last;
      this.counts.fresh++;
    }
    if (session.line) {
      this.counts.replaced++;
      session.line.close(4006, 'replaced');
    }
    clearTimeout(session.away);
    const skipped = session.messages.splice(0, after - session.acknowledged);
    if (resume.fresh || !isKnown) this.#observer.lost(skipped.map(numberOf));
    session.acknowledged = after;
    session.generation = Math.max(session.generation, token.generation) + 1;
    this.#giveUpBefore(session);
    this.#alive.set(session.id, session);
    const resumed = isKnown ? 'replayed' : 'restored';
    this.counts[resumed]++;
    const handled = isKnown ? session.handled : undefined;
    const fresh = this.#token(session);
    for (const message of session.messages) if (message.type === 'resume') message.token = fresh;
    this.#welcome(line, session, { ref: id, after, resumed, handled, rooms: [] });
    return session;
  }

  /** Ends earlier sessions. The client has left them, but a late hello may have brought one back. @param {Session} session */
  #giveUpBefore(session) {
    for (const { number, messages } of this.#alive.values()) if (number < session.number) this.#observer.lost(messages.map(numberOf));
  }

  /**
   * @param {Line} line
   * @param {Session} session
   * @param {any} about
   */
  #welcome(line, session, about) {
    session.line = line;
    const resume = this.#resumes ? { resume: this.#token(session), resumeWindow: WINDOW_MS / 1000 } : {};
    line.send({
      type: 'welcome', session: session.id, user: 'u1', name: 'Ada', role: 'member', iceServers: [], online: [],
      epoch: String(this.#epoch), ...resume, ...about,
    });
    session.messages.forEach((message, place) => line.send({ ...message, seq: session.acknowledged + place + 1 }));
  }

  /** @param {Session} session */
  #token({ id, generation }) {
    return JSON.stringify({ session: id, epoch: this.#epoch, generation });
  }

  /**
   * @param {Session} session
   * @param {any} message
   */
  #act(session, message) {
    session.oldest = session.generation;
    if (message.received !== undefined) this.#acknowledge(session, message.received);
    if (message.type === 'ack') return;
    if (message.type === 'bye') {
      this.#end(session, 1000, 'bye');
      return;
    }
    const { id } = message;
    assert.equal(typeof id, 'string', `${message.type} without an id`);
    if (session.answers.has(id)) {
      const answer = session.answers.get(id);
      if (answer) this.#tell(session, answer);
      return;
    }
    this.#observer.did(message.room, `${session.id} of ${this.#epoch}`);
    session.handled = id;
    const answer = answerTo(message);
    session.answers.set(id, answer);
    if (answer) this.#tell(session, answer);
    else if (++session.unanswered % ACK_EVERY === 0) session.line?.send({ type: 'ack', ref: id });
  }

  /** @param {Session} session @param {number} received */
  #acknowledge(session, received) {
    assert.ok(received <= session.last, `received ${received} of ${session.last}`);
    if (received <= session.acknowledged) return;
    session.messages.splice(0, received - session.acknowledged);
    session.acknowledged = received;
  }

  /** @param {Session} session @param {any} message */
  #tell(session, message) {
    session.messages.push(message);
    assert.ok(session.messages.length < MAX_UNACKNOWLEDGED, 'the client acknowledges nothing');
    session.line?.send({ ...message, seq: session.last });
  }

  /** @param {Session} session @param {number} code with which the client closed */
  #lose(session, code) {
    session.line = undefined;
    if (!this.#resumes) return this.#end(session, 0, '');
    session.away = setTimeout(() => this.#end(session, 0, ''), code === 1001 ? CLOSED_WINDOW_MS : WINDOW_MS);
  }

  /** @param {Session} session @param {number} code @param {string} reason */
  #end(session, code, reason) {
    this.counts.gone++;
    clearTimeout(session.away);
    this.#alive.delete(session.id);
    this.#observer.lost(session.messages.map(numberOf));
    const { line } = session;
    session.line = undefined;
    line?.close(code, reason);
  }
}

/** @param {any} request its operation stands in `room` */
function answerTo({ type, id, room }) {
  if (type === 'signal') return undefined;
  if (type === 'unlock') return { type: 'error', ref: id, code: 'forbidden', message: room };
  return { type: 'locked', ref: id, room, by: 's0' };
}

/** @param {any} message @returns {number} of what was pushed, 0 for anything else */
function numberOf({ type, code }) {
  return type === 'error' && code[0] === 'p' ? Number(code.slice(1)) : 0;
}
