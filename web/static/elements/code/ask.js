// @ts-check
import { completions, codeText, readCode } from '../../code/text.js';
import { fill, find, findButton, write } from '../../dom.js';
import { asIs, say } from '../../words/code.js';

/** @import { Code } from '../../code/text.js' */

/** So many words to choose from are no help. */
const MAX_CHOICES = 8;

/** Asks for a code: it completes words, and asks back if one is nearly right. */
export class CodeAsk extends HTMLElement {
  /** @type {(code: Code) => void} */
  #take = () => {};
  /** @type {Code | undefined} that was plainly meant */
  #meant;

  /** @param {(code: Code) => void} take */
  watch(take) {
    this.#take = take;
    fill(this, 'code-ask');
    const input = this.#input;
    input.addEventListener('input', () => this.#typed());
    input.addEventListener('keydown', (event) => this.#key(event));
    find(this, 'form', HTMLFormElement).addEventListener('submit', (event) => {
      event.preventDefault();
      this.#submit();
    });
    findButton(this, 'take-meant').addEventListener('click', () => this.#meant && this.#take(this.#meant));
  }

  /**
   * @param {string} text that is there already
   * @param {boolean} isWhole whether to say what is wrong with it
   */
  begin(text, isWhole) {
    this.#input.value = text;
    if (isWhole) this.#submit();
    this.#input.focus();
  }

  get #input() {
    return find(this, 'input', HTMLInputElement);
  }

  #typed() {
    this.#complain('');
    this.#ask(undefined);
    const choices = completions(this.#input.value);
    const last = this.#input.value.split(/[\s_-]+/).at(-1) ?? '';
    const useful = last.length > 0 && choices.length <= MAX_CHOICES && !choices.includes(this.#input.value.trim().toLowerCase()) ? choices : [];
    const group = find(this, '.completions', HTMLElement);
    group.hidden = useful.length === 0;
    group.replaceChildren(...useful.map((choice) => this.#choice(choice)));
  }

  /** @param {string} text */
  #choice(text) {
    const button = document.createElement('button');
    button.type = 'button';
    button.textContent = text.split('-').at(-1) ?? '';
    button.addEventListener('click', () => this.#complete(text));
    return button;
  }

  /** @param {string} text */
  #complete(text) {
    this.#input.value = text.split('-').length < 3 ? `${text}-` : text;
    this.#input.focus();
    this.#typed();
  }

  /** The key for "right" at the end takes the only word that is left, as programs complete. @param {KeyboardEvent} event */
  #key(event) {
    const { value, selectionStart } = this.#input;
    const [only, ...more] = completions(value);
    if (event.key !== 'ArrowRight' || selectionStart !== value.length || !only || more.length > 0 || /[\s_-]$/.test(value)) return;
    event.preventDefault();
    this.#complete(only);
  }

  #submit() {
    const reading = readCode(this.#input.value, location.origin);
    find(this, '.completions', HTMLElement).hidden = true;
    if ('problem' in reading) {
      this.#complain(reading.problem);
      this.#input.focus();
    } else if (reading.isSure) {
      this.#take(reading.code);
    } else {
      this.#ask(reading.code);
      findButton(this, 'take-meant').focus();
    }
  }

  /** @param {Code | undefined} meant */
  #ask(meant) {
    this.#meant = meant;
    find(this, '.meant', HTMLElement).hidden = !meant;
    write(this, '.meant span', meant ? say('code.meant', { code: asIs(codeText(meant)) }) : '');
  }

  /** @param {string} problem */
  #complain(problem) {
    write(this, '.field-error', problem);
    this.#input.setAttribute('aria-invalid', String(problem !== ''));
  }
}

customElements.define('tp-code-ask', CodeAsk);
