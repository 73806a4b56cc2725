// @ts-check
// Between a page and its server.

/**
 * Stands between a page, which must not be loaded yet, and its server. Everything goes through until it is shut.
 *
 * @param {import('playwright-core').Page} page
 */
export async function gate(page) {
  /** @type {'away' | 'refuses' | 'restarts' | undefined} */
  let state;
  /** @type {() => Promise<unknown>} */
  let cut = () => Promise.resolve();
  await page.routeWebSocket(/\/signal$/, (socket) => {
    if (!state || state === 'restarts') {
      const server = socket.connectToServer();
      cut = () => Promise.all([socket.close(), server.close()]);
      return;
    }
    if (state === 'away') return void socket.close();
    socket.onMessage((text) => {
      const message = JSON.parse(String(text));
      if (message.type === 'hello') socket.send(JSON.stringify({ type: 'error', ref: message.id, code: 'unauthorized', message: 'The ticket does not admit you.' }));
    });
  });
  await page.route('**/api/v1/tickets', (route) => {
    if (state !== 'refuses') return route.continue();
    return route.fulfill({ status: 403, json: { error: { code: 'invite-used', message: 'This invite has been used.' } } });
  });
  return {
    /** Ends the connection. @param {'away' | 'refuses' | 'restarts'} how away: the server cannot be reached; refuses: it signs the page in no more; restarts: it can be reached again at once */
    shut: (how) => {
      state = how;
      return cut();
    },
  };
}
