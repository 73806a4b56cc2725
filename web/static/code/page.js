// @ts-check
import { sayingFor, sayingOf } from './sayings.js';
import { codeText, readCodeAddress } from './text.js';
import { fill, find, sayPage } from '../dom.js';
import { CodeAsk } from '../elements/code/ask.js';
import { CodeChoose } from '../elements/code/choose.js';
import { showEnd } from '../elements/code/states.js';
import { wordsLoaded } from '../language.js';
import { madeUpName, nextName } from '../names.js';
import { TurnpikeError, codeOf } from '../sdk/error.js';
import { ticketFor } from '../session.js';
import { storedName } from '../storage.js';
import { asIs, say } from '../words/code.js';

/**
 * @import { Saying } from './sayings.js'
 * @import { Code } from './text.js'
 * @import { Choice } from '../files/choosing.js'
 * @import { CodeReceive } from '../elements/code/receive.js'
 * @import { CodeSend } from '../elements/code/send.js'
 */

/** So many names are tried, should somebody have the ones before. */
const NAME_TRIES = 5;

/** The page for files that go by a code: what is in the address bar, then a code to type, or files to send. */
class CodePage {
  #main = find(document, 'main', HTMLElement);
  #name = storedName() ?? madeUpName();
  /** @type {CodeReceive | CodeSend | undefined} what is shown, if it can be busy */
  #shown;
  /** A code serves once. The second press of two must not take another place. */
  #isReceiving = false;

  start() {
    const { slot, reading } = readCodeAddress(location);
    // Out of the address bar at once, where onlookers would see the words, and from where people would share them.
    if (location.hash) history.replaceState(null, '', location.pathname);
    addEventListener('hashchange', () => location.hash.length > 1 && location.reload());
    addEventListener('beforeunload', (event) => this.#shown?.isBusy && event.preventDefault());
    find(document, '.skip', HTMLAnchorElement).addEventListener('click', (event) => {
      event.preventDefault();
      this.#main.focus();
    });
    if (!isSecureContext) return this.#showRefusal(sayingOf('insecure')); // Browsers give such pages neither files nor cryptography.
    if (reading && 'code' in reading && reading.isSure) return this.#receive(reading.code);
    const ask = this.#showStart();
    if (reading && 'code' in reading) ask.begin(codeText(reading.code), false);
    else if (slot) ask.begin(`${slot}-`, reading !== undefined);
  }

  #showStart() {
    const start = document.createElement('tp-code-start');
    start.dataset.first = readCodeAddress(location).slot ? 'receive' : 'send';
    fill(start, 'code-start');
    this.#show(start);
    find(start, 'tp-code-choose', CodeChoose).watch((choice, receivers) => this.#send(choice, receivers));
    const ask = find(start, 'tp-code-ask', CodeAsk);
    ask.watch((code) => this.#receive(code));
    return ask;
  }

  /** @param {Saying} saying why this page can do nothing */
  #showRefusal(saying) {
    const page = document.createElement('section');
    page.className = 'pass';
    this.#show(page);
    showEnd(page, saying);
  }

  /** @param {Code} code */
  async #receive(code) {
    if (this.#isReceiving) return;
    this.#isReceiving = true;
    try {
      const { CodeReceive } = await import('../elements/code/receive.js').catch(notLoaded);
      this.#shown = new CodeReceive(code, this.#name);
      this.#show(this.#shown);
    } catch (error) {
      this.#showRefusal(sayingFor(error));
    }
  }

  /**
   * @param {Choice} choice
   * @param {number} receivers
   */
  async #send(choice, receivers) {
    try {
      const { CodeSend } = await import('../elements/code/send.js').catch(notLoaded);
      const view = new CodeSend(choice, receivers);
      view.run((fresh) => this.#ticket(fresh));
      await view.ready;
      this.#shown = view;
      this.#show(view);
      find(view, 'h1', HTMLHeadingElement).focus({ preventScroll: true });
    } catch (error) {
      const { title, text } = sayingFor(error);
      throw new Error(say('page.title-and-text', { title: asIs(title), text: asIs(text) }), { cause: error });
    }
  }

  /**
   * Our own ticket: as the other pages of this tab have it, with the invite by which we came.
   *
   * @param {boolean} fresh the one before was refused
   */
  async #ticket(fresh) {
    for (let tries = 1; ; tries++) {
      try {
        return await ticketFor({ name: this.#name, url: undefined, fresh, signal: new AbortController().signal });
      } catch (error) {
        if (codeOf(error) !== 'name-taken' || tries === NAME_TRIES) throw error;
        this.#name = nextName(this.#name);
      }
    }
  }

  /** @param {HTMLElement} view */
  #show(view) {
    this.#main.replaceChildren(view);
    scrollTo(0, 0);
  }
}

/**
 * @param {unknown} error
 * @returns {never}
 */
function notLoaded(error) {
  throw new TurnpikeError('not-loaded', String(error), { cause: error });
}

wordsLoaded().then(() => {
  sayPage();
  new CodePage().start();
});
