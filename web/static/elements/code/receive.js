// @ts-check
import { CodeReceiver } from '../../code/receiver.js';
import { sayingFor } from '../../code/sayings.js';
import { fill, find, findButton, press, write } from '../../dom.js';
import { readable } from '../../files/names.js';
import { canPickFile, canPickFolder, isOneFile, keepForLater, pickFile, pickFolder } from '../../files/places.js';
import { size, sized } from '../../quantities.js';
import { keepAwake } from '../../wakelock.js';
import { asIs, say } from '../../words/code.js';
import { showEnd, showWay } from './states.js';
import { Progress } from './progress.js';

/**
 * @import { Code } from '../../code/text.js'
 * @import { Entry } from '../../files/names.js'
 * @import { SavingPlace } from '../../files/places.js'
 * @import { Path } from '../../sdk/peer/path.js'
 */

/** Longer lists are no help. */
const MAX_SHOWN = 200;

/** Receives files: looks for the sender, shows what is offered, asks, takes it, and saves it. */
export class CodeReceive extends HTMLElement {
  #receiver;
  #name;
  /** @type {SavingPlace | undefined} */
  #place;
  /** @type {Path | undefined} */
  #path;
  /** The user has ended it, and knows. */
  #isStopped = false;
  #awake = new AbortController();
  /** @type {string[]} files that did not come */
  #failed = [];
  #offer = { name: '', entries: /** @type {readonly Entry[]} */ ([]), bytes: 0 };

  /**
   * @param {Code} code
   * @param {string} name ours
   */
  constructor(code, name) {
    super();
    this.#receiver = new CodeReceiver(code);
    this.#name = name;
  }

