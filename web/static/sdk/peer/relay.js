// @ts-check

/** How often we ask the server about one relay. Its answer changes once, soon after the relay is first used. */
const EVERY_MS = 5000;

/** What the server tells a relay's owner about it. */
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
   * Whether the server's kernel forwards the packets of a relay.
   *
   * @param {string} relayed its relayed address
   * @param {RTCIceServer[]} iceServers with the credential that the relay was made with, or a later one
   * @returns {Promise<boolean | undefined>} undefined if the server does not say, for example about somebody else's relay
   */
  async offloaded(relayed, iceServers) {
    const now = performance.now();
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
      return undefined; // The server cannot be reached. Its answer would only be shown.
    }
  }
}
