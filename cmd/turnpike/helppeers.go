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
  --wait TIME        how long to wait for the peer, and for a path to it (10s; forward, listen: 20s)
  --relayed          use relays alone: hides this machine's addresses from the other side
  -q, --quiet        no lines about paths
`

const helpSend = `Send files and folders to somebody whom you tell a code. The other side needs no account, and may be a browser.

usage: turnpike send FILE... [--to N] [--server URL] [--name NAME] [flags]

It prints a code, and what to do with it: "turnpike receive" asks for it, or a browser opens the link. The code serves --to
receivers, for ten minutes, and longer while a transfer runs. Its two words never reach the server: each side proves to the
other that it has them, and one wrong guess ends the code. Bytes go directly where the NATs allow it, else by the server's
relay, encrypted from end to end. A transfer outlives changes of network and the server. A receiver that broke off goes on
with the same code. "-" is standard input.

examples:
  turnpike send photos letter.pdf --server https://turn.example.org
  turnpike send --to 3 slides.pdf                the server is the one that was used last
  tar c photos | turnpike send - --as photos.tar

flags of this command:
  --to N               how many receivers get everything, from 1 to 15 (1)
  --as NAME            the name of what comes from standard input (stdin)
` + helpCode + helpServer + `
Exit status: 0 once all receivers have everything; 1 if one does not; 2 called wrongly.
`

const helpReceive = `Receive the files that "turnpike send", or a browser, sends to those who know a code.

usage: turnpike receive [--output DIR|-] [--yes] [--server URL] [--code-file FILE] [flags]

It asks for the code, and Tab completes its words. It shows what comes, from whom and by which path, and asks before it writes
anything, and again for each file that is there already and differs. Unfinished files have names like
.letter.pdf.turnpike-part: after a break, receive into the same folder again, and what is there does not come again. The code
never stands among the arguments, where others on this machine can see it.

examples:
  turnpike receive --server https://turn.example.org
  turnpike receive --output - | tar x
  TURNPIKE_CODE=7-crossover-clockwork turnpike receive --yes --output /srv/incoming

flags of this command:
  --output DIR         the folder to write into, or "-" for standard output (the working directory)
  --yes                ask nothing; files that are there already stay as they are
  --overwrite          replace files that are there already, without a question
  --code-file FILE     read the code from this file, "-" is standard input ($TURNPIKE_CODE)
` + helpCode + `  --server URL         the server ($TURNPIKE_SERVER, or the one that was used last)

Exit status: 0 once everything is there, and its SHA-256 right; 1 if something is not; 2 called wrongly.
`

const helpCode = `  --name NAME          what the others call this side (the machine's name)
  --relayed            use relays alone: hides this machine's addresses from the other side
  -q, --quiet          no lines about paths and progress
`

const helpNetcheck = `Show what the network of this machine does to calls: UDP, NAT, router, relays. One sentence at the end says what it means.

usage: turnpike netcheck [URL] [--invite-file FILE | --ticket-file FILE] [--json] [--every 10s] [--timeout 5s]

Run it where a call does not work. It asks only the server at URL and the router here, and changes nothing: it finds whether
the router maps ports, and maps none. With an invite, a ticket, or where guests are let in, it also tries each relay, and
with a relay's help what the NAT lets in. What was not tried it says, and why.

examples:
  turnpike netcheck https://turn.example.org
  turnpike netcheck --invite-file link.txt             the link names the server
  turnpike netcheck --every 10s                        prints what changes, until Ctrl-C

flags of this command:
` + helpServer + `  --json               print an object; docs/netcheck.md explains it. With --every, one on each line
  --every TIME         look again and again, at least a second apart
  --timeout TIME       how long each step may take (5s)

Exit status: 0 if the report is whole, also if it is bad news; 1 if the server does not answer or refuses the ticket or the
invite, and a line on stderr says so; 2 called wrongly.
`
