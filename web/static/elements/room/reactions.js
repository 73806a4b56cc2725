// @ts-check
import { drawIcon, fill, find } from '../../dom.js';
import { asIs, say } from '../../words/reactions.js';
import { placeBeside } from '../popup.js';
import { REACTIONS } from './reactionset.js';

/** As long as the movement in reactions.css, or as the drawing stands still for those who want no movement. */
const SHOWN_MS = 3200;

/** Reactions to what is said, which float over a person's tile once. */
export class Reactions extends HTMLElement {
  /** @type {(emoji: string) => void} */
  #send = () => {};
  /** The press under way began while the choice was open: the browser closes it then, also if the press is on the button that opens it. */
  #closes = false;
  #ended = new AbortController();

  connectedCallback() {
    this.#ended = new AbortController();
    const { signal } = this.#ended;
    document.addEventListener('pointerdown', () => (this.#closes = !!this.querySelector('.popup:popover-open')), { capture: true, signal });
    document.addEventListener('keydown', () => (this.#closes = false), { capture: true, signal });
  }

  disconnectedCallback() {
    this.#ended.abort();
  }

  /** @param {(emoji: string) => void} send */
  watch(send) {
    this.#send = send;
    if (this.firstChild) return;
    fill(this, 'reactions');
    const popup = this.#popup;
    for (const [emoji, drawing] of Object.entries(REACTIONS)) popup.append(this.#button(emoji, drawing));
    popup.addEventListener('keydown', (event) => this.#pressed(event));
  }

  /** Opens or closes the choice. @param {HTMLElement} anchor */
  toggle(anchor) {
    const popup = this.#popup;
    if (this.#closes) popup.hidePopover();
    else popup.togglePopover();
    this.#closes = false;
    if (!popup.matches(':popover-open')) return;
    placeBeside(anchor, popup);
    popup.querySelector('button')?.focus();
  }

  get #popup() {
    return find(this, '.popup', HTMLElement);
  }

  /** @param {string} emoji @param {string} drawing */
  #button(emoji, drawing) {
    const button = document.createElement('button');
    button.className = 'quiet';
    button.dataset.testid = `react-${drawing}`;
    button.setAttribute('aria-label', say(`reactions.${drawing}`));
    button.append(picture(drawing));
    button.addEventListener('click', () => {
      this.#popup.hidePopover();
      this.#send(emoji);
    });
    return button;
  }

  /** Arrows move in the row; digits choose. @param {KeyboardEvent} event */
  #pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return; // Those are the browser's, such as for its tabs.
    const buttons = [...this.#popup.querySelectorAll('button')];
    const at = buttons.indexOf(/** @type {any} */ (document.activeElement));
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step) buttons.at((at + step) % buttons.length)?.focus();
    else if (/^[1-9]$/.test(event.key) && buttons[Number(event.key) - 1]) buttons[Number(event.key) - 1]?.click();
    else return;
    event.preventDefault();
  }
}

customElements.define('tp-reactions', Reactions);

/** Lets a reaction rise over a tile once. @param {HTMLElement} tile @param {string} drawing */
export function float(tile, drawing) {
  const sign = picture(drawing);
  sign.classList.add('reaction');
  sign.dataset.reaction = drawing;
  sign.style.setProperty('--at', `${Math.round(30 + Math.random() * 40)}%`);
  tile.append(sign);
  setTimeout(() => sign.remove(), SHOWN_MS);
}

/** @param {string} drawing @returns {SVGElement} */
function picture(drawing) {
  const holder = document.createElement('div');
  fill(holder, 'reaction');
  drawIcon(holder, drawing);
  return find(holder, 'svg', SVGElement);
}

/**
 * What screen readers are told.
 *
 * @param {string} name
 * @param {string} drawing
 */
export function telling(name, drawing) {
  return say('reactions.from', { name, what: asIs(say(`reactions.${drawing}`)) });
}
