// @ts-check
import { giveFocus } from '../dom.js';
import { wordsFor } from '../words.js';
import { say } from '../words/page.js';

/**
 * @typedef {object} NoticeAction
 * @property {string} label
 * @property {() => void} run
 * @property {string} [testid]
 * @property {boolean} [quiet] not the action that people should take first
 *
 * @typedef {object} NoticeContent
 * @property {string} code data-code, for programs
 * @property {string} title
 * @property {string} [text] what to do
 * @property {NoticeAction[]} [actions]
 * @property {boolean} [whole] replaces the page, which has nothing else to show
 */

/** The one place where the page says what went wrong or happened. */
export class Notice extends HTMLElement {
  /** @type {EventTarget | null} what had the focus before it came in here */
  #former = null;

  connectedCallback() {
    this.addEventListener('focusin', ({ relatedTarget }) => {
      if (!(relatedTarget instanceof Node && this.contains(relatedTarget))) this.#former = relatedTarget;
    });
  }

  /** @param {NoticeContent} content */
  show({ code, title, text = '', actions = [], whole = false }) {
    const isHere = this.contains(document.activeElement);
    this.dataset.code = code;
    this.toggleAttribute('data-whole', whole);
    const heading = document.createElement(whole ? 'h1' : 'strong');
    heading.textContent = title;
    heading.tabIndex = -1;
    const paragraph = document.createElement('p');
    paragraph.textContent = text;
    const row = document.createElement('div');
    row.className = 'row';
    row.append(...actions.map((action, place) => this.#button(action, place === 0)));
    if (!whole) row.append(this.#button({ label: say('page.dismiss'), quiet: true, run: () => {} }, false));
    this.replaceChildren(heading, paragraph, row);
    if (whole || isHere) heading.focus();
  }

  /**
   * Does something, and shows the error if it fails.
   *
   * @param {() => unknown} act
   * @returns {Promise<boolean>} whether it succeeded
   */
  async attempt(act) {
    try {
      await act();
      return true;
    } catch (error) {
      this.show(wordsFor(error));
      return false;
    }
  }

  /** The focus goes back to where it was, or to the page, if it would be nowhere. */
  clear() {
    const isHere = this.contains(document.activeElement);
    delete this.dataset.code;
    this.replaceChildren();
    if (isHere) giveFocus(this.#former);
  }

  /**
   * @param {NoticeAction} action
   * @param {boolean} first
   */
  #button({ label, run, testid, quiet }, first) {
    const button = document.createElement('button');
    button.textContent = label;
    button.className = first && !quiet ? 'primary' : 'quiet';
    if (testid) button.dataset.testid = testid;
    button.addEventListener('click', () => {
      this.clear();
      run();
    });
    return button;
  }
}

customElements.define('tp-notice', Notice);
