// @ts-check
// The way into a room, while the server comes and goes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Entry } from '../static/elements/room/entry.js';
import { Emitter, emit } from '../static/sdk/emitter.js';
import { TurnpikeError } from '../static/sdk/error.js';

test('a room that was about to be made when the connection broke is made once it is back', async () => {
  /** @type {boolean[]} */
  const created = [];
  const client = {
    status: 'reconnecting', rooms: new Map(),
    async join(/** @type {string} */ id, /** @type {{ create: boolean }} */ { create }) {
      created.push(create);
      if (created.length === 1) throw new TurnpikeError('offline');
      return { id };
    },
  };
  const session = Object.assign(new Emitter(), { state: 'reconnecting', settled: async () => client, isInvitedTo: () => false });
  const page = /** @type {any} */ ({ app: { session }, roomId: 'standup', signal: new AbortController().signal, room: () => ({ size: 8 }), setBlocked() {} });
  const entered = new Promise((resolve) => (page.entered = resolve));
  await new Entry(page).enter({ create: true });
  emit(/** @type {any} */ (session), 'state', 'online');
  assert.deepEqual(await entered, { id: 'standup' });
  assert.deepEqual(created, [true, true]);
});
