// @ts-check
import { copyLink } from '../../clipboard.js';
import { sayingFor } from '../../code/sayings.js';
import { CodeSender } from '../../code/sender.js';
import { codeLink, codeText } from '../../code/text.js';
import { drawAvatar, fill, find, findButton, write } from '../../dom.js';
import { drawQrCode } from '../../qrcode.js';
import { counted, size } from '../../quantities.js';
import { keepAwake } from '../../wakelock.js';
import { Progress } from './progress.js';
import { showEnd, wayOf } from './states.js';

/**
 * @import { Outcome, Receiver } from '../../code/sender.js'
 * @import { Code } from '../../code/text.js'
 * @import { Choice } from '../../files/choosing.js'
 */

const UNTIL = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });

/** @type {Record<Outcome, [title: string, text: string]>} */
const ENDS = {
  done: ['They have it', 'Every byte arrived as it was sent.'],
  wrong: ['Somebody had other words', 'They mistyped the code, or were guessing. So the code is used up, and nothing was sent. Make another one.'],
  expired: ['Nobody came', 'The code has run out: it lasts for ten minutes. Make another one.'],
  nobody: ['Nothing was sent', 'Nobody took the files.'],
};

/** Shows a code to tell, and what becomes of those who come by it. */
export class CodeSend extends HTMLElement {
  #sender;
  #choice;
  #count;
  #awake = new AbortController();
  #title = '';
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
    const { files, bytes } = this.#choice;
    fill(this, 'code-share');
    this.dataset.step = 'share';
    const link = codeLink(code, location.origin);
    this.#title = `The code for ${counted(files, 'file')}, ${size(bytes)}`;
    write(this, 'h1', this.#title);
    write(this, '.soft', `Tell it to ${this.#count === 1 ? 'one person' : `${this.#count} people`} alone, by ${UNTIL.format(expires)}. The words never reach the server. Keep this page open.`);
    write(this, '.code-text', codeText(code));
    write(this, '.command', `turnpike receive --server ${location.host}`);
    find(this, '.link', HTMLInputElement).value = link;
    drawQrCode(find(this, '.qr', SVGSVGElement), link).catch((error) => console.warn('no QR code:', error));
    this.#onShare(link);
    write(this, '.about', this.#count === 1 ? 'Waiting for them…' : `Waiting for ${this.#count} people…`);
    findButton(this, 'stop').addEventListener('click', () => this.#stop());
    keepAwake(this.#awake.signal);
    this.#begun();
  }

  /** @param {string} link */
  #onShare(link) {
    const copy = findButton(this, 'copy');
    copy.addEventListener('click', () => copyLink(copy, link).catch(() => {
      find(this, '.link', HTMLInputElement).select();
      write(this, '.said', 'The browser does not let this page copy. The link is selected: copy it yourself.');
    }));
    const share = findButton(this, 'share');
    share.hidden = typeof navigator.share !== 'function';
    share.addEventListener('click', () => navigator.share({ title: 'Files for you', url: link }).catch(() => {})); // The user may think better of it.
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
    if (this.isBusy) write(this, 'h1', awaited > 0 ? this.#title : this.#title.replace('The code for', 'Sending'));
    if (this.isBusy) write(this, '.about', awaited <= 0 ? '' : awaited === 1 && this.#count === 1 ? 'Waiting for them…' : `Waiting for ${counted(awaited, 'more person', 'more people')}…`);
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
    progress.begin(this.#sender.bytes, `What ${receiver.name} has`);
    return row;
  }

  #wrong() {
    if (this.isBusy) write(this, '.said', 'Somebody had other words. The code is used up: nobody else can come.');
  }

  #stop() {
    this.dataset.step = 'over';
    this.#sender.stop();
    showEnd(this, { title: 'Stopped', text: 'The code is used up.' });
  }

  /** @param {Outcome} outcome */
  #end(outcome) {
    const [title, text] = ENDS[outcome];
    showEnd(this, { title, text });
    this.toggleAttribute('data-done', outcome === 'done');
    const list = find(this, '.receivers', HTMLUListElement);
    list.hidden = this.#receivers.length === 0;
    for (const receiver of this.#receivers) this.#show(receiver);
    find(this, '.row a', HTMLAnchorElement).textContent = outcome === 'done' ? 'Send or receive more' : 'To the start';
  }
}

/** @param {Receiver} receiver */
function stateOf({ state, path, missed, error }) {
  switch (state) {
    case 'asking': return 'looks at what you send';
    case 'receiving': return wayOf(path) || 'interrupted, goes on by itself';
    case 'interrupted': return 'interrupted, goes on by itself';
    case 'done': return missed > 0 ? `has all but ${counted(missed, 'file')}` : 'has everything';
    case 'declined': return 'said no';
    case 'failed': return error;
  }
}

customElements.define('tp-code-send', CodeSend);
