// @ts-check
import { copyLink } from '../../clipboard.js';
import { fill, find, findButton, write } from '../../dom.js';
import { drawQrCode } from '../../qrcode.js';
import { wordsFor, wordsOf } from '../../words.js';
import { asIs, locale, say } from '../../words/room.js';

/**
 * @import { App } from '../../app.js'
 * @import { Invite, InviteRole } from '../../sdk/server/invites.js'
 * @import { OfferedLink, RoomInvites } from '../../roominvites.js'
 */

const DAY_S = 86_400;
const UNTIL = new Intl.DateTimeFormat(locale, { weekday: 'short', day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' });

/** The dialog with the link to a room: to copy, to scan, to share; and the invites that we have made, which can be taken back. */
export class InviteDialog extends HTMLElement {
  /** @type {RoomInvites | undefined} */
  #invites;
  #link = '';

  /**
   * @param {App} app
   * @param {RoomInvites} invites
   */
  watch(app, invites) {
    this.#invites = invites;
    fill(this, 'invite');
    findButton(this, 'invite-copy').addEventListener('click', () => this.#copy());
    findButton(this, 'invite-close').addEventListener('click', () => this.#dialog.close());
    const share = findButton(this, 'invite-share');
    share.hidden = typeof navigator.share !== 'function';
    share.addEventListener('click', () => navigator.share({ title: say('invite.share-title', { room: asIs(app.room?.id ?? '') }), url: this.#link }).catch(() => {})); // The user may think better of it.
    find(this, 'form.make', HTMLFormElement).addEventListener('submit', (event) => {
      event.preventDefault();
      this.#make();
    });
    find(this, '.link', HTMLInputElement).addEventListener('focus', ({ target }) => target instanceof HTMLInputElement && target.select());
  }

  async open() {
    this.#say('');
    this.#show({ link: this.#invites?.plain ?? '', kind: 'plain' }, say('invite.making'));
    this.#dialog.showModal();
    await this.#attempt(async () => {
      const offered = await this.#invites?.offer();
      if (offered) this.#show(offered);
      await this.#list();
    });
  }

  get #dialog() {
    return find(this, 'dialog', HTMLDialogElement);
  }

  /**
   * @param {OfferedLink} offered
   * @param {string} [words] in the place of those for such a link
   */
  #show({ link, kind, invite }, words) {
    this.#link = link;
    find(this, '.link', HTMLInputElement).value = link;
    drawQrCode(find(this, '.qr', SVGSVGElement), link).catch((error) => console.warn('no QR code:', error));
    write(this, '.about', words ?? (kind === 'plain' ? say('invite.plain') : invite ? limitsOf(invite) : ''));
  }

  async #list() {
    const { invites = [], roles = [] } = (await this.#invites?.list()) ?? {};
    const list = find(this, 'ul', HTMLUListElement);
    const kept = new Set(invites.map(({ id }) => id));
    for (const row of [...list.children]) {
      if (row instanceof HTMLElement && !kept.has(row.dataset.invite ?? '')) row.remove();
    }
    for (const invite of invites) {
      const known = list.querySelector(`[data-invite="${CSS.escape(invite.id)}"]`);
      const row = known ?? list.appendChild(this.#row(invite));
      write(row, '.what', describe(invite));
    }
    find(this, '.made', HTMLElement).hidden = invites.length === 0;
    find(this, 'form.make', HTMLFormElement).hidden = roles.length === 0;
    const choice = find(this, '[name=role]', HTMLSelectElement);
    choice.replaceChildren(...roles.map((role) => new Option(say(`invite.as-${role}`), role)));
    find(this, '.role', HTMLElement).hidden = roles.length < 2;
  }

  /** @param {Invite} invite */
  #row(invite) {
    const row = document.createElement('li');
    row.dataset.invite = invite.id;
    fill(row, 'invite-row');
    const button = findButton(row, 'take-back');
    button.setAttribute('aria-label', say('invite.take-back-this', { link: asIs(describe(invite)) }));
    button.addEventListener('click', () => this.#attempt(async () => {
      await this.#invites?.takeBack(invite);
      row.remove();
      this.#say(say('invite.taken-back'));
      if (this.#link === invite.link) this.#show({ link: this.#invites?.plain ?? '', kind: 'plain' });
      await this.#list();
      findButton(this, 'invite-copy').focus();
    }));
    return row;
  }

  #make() {
    const { role, uses, days } = Object.fromEntries(new FormData(find(this, 'form.make', HTMLFormElement)));
    return this.#attempt(async () => {
      const request = { role: /** @type {InviteRole} */ (role || 'guest'), uses: Number(uses), expiresIn: Number(days) * DAY_S };
      const invite = await this.#invites?.make(request);
      if (invite) this.#show({ link: invite.link, kind: 'made', invite });
      this.#say(say('invite.new'));
      await this.#list();
    });
  }

  async #copy() {
    try {
      await copyLink(findButton(this, 'invite-copy'), this.#link);
    } catch {
      find(this, '.link', HTMLInputElement).select();
      this.#say(say('page.no-copy'));
    }
  }

  /** Does something, and says in the dialog if it fails. @param {() => Promise<void>} act */
  async #attempt(act) {
    try {
      await act();
    } catch (error) {
      const { title, text } = error instanceof DOMException && error.name === 'TimeoutError' ? wordsOf('timeout') : wordsFor(error);
      this.#say(say('page.title-and-text', { title: asIs(title), text: asIs(text) }));
      if (this.#link === this.#invites?.plain) this.#show({ link: this.#link, kind: 'plain' });
    }
  }

  /** @param {string} words */
  #say(words) {
    write(this, '.said', words);
  }
}

/** @param {Pick<Invite, 'uses' | 'used' | 'expires'>} invite */
function limitsOf({ uses, used, expires }) {
  const until = asIs(UNTIL.format(new Date(expires)));
  return uses === 0 ? say('invite.lets-in-all', { until }) : say('invite.lets-in', { count: uses - used, until });
}

/** @param {Pick<Invite, 'role' | 'uses' | 'used' | 'expires'>} invite */
function describe({ role, uses, used, expires }) {
  const whom = uses === 0 ? say('invite.used', { count: used }) : say('invite.came', { count: uses, used });
  const as = role === 'guest' ? '' : say(`invite.as-${role}`);
  const until = asIs(UNTIL.format(new Date(expires)));
  return as ? say('invite.row-as', { whom: asIs(whom), as: asIs(as), until }) : say('invite.row', { whom: asIs(whom), until });
}

customElements.define('tp-invite', InviteDialog);