  /** Whether leaving the page would lose something. */
  get isBusy() {
    return this.dataset.step === 'receiving' || (this.dataset.step === 'received' && !!this.#place?.unsaved() && !this.hasAttribute('data-saved'));
  }

  connectedCallback() {
    this.className = 'pass';
    const receiver = this.#receiver;
    this.#step('looking');
    findButton(this, 'stop').addEventListener('click', () => this.#stop());
    receiver.on('offer', (offer) => this.#offered(offer));
    receiver.on('path', (path) => {
      this.#path = path;
      showWay(this, path, this.dataset.step === 'receiving');
    });
    receiver.on('progress', (bytes) => this.#progress?.set(bytes));
    receiver.on('failed', ({ entry, error }) => this.#failed.push(`${readable(entry.path)}: ${error}`));
    receiver.on('interrupted', () => this.#interrupted());
    receiver.on('resumed', () => showWay(this, this.#path, true));
    this.#run();
  }

  async #run() {
    try {
      await this.#receiver.run(this.#name);
      this.#received();
    } catch (error) {
      await this.#place?.discard();
      if (!this.#isStopped) showEnd(this, sayingFor(error));
    } finally {
      this.#awake.abort();
    }
  }

  /** @param {string} step @param {string} [template] */
  #step(step, template = `code-${step}`) {
    this.dataset.step = step;
    this.removeAttribute('data-done');
    fill(this, template);
    find(this, 'h1', HTMLHeadingElement).focus({ preventScroll: true });
  }

  get #progress() {
    const progress = this.querySelector('tp-progress');
    return progress instanceof Progress ? progress : undefined;
  }

  /** @param {{ name: string, entries: readonly Entry[], bytes: number }} offer */
  #offered(offer) {
    const { name, entries, bytes } = (this.#offer = offer);
    const files = entries.filter(({ folder }) => !folder);
    this.#step('offer');
    write(this, 'h1', say('code.sends', { name, count: files.length }));
    const rows = files.slice(0, MAX_SHOWN).map((entry) => {
      const row = document.createElement('li');
      fill(row, 'code-offered');
      write(row, '.file-name', readable(entry.path));
      write(row, '.size', entry.size === undefined ? say('code.no-size') : size(entry.size));
      return row;
    });
    const list = find(this, '.files', HTMLUListElement);
    list.replaceChildren(...rows);
    if (rows.length > 4) list.tabIndex = 0; // It scrolls.
    const more = files.length - rows.length;
    write(this, '.sum', files.length === 1 ? '' : say(more > 0 ? 'code.more-in-all' : 'code.in-all', { count: more, size: sized(bytes) }));
    showWay(this, this.#path);
    const accept = findButton(this, 'accept');
    accept.textContent = say(isOneFile(entries) ? 'code.receive' : 'code.receive-zip');
    this.#onAccept('accept', () => (canPickFile() ? pickFile(entries) : keepForLater(entries)));
    findButton(this, 'accept-folder').hidden = isOneFile(entries) || !canPickFolder();
    this.#onAccept('accept-folder', pickFolder);
    findButton(this, 'decline').addEventListener('click', () => this.#decline());
  }

  /**
   * @param {string} testid
   * @param {() => Promise<SavingPlace>} pick
   */
  #onAccept(testid, pick) {
    const button = findButton(this, testid);
    button.addEventListener('click', () => press(button, async () => {
      try {
        this.#place = await pick();
      } catch (error) {
        if (error instanceof DOMException && error.name === 'AbortError') return; // The user may think better of it.
        const { title, text } = sayingFor(error);
        write(this, '.field-error', say('page.title-and-text', { title: asIs(title), text: asIs(text) }));
        return;
      }
      this.#begin(this.#place);
    }, this.querySelectorAll('button')));
  }

  /** @param {SavingPlace} place */
  #begin(place) {
    this.#step('receiving');
    write(this, 'h1', say('code.receiving', { name: this.#offer.name }));
    showWay(this, this.#path);
    this.#progress?.begin(this.#offer.bytes, say('code.what-has-come'));
    keepAwake(this.#awake.signal);
    findButton(this, 'stop').addEventListener('click', () => this.#stop());
    this.#receiver.accept(place);
  }

  #interrupted() {
    if (this.dataset.step !== 'receiving') return;
    this.#progress?.pause('');
    showWay(this, undefined, true);
  }

  #decline() {
    this.#isStopped = true;
    this.#receiver.stop('the receiver does not want the files', 'declined');
    showEnd(this, { title: say('code.you-declined'), text: say('code.nothing-received') });
  }

  #stop() {
    this.#isStopped = true;
    this.#receiver.stop('the receiver has stopped', 'stopped');
    showEnd(this, { title: say('code.stopped'), text: say(this.#place?.isFolder ? 'code.complete-stay' : 'code.nothing-saved') });
  }

  #received() {
    const { name, entries } = this.#offer;
    this.#step('received');
    this.toggleAttribute('data-done', this.#failed.length === 0);
    const files = entries.filter(({ folder }) => !folder).length;
    const come = files - this.#failed.length;
    write(this, 'h1', come === 0 ? say('code.nothing-came') : say('code.here', { count: come }));
    write(this, '.checked', come === 0 ? '' : say('code.checked', { name }));
    const failed = find(this, '.failed', HTMLUListElement);
    failed.hidden = this.#failed.length === 0;
    failed.replaceChildren(...this.#failed.map((text) => Object.assign(document.createElement('li'), { textContent: text })));
    find(this, 'details', HTMLElement).hidden = !isOneFile(entries) || come === 0;
    write(this, '.hash', `SHA-256 ${[...this.#receiver.sum].map((byte) => byte.toString(16).padStart(2, '0')).join('')}`);
    if (come > 0) this.#offerToSave();
    find(this, 'h1', HTMLHeadingElement).focus({ preventScroll: true });
  }

  /** Where the user could not pick a place before, the browser saves now, and again when the user asks. */
  #offerToSave() {
    const unsaved = this.#place?.unsaved();
    const note = find(this, '.save-note', HTMLElement);
    note.hidden = false;
    note.textContent = say(this.#place?.isFolder ? 'code.saved-into' : 'code.saved-as', { name: this.#place?.name ?? '' });
    if (!unsaved) return;
    const url = URL.createObjectURL(unsaved.blob);
    const save = () => {
      Object.assign(document.createElement('a'), { href: url, download: unsaved.name }).click();
      this.setAttribute('data-saved', '');
    };
    note.textContent = say('code.browser-saves', { name: unsaved.name });
    const button = findButton(this, 'save');
    button.hidden = false;
    button.addEventListener('click', save);
    save();
  }
}

customElements.define('tp-code-receive', CodeReceive);
