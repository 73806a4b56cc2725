// @ts-check
import { copyLink } from '../../clipboard.js';
import { fill, find, findButton, write } from '../../dom.js';
import { drawQrCode } from '../../qrcode.js';
import { wordsFor, wordsOf } from '../../words.js';

/**
 * @import { App } from '../../app.js'
 * @import { Invite, InviteRole } from '../../sdk/server/invites.js'
 * @import { OfferedLink, RoomInvites } from '../../roominvites.js'
 */

const DAY_S = 86_400;
const UNTIL = new Intl.DateTimeFormat(undefined, { weekday: 'short', day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' });
/** @type {Record<InviteRole, string>} */
const ROLES = { guest: 'guests', member: 'members', moderator: 'moderators', admin: 'admins' };

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
    share.addEventListener('click', () => navigator.share({ title: `Room ${app.room?.id ?? ''}`, url: this.#link }).catch(() => {})); // The user may think better of it.
    find(this, 'form.make', HTMLFormElement).addEventListener('submit', (event) => {
      event.preventDefault();
      this.#make();
    });
    find(this, '.link', HTMLInputElement).addEventListener('focus', ({ target }) => target instanceof HTMLInputElement && target.select());
  }

  async open() {
    this.#say('');
    this.#show({ link: this.#invites?.plain ?? '', kind: 'plain' }, 'Making a link…');
    this.#dialog.showModal();
    await this.#attempt(async () => {
      const offered = await this.#invites?.offer();
      if (offered) this.#show(offered);
      await this.#list();
    });
  }

  /** Closes the dialog: we have left the room. */
  close() {
    if (this.#dialog.open) this.#dialog.close();
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
    const until = invite && UNTIL.format(new Date(invite.expires));
    const limits = invite && `${invite.uses === 0 ? 'It lets in anybody who has it' : `It lets in ${people(invite.uses - invite.used)} more`}, until ${until}.`;
    write(this, '.about', words ?? (kind === 'plain' ? 'It has no invite: it lets in only people who may use this server anyway.' : limits ?? ''));
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
    choice.replaceChildren(...roles.map((role) => new Option(`as ${ROLES[role]}`, role)));
    find(this, '.role', HTMLElement).hidden = roles.length < 2;
  }

  /** @param {Invite} invite */
  #row(invite) {
    const row = document.createElement('li');
    row.dataset.invite = invite.id;
    fill(row, 'invite-row');
    const button = findButton(row, 'take-back');
    button.setAttribute('aria-label', `Take back the link ${describe(invite)}`);
    button.addEventListener('click', () => this.#attempt(async () => {
      await this.#invites?.takeBack(invite);
      row.remove();
      this.#say('The link is taken back. People who came by it are signed out.');
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
      this.#say('This is the new link.');
      await this.#list();
    });
  }

  async #copy() {
    try {
      await copyLink(findButton(this, 'invite-copy'), this.#link);
    } catch {
      find(this, '.link', HTMLInputElement).select();
      this.#say('The browser does not let this page copy. The link is selected: copy it yourself.');
    }
  }

  /** Does something, and says in the dialog if it fails. @param {() => Promise<void>} act */
  async #attempt(act) {
    try {
      await act();
    } catch (error) {
      const { title, text } = error instanceof DOMException && error.name === 'TimeoutError' ? wordsOf('timeout') : wordsFor(error);
      this.#say(`${title}. ${text}`);
      if (this.#link === this.#invites?.plain) this.#show({ link: this.#link, kind: 'plain' });
    }
  }

  /** @param {string} words */
  #say(words) {
    write(this, '.said', words);
  }
}

/** @param {number} count */
function people(count) {
  return count === 1 ? 'one person' : `${count} people`;
}

/** @param {Pick<Invite, 'role' | 'uses' | 'used' | 'expires'>} invite */
function describe({ role, uses, used, expires }) {
  const whom = uses === 0 ? `for anybody, used ${used === 1 ? 'once' : `${used} times`}` : `for ${people(uses)}, ${used} came`;
  return `${whom}${role === 'guest' ? '' : `, as ${ROLES[role]}`}, until ${UNTIL.format(new Date(expires))}`;
}

customElements.define('tp-invite', InviteDialog);
