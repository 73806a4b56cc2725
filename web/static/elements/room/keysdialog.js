// @ts-check
import { fill, find } from '../../dom.js';
import { say } from '../../words/keys.js';

/**
 * @import { Control } from './controls.js'
 * @import { Keys } from './keys.js'
 */

/** The dialog that lists the keys, and turns them on or off. */
export class KeysDialog extends HTMLElement {
  /**
   * @param {Keys} keys
   * @param {Control[]} controls
   */
  show(keys, controls) {
    if (!this.firstChild) this.#build(keys);
    const rows = controls.filter(({ key, listed = key }) => listed).map(({ key = '', label, name = label, listed = key }) => row(name(), listed));
    find(this, 'ul', HTMLElement).replaceChildren(...rows, row(say('keys.talk'), say('keys.space')), row(say('keys.escape'), 'Esc'));
    const wanted = find(this, 'input', HTMLInputElement);
    wanted.checked = keys.wanted;
    const dialog = find(this, 'dialog', HTMLDialogElement);
    if (!dialog.open) dialog.showModal();
  }

  /** @param {Keys} keys */
  #build(keys) {
    fill(this, 'keys');
    const wanted = find(this, 'input', HTMLInputElement);
    wanted.addEventListener('change', () => keys.want(wanted.checked));
  }
}

customElements.define('tp-keys', KeysDialog);

/** @param {string} does @param {string} key */
function row(does, key) {
  const item = document.createElement('li');
  const text = document.createElement('span');
  const sign = document.createElement('kbd');
  text.textContent = does;
  sign.textContent = key;
  item.append(text, sign);
  return item;
}
