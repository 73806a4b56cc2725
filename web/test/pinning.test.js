// @ts-check
// What stands for a connection in a page: the fingerprints of both certificates. Once they were proved, there are no others.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import './fakes.js';
import { bindingOf, fingerprintIn, makePinning } from '../static/code/pinning.js';

/** @param {string} byte two hexadecimal digits */
const line = (byte) => `a=fingerprint:sha-256 ${Array(32).fill(byte.toUpperCase()).join(':')}`;

/** @param {string[]} lines */
const sdp = (...lines) => ['v=0', ...lines, 'm=application 9 UDP/DTLS/SCTP webrtc-datachannel', ''].join('\r\n');

test('the binding of two fingerprints is the one that Go computes, in either order', async () => {
  const [one, other] = [fingerprintIn(sdp(line('ab'))), fingerprintIn(sdp(line('01')))];
  const want = 'f894aafd826d9cee5c86125547b0b9e0da92bb182bdb1f35b9a10b6915f1bafb';
  assert.equal(Buffer.from(await bindingOf(one, other)).toString('hex'), want);
  assert.equal(Buffer.from(await bindingOf(other, one)).toString('hex'), want);
});

test('a description must name one certificate, by its SHA-256', () => {
  assert.equal(fingerprintIn(sdp(line('ab'), 'm=audio', line('ab').toLowerCase())), 'ab'.repeat(32));
  const refused = {
    'none': sdp(),
    'nothing': undefined,
    'another in the second section': sdp(line('ab'), 'm=audio', line('ac')),
    'another hash': sdp('a=fingerprint:sha-1 AB:CD'),
    'another hash beside it': sdp(line('ab'), 'a=fingerprint:sha-1 AB:CD'),
    'too long': sdp(`${line('ab')}:AB`),
    'too short': sdp(line('ab').slice(0, -3)),
  };
  for (const [name, text] of Object.entries(refused)) assert.throws(() => fingerprintIn(text), /one certificate/, name);
});

/** An RTCPeerConnection that takes every description. */
class Connection {
  /** @type {Connection[]} */
  static made = [];
  static generateCertificate = async () => 'certificate';
  connectionState = 'new';
  /** @type {{ sdp: string } | null} */
  currentRemoteDescription = null;
  pendingRemoteDescription = null;
  currentLocalDescription = { sdp: sdp(line('01')) };

  /** @param {unknown} configuration */
  constructor(configuration) {
    this.configuration = configuration;
    Connection.made.push(this);
  }

  /** @param {any} description */
  async setRemoteDescription(description) {
    if (description.type !== 'rollback') this.currentRemoteDescription = description;
  }

  close() {
    this.connectionState = 'closed';
  }
}

async function scene() {
  const pinning = await makePinning(/** @type {any} */ (Connection));
  const peer = /** @type {any} */ ({ name: 'Ann' });
  const connect = (to = peer) => {
    const connection = new pinning.rtc.RTCPeerConnection({ iceServers: [] });
    pinning.rtc.onConnection(connection, to);
    return connection;
  };
  peer.connection = connect();
  return { pinning, peer, connect };
}

/** @param {string} byte @returns {RTCSessionDescriptionInit} */
const offer = (byte) => ({ type: 'offer', sdp: sdp(line(byte)) });

test('all connections have one certificate of ours', async () => {
  const { connect, peer } = await scene();
  for (const connection of [peer.connection, connect()]) assert.deepEqual(connection.configuration, { iceServers: [], certificates: ['certificate'] });
});

test('before a proof, a peer may begin anew; after it, no connection with another certificate comes about', async () => {
  const { pinning, peer, connect } = await scene();
  await peer.connection.setRemoteDescription(offer('ab'));
  await peer.connection.setRemoteDescription(offer('cd'));
  const waiting = connect();
  await waiting.setRemoteDescription(offer('ee'));
  const same = connect();
  await same.setRemoteDescription(offer('cd'));
  const stranger = connect({ name: 'Bob' });

  assert.deepEqual(await pinning.bind(peer), await bindingOf('01'.repeat(32), 'cd'.repeat(32)));
  assert.equal(waiting.connectionState, 'closed');
  assert.equal(same.connectionState, 'new');
  for (const connection of [peer.connection, same, connect()]) {
    await assert.rejects(connection.setRemoteDescription(offer('ab')), /another certificate/);
    await assert.rejects(connection.setRemoteDescription({ type: 'offer', sdp: sdp(line('cd'), line('ab')) }), /one certificate/);
    await assert.rejects(connection.setRemoteDescription({ type: 'offer' }), /one certificate/);
    await connection.setRemoteDescription(offer('cd'));
    await connection.setRemoteDescription({ type: 'rollback' });
  }
  await stranger.setRemoteDescription(offer('ab'));

  peer.connection = same;
  assert.deepEqual(await pinning.bind(peer), await bindingOf('01'.repeat(32), 'cd'.repeat(32)));
});

test('a description that the browser still takes while the proof comes is held to it', async () => {
  const { pinning, peer } = await scene();
  await peer.connection.setRemoteDescription(offer('cd'));
  const late = assert.rejects(peer.connection.setRemoteDescription(offer('ab')), /another certificate/);
  peer.connection.currentRemoteDescription = offer('cd'); // as long as the browser is at it
  await pinning.bind(peer);
  await late;
  assert.equal(peer.connection.connectionState, 'closed');
});

test('a peer without a connection, or without descriptions, has no binding', async () => {
  const { pinning, peer } = await scene();
  await assert.rejects(pinning.bind(peer), /one certificate/);
  await assert.rejects(pinning.bind(/** @type {any} */ ({ connection: undefined })), /no connection/);
  await assert.rejects(pinning.bind(/** @type {any} */ ({ connection: new Connection({}) })), /no connection/);
});
