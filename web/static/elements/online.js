// @ts-check
import { drawAvatar, fill, find, write } from '../dom.js';
import { asIs, locale, say } from '../words/home.js';

/**
 * @import { App } from '../app.js'
 * @import { User } from '../sdk/server/messages.js'
 */

/** The other people who are online, each with a button that rings them. */
export class OnlineList extends HTMLElement {
  #ended = new AbortController();
  #named = async () => true;

  /**
   * @param {App} app
   * @param {() => Promise<boolean>} named whether we may call under our name
   */
  watch(app, named) {
    this.#named = named;
    fill(this, 'online');
    const { session } = app;
    const signal = this.#ended.signal;
    const more = find(this, '.more', HTMLButtonElement);
    more.addEventListener('click', () => session.client.listMore().catch(() => {}), { signal });
    const notify = find(this, '.notify', HTMLButtonElement);
    const update = () => {
      this.#update(app, [...session.client.online.values()]);
      more.hidden = !session.client.hasMoreOnline;
      // Guests see nobody, and so nobody but room mates sees them.
      notify.hidden = !app.attention.mayAsk || session.state !== 'online' || session.client.role === 'guest';
    };
    notify.addEventListener('click', () => app.attention.ask().then(update), { signal });
    session.on('presence', update, { signal });
    session.on('state', update, { signal });
    update();
  }

  disconnectedCallback() {
    this.#ended.abort();
  }

  /**
   * Keeps the rows of people who stay, so that a row keeps its focus.
   *
   * @param {App} app
   * @param {User[]} users
   */
  #update(app, users) {
    const list = find(this, 'ul', HTMLUListElement);
    /** @type {Map<string | undefined, HTMLElement>} */
    const rows = new Map([...list.querySelectorAll('li')].map((row) => [row.dataset.user, row]));
    const sorted = [...users].sort((a, b) => a.name.localeCompare(b.name, locale));
    const wanted = sorted.map((user) => rows.get(user.user) ?? this.#row(app, user));
    for (const [place, row] of wanted.entries()) {
      const user = sorted[place];
      if (user) name(row, user);
      if (list.children[place] !== row) list.insertBefore(row, list.children[place] ?? null);
    }
    while (list.children.length > wanted.length) list.lastElementChild?.remove();
    write(this, '.empty', users.length > 0 ? '' : emptyText(app.session.client.role, app.session.state));
  }

  /**
   * @param {App} app
   * @param {User} user
   */
  #row(app, user) {
    const row = document.createElement('li');
    row.dataset.user = user.user;
    fill(row, 'online-row');
    find(row, 'button', HTMLButtonElement).addEventListener('click', async () => (await this.#named()) && app.call({ ...user, name: row.title }));
    return row;
  }
}

/**
 * @param {HTMLElement} row
 * @param {User} user
 */
function name(row, user) {
  row.title = user.name;
  write(row, '.who', user.name);
  drawAvatar(row, user.name);
  find(row, 'button', HTMLButtonElement).setAttribute('aria-label', say('online.call-name', { name: asIs(user.name) }));
}

/**
 * @param {string} role
 * @param {string} state
 */
function emptyText(role, state) {
  if (state !== 'online') return say('online.not-yet');
  if (role === 'guest') return say('online.guest');
  return say('online.nobody');
}

customElements.define('tp-online', OnlineList);
