// @ts-check

/**
 * The path that packets take to a peer.
 *
 * @typedef {object} Path
 * @property {'direct' | 'relayed'} kind relayed if the packets pass a relay of either side
 * @property {'udp' | 'tcp' | 'tls' | 'dtls'} protocol between us and the peer, or between us and our relay
 * @property {number | undefined} rtt milliseconds to the peer and back; undefined until measured
 * @property {string | undefined} via the URL of our own relay, or else the address of the peer's; undefined if direct
 * @property {boolean} [offloaded] our own relay is the server's, whose kernel forwards the packets
 */

/**
 * @param {RTCStatsReport} stats of an RTCPeerConnection
 * @returns {Path | undefined} undefined as long as no pair of candidates works
 */
export function pathOf(stats) {
  const pair = selectedPair(stats);
  const local = pair && stats.get(pair.localCandidateId);
  const remote = pair && stats.get(pair.remoteCandidateId);
  if (!local || !remote) return undefined;
  const rtt = typeof pair.currentRoundTripTime === 'number' ? pair.currentRoundTripTime * 1000 : undefined;
  if (local.candidateType === 'relay') {
    return { kind: 'relayed', protocol: local.relayProtocol ?? relayProtocol(local.url), rtt, via: local.url };
  }
  if (remote.candidateType === 'relay') {
    return { kind: 'relayed', protocol: local.protocol, rtt, via: remote.address ?? remote.ip };
  }
  return { kind: 'direct', protocol: local.protocol, rtt, via: undefined };
}

/**
 * The relayed address that packets leave from.
 *
 * @param {RTCStatsReport} stats
 * @returns {string | undefined} address and port; undefined if our own end uses no relay
 */
export function relayedAddressOf(stats) {
  const pair = selectedPair(stats);
  const local = pair && stats.get(pair.localCandidateId);
  const address = local?.address ?? local?.ip;
  if (local?.candidateType !== 'relay' || !address || !local.port) return undefined;
  return `${address.includes(':') ? `[${address}]` : address}:${local.port}`;
}

/**
 * Chrome and Safari name the pair in the transport's report; Firefox marks the pair itself.
 *
 * @param {RTCStatsReport} stats
 */
function selectedPair(stats) {
  /** @type {any} */
  let marked;
  for (const report of stats.values()) {
    if (report.type === 'transport' && report.selectedCandidatePairId) {
      return stats.get(report.selectedCandidatePairId);
    }
    if (report.type === 'candidate-pair' && (report.selected || (report.nominated && report.state === 'succeeded'))) {
      marked = report;
    }
  }
  return marked;
}

/** @param {string | undefined} url such as `turn:host:3478?transport=tcp` */
function relayProtocol(url) {
  if (url?.startsWith('turns:')) return url.includes('transport=udp') ? 'dtls' : 'tls';
  return url?.includes('transport=tcp') ? 'tcp' : 'udp';
}

const COUNTERS = ['bytesReceived', 'packetsReceived', 'requestsReceived', 'responsesReceived'];

/**
 * A number that grows with everything that comes in: media, data, or only the checks that keep the path open.
 *
 * @param {RTCStatsReport} stats of an RTCPeerConnection
 * @returns {number | undefined} undefined until something has come in
 */
export function signsOfLife(stats) {
  let sum = 0;
  for (const report of stats.values()) {
    if (!['transport', 'candidate-pair', 'inbound-rtp'].includes(report.type)) continue;
    for (const counter of COUNTERS) sum += report[counter] ?? 0;
  }
  return sum || undefined;
}
