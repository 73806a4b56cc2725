// @ts-check
import { copyLink } from '../../clipboard.js';
import { sayingFor } from '../../code/sayings.js';
import { CodeSender } from '../../code/sender.js';
import { codeLink, codeText } from '../../code/text.js';
import { drawAvatar, fill, find, findButton, write } from '../../dom.js';
import { drawQrCode } from '../../qrcode.js';
import { files as counted, sized } from '../../quantities.js';
import { keepAwake } from '../../wakelock.js';
import { asIs, locale, say } from '../../words/code.js';
import { Progress } from './progress.js';
import { showEnd, wayOf } from './states.js';

/**
 * @import { Outcome, Receiver } from '../../code/sender.js'
 * @import { Code } from '../../code/text.js'
 * @import { Choice } from '../../files/choosing.js'
 */

const UNTIL = new Intl.DateTimeFormat(locale, { hour: '2-digit', minute: '2-digit' });

/** Shows a code to tell, and what becomes of those who come by it. */
export class CodeSend extends HTMLElement {
  #sender;
  #choice;
  #count;
  #awake = new AbortController();
  /** @type {Receiver[]} */
  #receivers = [];
  /** @type {(error?: unknown) => void} */
  #begun = () => {};

  /** Resolves when there is a code; rejects with why there is none. */
  ready;

  /**
   * @param {Choice} choice
   * @param {number} count of receivers
   */
  constructor(choice, count) {
    super();
    this.#sender = new CodeSender(choice.entries, count);
    this.#choice = choice;
    this.#count = count;
    this.ready = /** @type {Promise<void>} */ (new Promise((resolve, reject) => (this.#begun = (error) => (error ? reject(error) : resolve()))));
  }

  /** Whether leaving the page would break something off. */
  get isBusy() {
    return this.dataset.step === 'share';
  }

  /** @param {(fresh: boolean) => Promise<string>} getTicket gives our own */
  async run(getTicket) {
    const sender = this.#sender;
    this.className = 'pass';
    sender.on('code', ({ code, expires }) => this.#share(code, expires));
    sender.on('receiver', (receiver) => this.#show(receiver));
    sender.on('wrong', () => this.#wrong());
    try {
      this.#end(await sender.run(getTicket));
    } catch (error) {
      this.#begun(error);
      if (this.isBusy) showEnd(this, sayingFor(error));
    } finally {
      this.#awake.abort();
    }
  }

  /**
   * @param {Code} code
   * @param {Date} expires
   */
  #share(code, expires) {
    fill(this, 'code-share');
    this.dataset.step = 'share';
    const link = codeLink(code, location.origin);
    write(this, 'h1', this.#titled('code.title'));
    write(this, '.soft', say('code.tell', { count: this.#count, until: asIs(UNTIL.format(expires)) }));
    write(this, '.code-text', codeText(code));
    write(this, '.command', `turnpike receive --server ${location.host}`);
    find(this, '.link', HTMLInputElement).value = link;
    drawQrCode(find(this, '.qr', SVGSVGElement), link).catch((error) => console.warn('no QR code:', error));
    this.#onShare(link);
    write(this, '.about', say('code.waiting', { count: this.#count }));
    findButton(this, 'stop').addEventListener('click', () => this.#stop());
    keepAwake(this.#awake.signal);
    this.#begun();
  }

  /** @param {string} key */
  #titled(key) {
    const { files, bytes } = this.#choice;
    return say(key, { files: counted(files), size: sized(bytes) });
  }

  /** @param {string} link */
  #onShare(link) {
    const copy = findButton(this, 'copy');
    copy.addEventListener('click', () => copyLink(copy, link).catch(() => {
      find(this, '.link', HTMLInputElement).select();
      write(this, '.said', say('page.no-copy'));
    }));
    const share = findButton(this, 'share');
    share.hidden = typeof navigator.share !== 'function';
    share.addEventListener('click', () => navigator.share({ title: say('code.share-title'), url: link }).catch(() => {})); // The user may think better of it.
    find(this, '.link', HTMLInputElement).addEventListener('focus', ({ target }) => target instanceof HTMLInputElement && target.select());
  }

  /** @param {Receiver} receiver */
  #show(receiver) {
    if (!this.#receivers.includes(receiver)) this.#receivers.push(receiver);
    const list = this.querySelector('.receivers');
    if (!list) return;
    const known = list.querySelector(`[data-id="${CSS.escape(receiver.id)}"]`);
    const row = known instanceof HTMLElement ? known : list.appendChild(this.#row(receiver));
    row.dataset.state = receiver.state;
    const state = stateOf(receiver);
    if (find(row, '.state', HTMLElement).textContent !== state) write(row, '.state', state); // It is read out.
    const progress = find(row, 'tp-progress', Progress);
    progress.hidden = !['receiving', 'interrupted'].includes(receiver.state);
    if (receiver.state === 'interrupted') progress.pause('');
    else progress.set(receiver.bytes);
    const awaited = this.#count - this.#receivers.filter(({ state }) => state !== 'failed').length;
    this.toggleAttribute('data-moving', this.isBusy && awaited <= 0);
    if (this.isBusy) write(this, 'h1', this.#titled(awaited > 0 ? 'code.title' : 'code.sending'));
    if (this.isBusy) write(this, '.about', awaited <= 0 ? '' : this.#count === 1 ? say('code.waiting', { count: 1 }) : say('code.waiting-for-more', { count: awaited }));
  }

  /** @param {Receiver} receiver */
  #row(receiver) {
    const row = document.createElement('li');
    row.dataset.id = receiver.id;
    fill(row, 'code-receiver');
    drawAvatar(row, receiver.name);
    write(row, '.who', receiver.name);
    const progress = find(row, 'tp-progress', Progress);
    if (progress.childElementCount === 0) fill(progress, 'code-progress');
    progress.begin(this.#sender.bytes, say('code.what-they-have', { name: asIs(receiver.name) }));
    return row;
  }

  #wrong() {
    if (this.isBusy) write(this, '.said', say('code.other-words'));
  }

  #stop() {
    this.dataset.step = 'over';
    this.#sender.stop();
    showEnd(this, { title: say('code.stopped'), text: say('code.used-up') });
  }

  /** @param {Outcome} outcome */
  #end(outcome) {
    showEnd(this, { title: say(`code.end-${outcome}`), text: say(`code.end-${outcome}-why`) });
    this.toggleAttribute('data-done', outcome === 'done');
    const list = find(this, '.receivers', HTMLUListElement);
    list.hidden = this.#receivers.length === 0;
    for (const receiver of this.#receivers) this.#show(receiver);
    find(this, '.row a', HTMLAnchorElement).textContent = say(outcome === 'done' ? 'code.more' : 'page.to-start');
  }
}

/** @param {Receiver} receiver */
function stateOf({ state, path, missed, error }) {
  switch (state) {
    case 'asking': return say('code.state-asking');
    case 'receiving': return wayOf(path) || say('code.state-interrupted');
    case 'interrupted': return say('code.state-interrupted');
    case 'done': return missed > 0 ? say('code.state-missed', { files: counted(missed) }) : say('code.state-done');
    case 'declined': return say('code.state-declined');
    case 'failed': return error;
  }
}

customElements.define('tp-code-send', CodeSend);
