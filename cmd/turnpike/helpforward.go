package main

const helpForward = `Reach ports of a machine behind a NAT, or let it reach ports of this side, by ssh's syntax.

usage: turnpike forward -L|-R|-D SPEC ... PEER [--server URL] [--room ROOM] [flags]

PEER is a machine that runs "turnpike listen". Both machines have joined the server ("turnpike help join"): each proves its key to the
other, and a key never changes unnoticed. Listeners are on this machine alone unless BIND says more; "*" is every interface.
Open connections survive a change of network and a restart of the server. While PEER is away the listeners stay: a new connection
waits for as long as --wait says, and is then reset. It runs until Ctrl-C.

examples:
  turnpike forward -L 8080:localhost:80 nas             http://localhost:8080 here is port 80 of nas
  turnpike forward -L 2222:localhost:22 -L udp/5353:localhost:53 nas
  turnpike forward -R 9000:localhost:3000 nas           port 9000 of nas is port 3000 here, if nas allows it
  turnpike forward -D 1080 nas                          a SOCKS5 server here that goes out at nas

flags of this command:
  -L SPEC            [udp/][BIND:]PORT:HOST:PORT: a listener here, and where its connections go from PEER; may be repeated
  -R SPEC            [udp/][BIND:]PORT:HOST:PORT: a listener at PEER, and where its connections go from here
  -D SPEC            [BIND:]PORT: SOCKS5, TCP and UDP; PEER resolves the names
` + helpVisit + helpServer + `
Exit status: 0 once it is stopped; 1 if a listener could not be made, or PEER was not there at the start.
`

const helpListen = `Let other machines reach ports of this one, or of its network, by "turnpike forward".

usage: turnpike listen --allow HOST:PORT,... --from NAME,... [--server URL] [--room ROOM] [flags]

Nobody connects but the machines of --from, which prove the keys that are pinned for their names here: the server vouches for a key the
first time. A name is compared as it was asked for, before it is resolved; one of somebody else's never leads to this
machine's loopback. It runs until Ctrl-C.

examples:
  turnpike listen --allow localhost:22,localhost:80 --from laptop
  turnpike listen --allow nas.lan:*,udp/localhost:53 --from laptop,phone
  turnpike listen --allow '*:*' --from laptop           for -D: all that this machine reaches but its own loopback
  turnpike listen --allow-remote 9000 --from laptop     for -R: laptop may have this machine listen on port 9000

flags of this command:
  --allow LIST          HOST:PORT, HOST:*, *:PORT or *:*, udp/ before it for UDP; a port alone is one of localhost
  --allow-remote LIST   [udp/][BIND:]PORT where others may have this machine listen; "*" is every port from 1024 on
  --from LIST           the machines that may connect
` + helpVisit + helpServer + `
Exit status: 0 once it is stopped; 1 if the server lets this machine in no more.
`
