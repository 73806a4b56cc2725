// @ts-check
import { fill, find, findButton, press, write } from '../../dom.js';
import { Choice } from '../../files/choosing.js';
import { files as counted, size, sized } from '../../quantities.js';
import { asIs, say } from '../../words/code.js';

const MAX_RECEIVERS = 15;

/** Files and folders that somebody chooses, or drops, to send them. */
export class CodeChoose extends HTMLElement {
  #choice = new Choice();
  #ended = new AbortController();

  /** @param {(choice: Choice, receivers: number) => Promise<void>} send rejects with words for people */
  watch(send) {
    fill(this, 'code-choose');
    const receivers = find(this, 'select', HTMLSelectElement);
    for (let count = 1; count <= MAX_RECEIVERS; count++) receivers.add(new Option(say('code.people', { count }), String(count)));
    this.#onChoose('choose-files', 'files');
    this.#onChoose('choose-folder', 'folder');
    this.#onDrop();
    find(this, '.make-code', HTMLFormElement).addEventListener('submit', (event) => {
      event.preventDefault();
      press(findButton(this, 'make-code'), async () => {
        this.#complain('');
        await send(this.#choice, Number(receivers.value)).catch((error) => this.#complain(error.message));
      });
    });
  }

  disconnectedCallback() {
    this.#ended.abort();
  }

  /**
   * @param {string} button
   * @param {string} testid of the input that it stands for
   */
  #onChoose(button, testid) {
    const input = find(this, `[data-testid=${testid}]`, HTMLInputElement);
    findButton(this, button).addEventListener('click', () => input.click());
    input.addEventListener('change', () => {
      this.#choice.addFiles(input.files ?? []);
      input.value = '';
      this.#show();
    });
  }

  /** Files may be dropped anywhere on the page: beside the area, a browser would open them. */
  #onDrop() {
    const { signal } = this.#ended;
    const area = find(this, '.drop', HTMLElement);
    let depth = 0;
    const over = (/** @type {number} */ change) => area.toggleAttribute('data-over', (depth += change) > 0);
    document.addEventListener('dragenter', () => over(1), { signal });
    document.addEventListener('dragleave', () => over(-1), { signal });
    document.addEventListener('dragover', (event) => event.preventDefault(), { signal });
    document.addEventListener('drop', (event) => {
      event.preventDefault();
      over(-depth);
      if (!event.dataTransfer) return;
      this.#choice.addDropped(event.dataTransfer).then(() => this.#show(), () => {
        this.#show();
        this.#complain(say('code.not-read'));
      });
    }, { signal });
  }

  #show() {
    const { tops, bytes, files, refused, isTooLong } = this.#choice;
    const list = find(this, '.files', HTMLUListElement);
    list.replaceChildren(...tops.map((top) => {
      const row = document.createElement('li');
      fill(row, 'code-chosen');
      write(row, '.file-name', top.isFolder ? `${top.path}/` : top.path);
      write(row, '.size', top.isFolder ? say('code.files-and-size', { files: counted(top.files), size: sized(top.bytes) }) : size(top.bytes));
      const button = findButton(row, 'take-out');
      button.setAttribute('aria-label', say('code.take-out', { name: top.path }));
      button.addEventListener('click', () => {
        this.#choice.remove(top.path);
        this.#show();
        findButton(this, 'choose-files').focus();
      });
      return row;
    }));
    write(this, '.sum', files > 0 ? say('code.files-in-all', { files: counted(files), size: sized(bytes) }) : tops.length > 0 ? say('code.no-files') : '');
    find(this, '.make-code', HTMLFormElement).hidden = tops.length === 0 || isTooLong;
    if (isTooLong) return this.#complain(say('code.too-many-files'));
    this.#complain(refused.length > 0 ? say('code.refused-names', { count: refused.length, names: asIs(refused.slice(0, 3).join(', ')) }) : '');
  }

  /** @param {string} problem */
  #complain(problem) {
    write(this, '.field-error', problem);
  }
}

customElements.define('tp-code-choose', CodeChoose);
