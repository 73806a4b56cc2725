// @ts-check
// Who speaks in a room, and of whom one wants a picture.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { settle, track } from './fakes.js';
import { bob, joined, timers, withBob } from './signedin.js';
import { Speaker } from '../static/sdk/room/speaker.js';

/** Peers of some names, and a Speaker who looks at them as often as the levels say. @param {string[]} names */
function table(...names) {
  const speaker = new Speaker();
  const peers = names.map((name) => ({ name, level: 0 }));
  return {
    peers,
    /** @param {Record<string, number>} levels of those who are not silent @param {number} looks @returns {string} what changed */
    hear(levels, looks) {
      for (const peer of peers) peer.level = levels[peer.name] ?? 0;
      const changes = [];
      for (let look = 1; look <= looks; look++) {
        const { peer: former } = speaker;
        const isChange = speaker.look(/** @type {any} */ (peers));
        assert.equal(isChange, former !== speaker.peer);
        if (isChange) changes.push(`${speaker.peer?.name} at ${look}`);
      }
      return changes.join(', ');
    },
  };
}

test('the speaker is who speaks, and stays it in a pause', () => {
  const { hear } = table('ann', 'ben', 'cid');
  assert.equal(hear({ ann: 0.001, ben: 0.002 }, 50), '', 'noise is no voice');
  assert.equal(hear({ ben: 0.04 }, 20), 'ben at 1');
  assert.equal(hear({}, 100), '');
  assert.equal(hear({ cid: 0.04, ben: 0.001 }, 20), 'cid at 1', 'after the pause');
});

test('a cough takes nobody away from the speaker, and another who goes on talking does', () => {
  const { hear } = table('ann', 'ben');
  hear({ ann: 0.04 }, 20);
  assert.equal(hear({ ann: 0.04, ben: 1 }, 1) + hear({ ann: 0.04 }, 20), '');
  assert.equal(hear({ ann: 0.04, ben: 0.05 }, 50), '', 'both talk');
  const [, , look] = /^(ben) at (\d+)$/.exec(hear({ ben: 0.03 }, 20)) ?? [];
  assert.ok(Number(look) >= 2 && Number(look) <= 6, `${look} looks of half a second`);
});

test('no two turns follow each other within two seconds', () => {
  const { hear } = table('ann', 'ben');
  assert.equal(hear({ ann: 0.05 }, 1), 'ann at 1');
  assert.equal(hear({ ben: 1 }, 20), 'ben at 4', 'a look is half a second');
});

test('who has left speaks no more', () => {
  const { hear, peers } = table('ann', 'ben');
  hear({ ann: 0.04, ben: 0.03 }, 20);
  peers.shift();
  assert.equal(hear({ ben: 0.03 }, 1), 'ben at 1');
  peers.shift();
  assert.equal(hear({}, 1), 'undefined at 1');
});

const UNDERSTANDS = { type: 'media', audio: true, video: true, sources: { microphone: '0', camera: '1' }, data: true };

test('beyond eight people one wants the picture of the speaker alone', async () => {
  const { socket, room, peer, pc, says, told } = await withBob();
  /** @type {unknown[]} */
  const heard = [];
  room.on('speaker', ({ peer }) => heard.push(peer?.name));
  const come = (/** @type {number} */ n) => socket.say({ type: 'peer-joined', room: joined.room, peer: { session: `x${n}`, user: `v${n}`, name: `${n}` } });
  says(UNDERSTANDS);
  for (let n = 3; n <= 8; n++) await come(n);
  assert.equal('unwanted' in told(), false, 'eight people see each other');
  await come(9);
  assert.deepEqual(told().unwanted, ['camera']);
  const { receiver } = /** @type {any} */ (pc.transceivers[0]);
  receiver.level = 0.1;
  assert.equal(peer.level, 0.1);
  await timers.pass(2000);
  assert.deepEqual([heard, room.speaker, room.snapshot.speaker], [['Bob'], peer, peer]);
  assert.equal('unwanted' in told(), false);
  says({ ...UNDERSTANDS, audio: false, sources: { camera: '1' } });
  assert.equal(peer.level, 0, 'the microphone is off');
  await socket.say({ type: 'peer-left', room: joined.room, session: 'x9', reason: 'leave' });
  assert.equal('unwanted' in told(), false);
  await come(10);
  assert.equal('unwanted' in told(), false, 'he was the last to speak');
  await socket.say({ type: 'peer-left', room: joined.room, session: bob.session, reason: 'leave' });
  await timers.pass(1000);
  assert.deepEqual([heard, room.speaker], [['Bob', undefined], undefined]);
});

test('a camera that nobody wants is not sent, and a screen is', async () => {
  const { room, pc, says, told, answer } = await withBob();
  says(UNDERSTANDS);
  await room.share({ camera: track('video'), screen: track('video'), microphone: track('audio') });
  await answer();
  const active = () => pc.transceivers.map(({ sender }) => /** @type {any} */ (sender).parameters.encodings[0].active);
  assert.deepEqual([active(), told().sources], [[undefined, true, true], { microphone: '0', camera: '1', screen: '2' }]);
  says({ ...UNDERSTANDS, unwanted: ['camera', 'microphone'] });
  await settle();
  assert.deepEqual([active(), told().sources, told().video], [[undefined, false, true], { microphone: '0', screen: '2' }, false]);
  says({ ...UNDERSTANDS, unwanted: 'camera' });
  await settle();
  assert.deepEqual([active(), told().sources, told().video], [[undefined, true, true], { microphone: '0', camera: '1', screen: '2' }, true]);
});

test('a peer that changes its mind a thousand times costs a look or two', async () => {
  const { room, pc, says, told } = await withBob();
  says(UNDERSTANDS);
  await room.share({ camera: track('video') });
  await settle();
  const sender = /** @type {any} */ (pc.transceivers[1]).sender;
  const { getParameters } = sender;
  let looks = 0;
  sender.getParameters = function () {
    looks++;
    return getParameters.call(this);
  };
  for (let n = 0; n < 1000; n++) says({ ...UNDERSTANDS, ...(n % 2 && { unwanted: ['camera'] }) });
  await settle();
  assert.ok(looks <= 2, `${looks} looks`);
  assert.deepEqual([sender.parameters.encodings[0].active, told().sources], [false, {}]);
});
