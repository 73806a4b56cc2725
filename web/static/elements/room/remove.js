// @ts-check
import { drawAvatar, fill, find, write } from '../../dom.js';
import { say } from '../../words/room.js';

/** The dialog that asks whether to remove a person from the room. */
export class Remove extends HTMLElement {
  connectedCallback() {
    fill(this, 'remove');
  }

  /**
   * @param {string} name
   * @returns {Promise<boolean>} false: they stay
   */
  ask(name) {
    const dialog = find(this, 'dialog', HTMLDialogElement);
    if (dialog.open) return Promise.resolve(false);
    write(this, 'h2', say('controls.remove-title', { name }));
    drawAvatar(this, name);
    dialog.returnValue = '';
    dialog.showModal();
    return new Promise((resolve) => {
      dialog.addEventListener('close', () => resolve(dialog.returnValue === 'remove'), { once: true });
    });
  }

  /** Closes the dialog: we have left. */
  close() {
    const dialog = find(this, 'dialog', HTMLDialogElement);
    if (dialog.open) dialog.close('');
  }
}

customElements.define('tp-remove', Remove);
