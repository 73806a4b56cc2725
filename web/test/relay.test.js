// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RelayStatus } from '../static/sdk/peer/relay.js';

const home = new URL('https://turn.example.org/');
const servers = [{ urls: 'stun:turn.example.org' }, { urls: 'turn:turn.example.org', username: '1:s.A', credential: 'secret' }];

/**
 * Answers what is fetched, and returns what was asked for.
 *
 * @param {import('node:test').TestContext} t
 * @param {() => Response} answer
 */
function serve(t, answer) {
  /** @type {{ url: string, authorization: string | null }[]} */
  const asked = [];
  t.mock.method(globalThis, 'fetch', async (/** @type {URL} */ url, /** @type {RequestInit} */ init) => {
    asked.push({ url: url.href, authorization: new Headers(init.headers).get('Authorization') });
    return answer();
  });
  return asked;
}

test('the client asks the server with its credential, and not each time', async (t) => {
  let now = 1_000;
  t.mock.method(performance, 'now', () => now);
  let offloaded = false;
  const asked = serve(t, () => Response.json({ offloaded }));
  const status = new RelayStatus(home);
  assert.equal(await status.offloaded('203.0.113.5:50000', servers), false);
  offloaded = true;
  assert.equal(await status.offloaded('203.0.113.5:50000', servers), false);
  now += 5000;
  assert.equal(await status.offloaded('203.0.113.5:50000', servers), true);
  assert.equal(await status.offloaded('[2001:db8::5]:50000', servers), true);
  assert.deepEqual(asked.map(({ url }) => url), [
    'https://turn.example.org/api/v1/relays/203.0.113.5%3A50000',
    'https://turn.example.org/api/v1/relays/203.0.113.5%3A50000',
    'https://turn.example.org/api/v1/relays/%5B2001%3Adb8%3A%3A5%5D%3A50000',
  ]);
  assert.equal(asked[0]?.authorization, `Basic ${btoa('1:s.A:secret')}`);
});

test('without an answer of the server it stays unknown', async (t) => {
  serve(t, () => new Response('', { status: 404 }));
  assert.equal(await new RelayStatus(home).offloaded('203.0.113.5:50000', servers), undefined);
  t.mock.method(globalThis, 'fetch', () => Promise.reject(new TypeError('away')));
  assert.equal(await new RelayStatus(home).offloaded('203.0.113.5:50000', servers), undefined);
  const asked = serve(t, () => Response.json({ offloaded: true }));
  assert.equal(await new RelayStatus(home).offloaded('203.0.113.5:50000', [{ urls: 'stun:turn.example.org' }]), undefined);
  assert.deepEqual(asked, []);
});
