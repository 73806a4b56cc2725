package main

const helpJoin = `Join a server with this machine: from then on its commands sign in by themselves, and its peers know it again.

usage: turnpike join [--server URL] [--name NAME] [--invite-file FILE]

The invite is one that "turnpike invite" has printed on the server. This command asks for it, or reads it from --invite-file,
$TURNPIKE_INVITE or standard input. Its room and role become the machine's: one with --uses 1 lets just this machine in.

It makes a key in your configuration folder. The server keeps the public half and the name, which nobody else can have there. "turnpike
ping" and "turnpike pipe" then need no flags but the other machine's name. Two machines prove their keys to each other. The server
vouches for a key once; from then on the name stands for that key.

examples:
  turnpike join                                       asks for the invite's link, which names the server
  turnpike join --name nas --invite-file link.txt
  ssh nas turnpike join < link.txt
  turnpike ping nas                                   on another machine of the room

flags of this command:
  --server URL         the server, if the invite is no link ($TURNPIKE_SERVER, or the one that was used last)
  --name NAME          1 to 32 of a-z, 0-9 and "-" (the host name)
  --invite-file FILE   the file with the invite, "-" is standard input ($TURNPIKE_INVITE)

files:
  turnpike/machines/   in the configuration folder: the keys of this machine, one a server. Who has one can come as this machine
  turnpike/known/      there too: the keys of other machines, one file a server
`

const helpPing = `Send pings to a peer by the path that everything else takes, and say which path that is: direct or relayed.

usage: turnpike ping [PEER] [--server URL] [--room ROOM] [-c N] [--until-direct] [flags]

PEER is a name in the room that both are in. There "turnpike ping", "turnpike pipe --listen" or a browser answers. Without PEER this
command waits, and answers pings. The first pings may be relayed: a direct path follows within seconds, where the NATs allow one.
A browser answers no pings; its lines show the round-trip time that WebRTC measures.

examples:
  turnpike ping --server https://turn.example.org --room home            on one machine
  turnpike ping laptop --room home                                       on another; the server is the one that was used last
  TURNPIKE_INVITE='https://turn.example.org/r/home#invite=eyJ...' turnpike ping laptop --until-direct && echo direct

flags of this command:
  -c N               stop after N pings
  --interval TIME    time between pings (1s)
  --until-direct     stop once the path is direct, at the latest after 30 pings; the exit status tells
` + helpVisit + helpServer + `
Exit status: 0 if at least one ping was answered, with --until-direct if the path is direct; else 1.
`

const helpPipe = `Join the standard input and output of two machines, or reach a TCP port of the other one.

usage: turnpike pipe --listen [--allow PORT,...] [--server URL] [--room ROOM] [flags]
       turnpike pipe --to PEER [PORT] [--server URL] [--room ROOM] [flags]

PEER is the name of the side that listens, in the room that both are in. Everybody who may enter the room may open the pipe, or
connect to the ports of --allow on that machine: keep the room's invite to yourself. Bytes go directly where the NATs allow
it, else by the server's relay, encrypted from end to end (QUIC, TLS 1.3). A line on stderr says which path it is, also when it changes.
A pipe goes on when a network changes or the server is away.

examples:
  turnpike pipe --listen --room home > backup.tar                  on one machine, called nas
  tar c photos | turnpike pipe --to nas --room home                on another
  turnpike pipe --listen --allow 22 --room home                    lets the room reach sshd here, until Ctrl-C
  ssh -o ProxyCommand='turnpike pipe --to %h --room home 22' nas

flags of this command:
  --listen           wait for one pipe, or with --allow for connections to ports
  --allow PORT       TCP ports of this machine that the other side may reach
  --to PEER          the peer that listens
` + helpVisit + helpServer + `
Exit status: 0 once both sides have ended; 1 if the pipe broke, or was refused.
`

const helpVisit = `  --room ROOM        the room; an invite's link names one, and so does "turnpike join"
  --name NAME        what others call this side (the machine's name)
  --wait TIME        how long to wait for the peer, and for a path to it (10s)
  --relayed          use relays alone: hides this machine's addresses from the other side
  -q, --quiet        no lines about paths
`
