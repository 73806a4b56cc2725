// @ts-check

/** How often the server is asked about one relay: what it says changes once, soon after the relay is first used. */
const EVERY_MS = 5000;

/** Knows of a relay what the server tells its owner. */
export class RelayStatus {
  #url;
  #relayed = '';
  #asked = -Infinity;
  /** @type {boolean | undefined} */
  #offloaded;

  /** @param {URL} home the server */
  constructor(home) {
    this.#url = new URL('api/v1/relays/', home);
  }

  /**
   * Whether the server's kernel forwards what a relay carries.
   *
   * @param {string} relayed its relayed address
   * @param {RTCIceServer[]} iceServers with the credential that it was made with, or a later one
   * @returns {Promise<boolean | undefined>} undefined if the server does not say, as when the relay is another's
   */
  async offloaded(relayed, iceServers) {
    const now = Date.now();
    if (relayed === this.#relayed && now - this.#asked < EVERY_MS) return this.#offloaded;
    this.#relayed = relayed;
    this.#asked = now;
    const { username, credential } = iceServers.find((server) => server.username) ?? {};
    this.#offloaded = username && credential ? await this.#ask(relayed, `${username}:${credential}`) : undefined;
    return this.#offloaded;
  }

  /**
   * @param {string} relayed
   * @param {string} login
   */
  async #ask(relayed, login) {
    try {
      const headers = { Authorization: `Basic ${btoa(login)}` };
      const response = await fetch(new URL(encodeURIComponent(relayed), this.#url), { headers, credentials: 'omit' });
      return response.ok ? Boolean((await response.json()).offloaded) : undefined;
    } catch {
      return undefined; // the server is away: what it would say is only shown
    }
  }
}
