// @ts-check
import { fill, find, write } from '../dom.js';
import { nameProblem, nextName } from '../names.js';
import { wordsFor } from '../words.js';
import { asIs, say } from '../words/page.js';

/** @import { App } from '../app.js' */

/**
 * The user's own name, which can be changed in place: by Enter, by its button, or by what the user does next under that
 * name. To leave the field changes nothing. The typed text stays, even if the name is refused.
 */
export class NameForm extends HTMLElement {
  #ended = new AbortController();
  /** @type {App | undefined} */
  #app;
  /** The text of the field, unless the user has changed it. */
  #shown = '';
  /** @type {Promise<boolean> | undefined} whether the name that we are asking the server for is ours now */
  #asking;

  /** @param {App} app */
  watch(app) {
    this.#app = app;
    fill(this, 'name');
    const signal = this.#ended.signal;
    const input = this.#input;
    app.session.on('name', (name) => this.#named(name), { signal });
    input.addEventListener('input', () => this.#typed());
    input.addEventListener('keydown', (event) => {
      if (event.key !== 'Escape' || event.isComposing || input.value === this.#shown) return;
      event.preventDefault(); // It takes back the text, and does not close what the field is in as well.
      event.stopPropagation();
      input.value = this.#shown;
      this.#typed();
    });
    find(this, 'form', HTMLFormElement).addEventListener('submit', (event) => {
      event.preventDefault();
      this.commit();
    });
    this.#named(app.session.name);
  }

  disconnectedCallback() {
    this.#ended.abort();
  }

  get #input() {
    return find(this, 'input', HTMLInputElement);
  }

  /** @param {string} name under which the server knows us now */
  #named(name) {
    const input = this.#input;
    if (input.value === this.#shown) input.value = name;
    this.#shown = name;
    this.#typed();
  }

  #typed() {
    const changed = this.#input.value.trim() !== this.#app?.session.name;
    find(this, 'button', HTMLButtonElement).hidden = !changed;
    this.#complain('');
  }

  /** Takes the typed name. @returns {Promise<boolean>} false: it cannot be ours, and the field says why */
  commit() {
    return (this.#asking ??= this.#commit().finally(() => (this.#asking = undefined)));
  }

  async #commit() {
    const { session, notice } = this.#app ?? {};
    const input = this.#input;
    const typed = input.value;
    const name = typed.trim().replace(/\s+/g, ' ');
    if (!session || !notice || name === session.name) return true;
    const problem = nameProblem(name);
    if (problem) {
      this.#complain(problem);
      input.focus();
      return false;
    }
    try {
      await session.rename(name);
    } catch (error) {
      this.#refused(name, error);
      return false;
    }
    if (input.value === typed) input.value = session.name;
    if (notice.dataset.code === 'name-taken') notice.clear();
    this.#typed();
    return true;
  }

  /**
   * @param {string} name
   * @param {unknown} error
   */
  #refused(name, error) {
    const words = wordsFor(error);
    const other = nextName(name);
    const actions = [{ label: say('name.be', { name: asIs(other) }), run: () => this.#tryName(other) }];
    this.#app?.notice.show({ ...words, actions: words.code === 'name-taken' ? actions : [] });
    this.#complain(words.title);
    this.#input.focus();
  }

  /** @param {string} name */
  #tryName(name) {
    this.#input.value = name;
    this.commit();
  }

  /** @param {string} problem */
  #complain(problem) {
    write(this, '.field-error', problem);
    this.#input.setAttribute('aria-invalid', String(problem !== ''));
  }
}

customElements.define('tp-name', NameForm);
