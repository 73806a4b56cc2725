// @ts-check
// What a page needs so that a proof over one stream holds for all streams of a peer: it must know both ends' certificates, and take
// no other for that peer any more. A page cannot see DTLS's exporter, so the fingerprints of both stand for the connection.

/**
 * @import { Peer } from '../sdk/turnpike.js'
 *
 * @typedef {{ connections: Set<RTCPeerConnection>, fingerprint?: string }} Known
 */

/**
 * Makes a certificate of our own for all connections, and what has the SDK use it. Give `rtc` to the client.
 *
 * @param {typeof RTCPeerConnection} [Connection]
 */
export async function makePinning(Connection = RTCPeerConnection) {
  const certificate = await Connection.generateCertificate(/** @type {EcKeyGenParams} */ ({ name: 'ECDSA', namedCurve: 'P-256' }));
  /** @type {WeakMap<Peer, Known>} */
  const peers = new WeakMap();
  /** @type {WeakMap<RTCPeerConnection, Known>} */
  const owners = new WeakMap();

  class PinnedConnection extends Connection {
    /** @param {RTCConfiguration} [configuration] */
    constructor(configuration) {
      super({ ...configuration, certificates: [certificate] });
    }

    /** @override @param {RTCSessionDescriptionInit} description */
    async setRemoteDescription(description) {
      const check = () => {
        const pinned = owners.get(this)?.fingerprint;
        if (pinned && description.type !== 'rollback' && fingerprintIn(description.sdp) !== pinned) {
          throw new Error('The peer has shown another certificate than the one that was proved.');
        }
      };
      check();
      await super.setRemoteDescription(description);
      try {
        check(); // It may have been proved while the browser took the description.
      } catch (error) {
        this.close();
        throw error;
      }
    }
  }

  return {
    rtc: {
      RTCPeerConnection: PinnedConnection,
      /** @param {RTCPeerConnection} connection @param {Peer} peer */
      onConnection(connection, peer) {
        const known = peers.get(peer) ?? { connections: new Set() };
        peers.set(peer, known);
        owners.set(connection, known);
        for (const former of known.connections) if (former.connectionState === 'closed') known.connections.delete(former);
        known.connections.add(connection);
      },
    },

    /**
     * Returns the binding of the connection with a peer. From now on the peer is believed no other certificate: a connection that has
     * one is closed, and no other comes about. So the binding is that of all connections with this peer, until it begins anew.
     *
     * @param {Peer} peer that is connected
     */
    async bind(peer) {
      const { connection } = peer;
      const known = peers.get(peer);
      if (!connection || !known?.connections.has(connection)) throw new Error('There is no connection with the peer.');
      const ours = fingerprintIn(connection.currentLocalDescription?.sdp);
      const theirs = fingerprintIn(connection.currentRemoteDescription?.sdp);
      if (known.fingerprint && known.fingerprint !== theirs) throw new Error('The peer has shown another certificate than before.');
      known.fingerprint = theirs;
      for (const other of known.connections) {
        const said = [other.currentRemoteDescription, other.pendingRemoteDescription];
        if (said.some((description) => description && fingerprintIn(description.sdp) !== theirs)) other.close();
      }
      return bindingOf(ours, theirs);
    },
  };
}

/**
 * The certificate that a description names, for all its sections: it must name one, by its SHA-256.
 *
 * @param {string | undefined} sdp
 * @returns {string} 64 lower-case hexadecimal digits
 */
export function fingerprintIn(sdp = '') {
  const named = new Set([...sdp.matchAll(/^a=fingerprint:(.*)$/gim)].map(([, value = '']) => value.trim().toLowerCase()));
  const [only = ''] = named;
  const digits = /^sha-256 ((?:[0-9a-f]{2}:){31}[0-9a-f]{2})$/.exec(only)?.[1];
  if (named.size !== 1 || !digits) throw new Error('The description does not name one certificate by its SHA-256.');
  return digits.replaceAll(':', '');
}

/**
 * docs/peer-protocol.md says what a binding is.
 *
 * @param {string} one fingerprint in hexadecimal digits
 * @param {string} other likewise
 */
export async function bindingOf(one, other) {
  const bytes = [one, other].sort().join('').match(/../g)?.map((digits) => parseInt(digits, 16)) ?? [];
  const text = new Uint8Array([...new TextEncoder().encode('turnpike-binding\0'), ...bytes]);
  return new Uint8Array(await crypto.subtle.digest('SHA-256', text));
}
