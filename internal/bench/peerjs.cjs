// PeerJS's server, as its own program starts it, but with room for many clients and without a log.
// usage: node peerjs.cjs [CERTIFICATE KEY]; it prints its address.
'use strict';

const fs = require('node:fs');
const { PeerServer } = require('peer');

const [certificate, key] = process.argv.slice(2);
const secure = certificate !== undefined;
PeerServer(
  {
    host: '127.0.0.1',
    port: 0,
    concurrent_limit: 1_000_000,
    alive_timeout: 3_600_000, // the load generator sends no heartbeats
    ...(secure && { ssl: { cert: fs.readFileSync(certificate), key: fs.readFileSync(key) } }),
  },
  (server) => console.log(`web ${secure ? 'https' : 'http'}://localhost:${server.address().port}`),
);
