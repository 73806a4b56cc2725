// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pathOf, relayedAddressOf } from '../static/sdk/peer/path.js';

/**
 * @param {any} local
 * @param {any} remote
 * @param {any} [pair]
 * @param {any} [transport]
 */
function stats(local, remote, pair = {}, transport = { selectedCandidatePairId: 'p' }) {
  return /** @type {RTCStatsReport} */ (/** @type {unknown} */ (new Map(Object.entries({
    t: { type: 'transport', ...transport },
    x: { type: 'candidate-pair', state: 'failed', localCandidateId: 'none', remoteCandidateId: 'none' },
    p: { type: 'candidate-pair', localCandidateId: 'l', remoteCandidateId: 'r', currentRoundTripTime: 0.0124, ...pair },
    l: { type: 'local-candidate', ...local },
    r: { type: 'remote-candidate', ...remote },
  }))));
}

const host = { candidateType: 'host', protocol: 'udp', address: '192.0.2.1' };
const turn = 'turn:turn.example.org:3478?transport=tcp';

/** @type {[name: string, stats: RTCStatsReport, path: any][]} */
const table = [
  ['no pair yet', stats(host, host, {}, {}), undefined],
  ['direct', stats(host, host), { kind: 'direct', protocol: 'udp', rtt: 12.4, via: undefined }],
  ['not measured', stats(host, host, { currentRoundTripTime: undefined }), { kind: 'direct', protocol: 'udp', rtt: undefined, via: undefined }],
  ['Firefox', stats(host, host, { selected: true }, {}), { kind: 'direct', protocol: 'udp', rtt: 12.4, via: undefined }],
  [
    'our relay, over TCP',
    stats({ candidateType: 'relay', protocol: 'udp', relayProtocol: 'tcp', url: turn }, host),
    { kind: 'relayed', protocol: 'tcp', rtt: 12.4, via: turn },
  ],
  [
    'our relay, of which only the URL is known',
    stats({ candidateType: 'relay', protocol: 'udp', url: 'turns:turn.example.org' }, host),
    { kind: 'relayed', protocol: 'tls', rtt: 12.4, via: 'turns:turn.example.org' },
  ],
  [
    "the peer's relay",
    stats({ ...host, candidateType: 'srflx' }, { candidateType: 'relay', protocol: 'udp', address: '203.0.113.5' }),
    { kind: 'relayed', protocol: 'udp', rtt: 12.4, via: '203.0.113.5' },
  ],
];

for (const [name, report, path] of table) {
  test(name, () => assert.deepEqual(pathOf(report), path));
}

test('the relayed address is our own relay’s', () => {
  const relay = { candidateType: 'relay', protocol: 'udp', address: '203.0.113.5', port: 50000 };
  assert.equal(relayedAddressOf(stats(relay, host)), '203.0.113.5:50000');
  assert.equal(relayedAddressOf(stats({ ...relay, address: '2001:db8::5' }, host)), '[2001:db8::5]:50000');
  assert.equal(relayedAddressOf(stats({ ...relay, address: undefined, ip: '203.0.113.5' }, host)), '203.0.113.5:50000');
  assert.equal(relayedAddressOf(stats({ ...relay, port: undefined }, host)), undefined);
  assert.equal(relayedAddressOf(stats(host, relay)), undefined);
  assert.equal(relayedAddressOf(stats(host, host, {}, {})), undefined);
});
