package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"example.org/turnpike/internal/config"
)

const helpMain = `turnpike lets browsers and programs behind NATs talk to each other, on a server of your own.

usage: turnpike COMMAND [flags]

  setup     bring a server into being on this machine: configuration, certificate, service, first invite
  init      write a first configuration file
  serve     run the server: web pages, signaling, STUN and TURN
  check     sign in as a client and try STUN and every TURN address
  netcheck  show what the network of this machine does to calls: UDP, NAT, router, relays
  join      join a server with this machine, so that its commands sign in by themselves
  ping      send pings to a peer, and say whether the path is direct or relayed
  send      send files to somebody whom you tell a code
  receive   receive the files that somebody sends by a code
  pipe      join standard input and output of two machines, or reach a TCP port of the other one
  forward   reach ports of another machine, as ssh -L, -R and -D do
  listen    let other machines reach ports of this one by "turnpike forward"
  bench     load a TURN server with calls, or signaling with sessions, and measure rate, loss and latency
  invite    print a link that lets people into a room
  ticket    print a ticket that admits a user, for your own apps
  users     list who is online
  kick      throw a user out, of one room or of everything
  machines  list the machines that have joined, and revoke them
  drain     have the server take no new relays, and wait for those that are there
  config    print the configuration in force, and where each value came from
  secret    make a new secret for invites, tickets and credentials
  completion   print what a shell completes, or the manual page
  version   print the version
  help      print this, or "turnpike help COMMAND" about one of them

Start without any file:

  turnpike serve                      then open http://localhost:8080 in two tabs
  turnpike check                      in another terminal: does everything work?

On a machine that others can reach, as a service:

  turnpike setup                      asks for the name of the machine, if it has one, and does the rest

Or by hand:

  turnpike init --public-host turn.example.org     writes turnpike.toml: https on port 443, with fullchain.pem and privkey.pem

Open TCP 443 (which also carries TURN), UDP and TCP 3478, and UDP 49152-65535 in its firewall. Then:

  turnpike serve
  turnpike check
  turnpike invite --room standup --ttl 24h

Exit status: 0 done; 1 failed, and one line on stderr says why; 2 called wrongly.
`

const helpServe = `Run the server until it is told to stop.

usage: turnpike serve [--config FILE] [--state DIR] [flags]

Without a configuration it serves this machine only: pages at http://localhost:8080, and STUN and TURN on port 3478 of
every address. Once it is up, it prints its addresses, who may get in, and where its state lives. The log goes to stderr.

examples:
  turnpike serve
  turnpike serve --config /etc/turnpike/turnpike.toml
  turnpike serve --http-listen :8443 --tls-mode files --tls-cert-file fullchain.pem --tls-key-file privkey.pem
  TURNPIKE_TURN_SHARED_SECRETS=$(openssl rand -hex 32) turnpike serve     for apps that mint coturn's REST credentials

files:
  turnpike.toml           read if it is in the working directory; or the file of --config or $TURNPIKE_CONFIG.
                          "turnpike config" prints every key. A path in the file starts from the file's folder
  turnpike-state/         beside that file, without one in the working directory; elsewhere with --state or state_dir
  turnpike-state/secret   made at the first start, with mode 0600. It signs invites and tickets, which are void
                          without it. Keep it, and keep it secret
  turnpike-state/secret.old   secrets that "turnpike secret rotate" has replaced, while they still verify
  turnpike-state/invites  the invites that were made, used and revoked, and the users who were thrown out. Keep it, too
  turnpike-state/admin.sock   by which "turnpike users" and "turnpike kick" reach the running server

signals:
  SIGTERM   stop politely: take no new relays, wait until the relays have ended, at most drain_timeout, and then
            tell clients when to reconnect. A second signal ends the wait
  SIGINT    (Ctrl-C) stop at once
  SIGHUP    read the certificate again now, or with tls.mode "acme" ask for one now; without TLS nothing changes

flags of this command:
  --log-format text|json   form of the log on stderr (text)
  --log-level LEVEL        debug, info, warn or error (info)
`

const helpCheck = `Sign in to a server as a client would, and try everything that it offers.

usage: turnpike check [URL] [--ticket-file FILE | --invite-file FILE] [--timeout 10s] [--json] [--config FILE] [--state DIR]

It gets a ticket, opens signaling, and receives the STUN and TURN addresses, as every client does. At each TURN
address, over IPv4 and over IPv6, it makes two relays, and sends a packet from one to the other and one back. Then it sends
one to a relayed address from a socket of this machine, and one back, for which the relay ports must be open. For each step
a line says how long it took, or what is wrong and what to do. A line with "note" says what was not tried, and why. The TURN
client is pion's: another project wrote it. If the server can tell (turn.nat_discovery_port), a line names the kind of NAT
that this machine is behind, and what that means for calls. TURN over DTLS is tried where the server has it, although no
browser uses it.

If the certificate is none to trust, a line says why. It then tries what takes no secret: it signs in nowhere, and relays nothing.

Without a URL it checks the server of the configuration, as seen from here: also TURN listeners that no client is told of,
and what "turnpike setup" looks at: ports, files, names, clock. Run it from elsewhere too, with the URL: only then are
firewalls between.

It signs in with the ticket or the invite (the link, also as the URL, or its code), else as a guest. If guests need an invite, it
signs a ticket itself: for that it must run on the server's machine, as a user who may read the server's state.

examples:
  turnpike check
  turnpike check https://turn.example.org --invite 'https://turn.example.org/r/standup#invite=eyJ...'
  turnpike ticket | turnpike check https://turn.example.org --ticket - --json

flags of this command:
  --ticket TICKET      sign in with this ticket ("turnpike ticket" prints one)
  --ticket-file FILE   sign in with the ticket in this file; for both flags "-" is standard input
  --invite LINK        sign in with this invite
  --invite-file FILE   sign in with the invite in this file; for both flags "-" is standard input
  --timeout TIME       how long each step may take (10s)
  --closed-relay-ports no failure if the relay ports are closed, as for a container that publishes none
  --json               print an array of results instead of lines

environment:
  TURNPIKE_CHECK_TICKET, TURNPIKE_CHECK_INVITE   instead of the flags, because others on this machine can see flags
  SSL_CERT_FILE     certificates to trust besides the system's (on Linux), for a server with a test CA

Exit status: 0 if everything worked, 1 if anything failed.
`

const helpBench = `Load a TURN server with calls, and measure rate, loss and latency of their packets.

usage: turnpike bench turn:HOST:PORT (--secret SECRET | --user NAME --password PASSWORD) [flags]
       turnpike bench stun:HOST:PORT [flags]  sends Binding requests instead of calls
       turnpike bench signal URL [flags]      loads signaling; "turnpike help bench signal" says how

The server may be turnpike, coturn or any other. turn:HOST:PORT?transport=tcp, turns:HOST:PORT and
turns:HOST:PORT?transport=udp reach it over TCP, TLS and DTLS. Each call makes a real allocation with a channel, and sends
like a call: video is 1200-byte datagrams in frames of 8, 30 frames a second; audio is 120 bytes 50 times a second.

Client and peer of a call are sockets of this process. So the server must reach this machine, and must be allowed to
relay to it. With --relayed neither is needed: two clients talk by an allocation each. A turnpike lets one address make
a hundred allocations a second. For more, raise its limits.unauthenticated_answers_per_second.

Latency is one way through the server: it begins when the kernel gets a frame, and ends with the kernel's time stamp of
its arrival. Both times are of this machine's clock. Over TCP, TLS and DTLS it has this process's own work in it. The
output says if this machine limits the load, and not the server.

examples:
  turnpike bench turn:turn.example.org:3478 --secret "$SECRET" --relayed --profile mixed --direction both
  turnpike bench turn:192.0.2.7:3478 --secret "$SECRET" --calls 200 --max
  turnpike bench turns:turn.example.org:5349 --secret "$SECRET" --relayed
  turnpike bench stun:192.0.2.7:3478 --calls 200
  turnpike bench turn:192.0.2.7:3478 --secret "$SECRET" --calls 10000 --seconds 0 --pid "$(pidof turnserver)"

flags of this command:
  --secret SECRET     one of the server's turn.shared_secrets (coturn: static-auth-secret); each call is a user of its own
  --user NAME         sign in with this name, and --password PASSWORD, in all calls
  --calls N           how many calls (50)
  --profile NAME      video, audio or mixed: both (video)
  --direction WAY     up: from client to peer; down; or both (up)
  --seconds N         how long to measure, after half a second of warm-up; 0 only makes the allocations (10; with --max
                      2 a trial)
  --rate N            packets a second of all calls, instead of the profile's own
  --max               search the highest rate with less than 0.5 % lost, from the profile's rate or that of --rate
  --indications       send in indications, as Firefox does, not by channels
  --relayed           from client to client, each with an allocation
  --peer ADDRESS      the address of this machine that the peers use (the one that leads to the server)
  --pid PID           the server's process on this machine: shows its memory (RSS) an allocation, 10 seconds after the
                      last one. Take thousands of calls
  --insecure          take any certificate, over TLS and DTLS
  --workers N         threads that send and receive (half of the processors, at most 4)
  --json              print an object instead of lines

environment:
  TURNPIKE_BENCH_SECRET, TURNPIKE_BENCH_PASSWORD   instead of the flags, because others on this machine can see flags

It runs on Linux.
`

const helpBenchSignal = `Load the signaling of a turnpike with sessions, and measure rate, loss and latency of their messages.

usage: turnpike bench signal URL [--ticket-file FILE] [flags] [--config FILE] [--state DIR]

Each session logs in over a WebSocket of its own. Two sessions share a room, and send each other descriptions of 1 KiB.
This command signs a guest's ticket for each session, with the secret in the server's state directory. With --members
the tickets are members', who are told of each other as they come online. With --ticket, all sessions use that ticket.

All of the load comes from one address. So raise these limits of the server above --sessions: limits.sessions_per_address,
limits.connections_per_address, limits.hellos_per_second_per_address and limits.joins_per_minute_per_address. Raise
limits.messages_per_second if a session must send more. With --ticket, raise the three limits of a user likewise.

Latency begins when the kernel gets a message, and ends with the kernel's time stamp of its arrival at the other session.
Both times are of this machine's clock. The output says if this machine limits the load, and not the server.

examples:
  turnpike bench signal http://localhost:8080 --sessions 200
  turnpike bench signal http://localhost:8080 --sessions 2000 --max --pid "$(pidof turnpike)"
  turnpike bench signal http://localhost:8080 --sessions 20000 --members --seconds 0 --pid "$(pidof turnpike)"
  turnpike bench signal http://localhost:8080 --sessions 20000 --members --seconds 0 --return
  turnpike ticket --ttl 1h --config turnpike.toml | turnpike bench signal https://turn.example.org --ticket -

flags of this command:
  --sessions N        how many sessions, an even number (1000)
  --members           log the sessions in as members, who see each other online
  --rate N            messages a second of all sessions (2000)
  --size BYTES        of a message (1024)
  --seconds N         how long to measure, after half a second of warm-up; 0 only logs in (10; with --max 2 a trial)
  --max               search the highest rate with a p99 latency of at most 50 ms, from that of --rate
  --return            at last, wait until you restart the server, and measure how long it takes until all sessions are back
  --ticket TICKET     log all sessions in with this ticket ("turnpike ticket" prints one)
  --ticket-file FILE  likewise, with the ticket in this file; for both flags "-" is standard input
  --pid PID           the server's process on this machine: shows its memory (RSS) an idle session, 10 seconds after the
                      last log-in, and its processor time a log-in and a message
  --workers N         threads that send and receive (1)
  --json              print an object instead of lines

environment:
  TURNPIKE_BENCH_TICKET   instead of --ticket, because others on this machine can see flags
  SSL_CERT_FILE           certificates to trust besides the system's, for a server with a test CA

It runs on Linux.
`

const helpInvite = `Print a link that lets people into one room, list the links that were made, or take one back.

usage: turnpike invite --room NAME [--uses N] [--ttl 24h] [--role ROLE] [--json] [--config FILE] [--state DIR]
       turnpike invite --list [--json] [--config FILE] [--state DIR]
       turnpike invite --revoke ID|LINK [--config FILE] [--state DIR]

Everyone who has the link can use it until it expires, or has been used --uses times. The secret in the server's state
directory signs it. So run this on the server's machine, with the server's --config or --state, as a user who may read and
write that directory. A running server needs no restart. Only the link goes to stdout.

One use is one ticket, which is valid for auth.ticket_ttl. A person who comes back later uses the link once more. One
second after --revoke, neither the invite nor a ticket made from it admits anybody. The sessions that came by it end, and
their relays with them.

examples:
  turnpike invite --room standup
  turnpike invite --room standup --ttl 720h --config /etc/turnpike/turnpike.toml
  turnpike invite --room standup --uses 1 --role moderator

flags of this command:
  --room NAME    the room: 1 to 64 of a-z, 0-9 and "-"
  --uses N       how many tickets the link gives; 0 is any number (0)
  --ttl TIME     how long the link works (24h)
  --role ROLE    guest: sees the people in the room. member: sees and may call everyone online. moderator and admin:
                 members whom clients and your apps may grant more (guest)
  --list         print the ID, room, role, uses and expiry of the invites that have not expired
  --revoke ID    take an invite back, by its ID or its link; "-" reads the link from standard input
  --json         print {"link", "invite", "id", "room", "role", "uses", "expires"}; with --list an array of
                 {"id", "room", "role", "uses", "used", "revoked", "expires"}

files:
  turnpike-state/invites   the invites that were made, used and revoked. Without it, used and revoked links work again
`

const helpTicket = `Print a ticket that admits one user to signaling, or explain one.

usage: turnpike ticket [--name NAME] [--user ID] [--rooms a,b] [--role ROLE] [--ttl 10m] [--config FILE] [--state DIR]
       turnpike ticket --inspect [--json] [--config FILE] [--state DIR] < TICKET

A client sends a ticket in hello, and as the bearer token of GET /api/v1/ice-servers. People get theirs from an invite.
This command is for your own apps and scripts. Only the ticket goes to stdout.

With --inspect it reads a ticket from stdin: one of this server, or of an app in [[auth.issuers]]. It shows the content,
the issuer whose key must have signed it, whether the signature is good, and why the server accepts or refuses it. It
fetches keys from a jwks_url. The exit status is 1 if the server would refuse the ticket.

examples:
  turnpike ticket --name Ada
  curl -H "Authorization: Bearer $(turnpike ticket --name probe)" http://localhost:8080/api/v1/ice-servers
  turnpike ticket --inspect --config turnpike.toml < token.txt

flags of this command:
  --name NAME    the name that others see (empty: the client chooses)
  --user ID      the user: the same ID for the same user each time (a new one)
  --rooms LIST   rooms that it opens, with commas between; "*" and "team-*" are patterns (*)
  --role ROLE    guest, member, moderator or admin (member)
  --ttl TIME     how long it is valid (auth.ticket_ttl of the configuration)
  --inspect      explain the ticket on stdin
  --json         print {"ticket", "user", "name", "role", "rooms", "expires"}; with --inspect {"accepted", "issuer",
                 "header", "claims", "signed", "reasons", "ticket"}
`

const helpConfig = `Print the configuration in force as TOML.

usage: turnpike config [--config FILE] [--state DIR] [flags]

A flag wins over a TURNPIKE_* variable, a variable over the file, the file over the defaults. A comment says where each
value came from that is not the default. Secrets show as [redacted].

To begin a file, use "turnpike init".

examples:
  turnpike config
  turnpike config --config /etc/turnpike/turnpike.toml
`

const helpInit = `Write a first configuration file, and say what to do next.

usage: turnpike init [--public-host NAME] [--config FILE] [--state DIR] [flags]

The file has the values of the flags, and as comments the keys that most operators look at. It is turnpike.toml in the working
directory, or the file of --config. This command never writes over a file that is there.

With --public-host, the server listens on port 443 with the certificate in fullchain.pem and privkey.pem beside the file. Other
flags change that. With --http-trusted-proxies, the reverse proxy has the certificate, and the server listens on loopback.

examples:
  turnpike init --public-host turn.example.org
  turnpike init --public-host turn.example.org --tls-cert-file /etc/ssl/turn.pem --tls-key-file /etc/ssl/turn.key
  turnpike init --public-host turn.example.org --http-trusted-proxies 127.0.0.1
  turnpike init --config /etc/turnpike/turnpike.toml --state /var/lib/turnpike --public-host turn.example.org
`

const helpCompletion = `Print what a shell completes for turnpike, or the manual page. Both are made from this help. The package installs them.

usage: turnpike completion bash|zsh|fish|man

examples:
  turnpike completion bash > /usr/share/bash-completion/completions/turnpike
  turnpike completion man | man -l -
`

const helpSetup = `Bring a server into being on this machine: configuration, certificate, service, first invite. Run it as root, on Linux with systemd.

usage: turnpike setup [--yes] [--dry-run] [--public-host NAME] [--from FILE] [--stun HOST:PORT] [--cloud-metadata] [flags]

It asks for a host name that leads to this machine; without one, the certificate is for the bare IP address. It finds the public
address, and sees whether the name leads here, the ports are free, the clock is right and the state can be kept. Then it says what
it would do, and what the firewall must let in. If nothing is wrong and you agree, it writes /etc/turnpike/turnpike.toml, installs and
starts the service, waits for the certificate and prints an invite. It never writes over a configuration that is there.

It asks nobody outside for the public address unless you say whom: --stun or --cloud-metadata. The certificate is Let's Encrypt's;
by using it you agree to their terms. The flags of the configuration win over all that it finds.

examples:
  turnpike setup
  turnpike setup --yes --public-host turn.example.org --tls-acme-email you@example.org
  turnpike setup --yes                                     for the bare IP address
  turnpike setup --dry-run --from /etc/turnserver.conf     what would become of coturn's configuration

flags of this command:
  --yes               ask nothing
  --dry-run           print everything, and change nothing
  --from FILE         take over coturn's configuration, and say of each line what became of it
  --stun HOST:PORT    ask this STUN server for the public address
  --cloud-metadata    ask the cloud's metadata service for it (AWS, Google Cloud, Azure, Hetzner, DigitalOcean)
`

const helpSecret = `Make a new secret, which signs invites, tickets, resume tokens and TURN credentials from then on.

usage: turnpike secret rotate [--keep TIME] [--config FILE] [--state DIR]

Run it on the server's machine, with the server's --config or --state, as a user who may write that directory. A running server
takes the new secret up within a second. The former secret goes to secret.old, and still verifies what it has signed: until the
last invite has expired that "turnpike invite --list" shows, and at least for 24 hours. Nobody who is in or has a link notices.

If somebody else knows the secret, use --keep 0s: every invite, ticket and credential that was signed before is then void.

examples:
  turnpike secret rotate --config /etc/turnpike/turnpike.toml
  turnpike secret rotate --keep 0s

flags of this command:
  --keep TIME    how long the former secret verifies. Give it if "turnpike ticket --ttl" made tickets that live longer
`

// topic is the help of one command. With listFlags, the flags of the configuration follow the text.
type topic struct {
	text      string
	listFlags bool
}

func topics() map[string]topic {
	return map[string]topic{
		"":         {helpMain, false},
		"help":     {helpMain, false},
		"init":     {helpInit, true},
		"setup":    {helpSetup, true},
		"serve":    {helpServe, true},
		"check":    {helpCheck, false},
		"netcheck": {helpNetcheck, false},
		"bench":    {helpBench, false},
		"invite":   {helpInvite, false},
		"join":     {helpJoin, false},
		"ping":     {helpPing, false},
		"pipe":     {helpPipe, false},
		"send":     {helpSend, false},
		"receive":  {helpReceive, false},
		"forward":  {helpForward, false},
		"listen":   {helpListen, false},

		"bench signal": {helpBenchSignal, false},

		"ticket":     {helpTicket, false},
		"users":      {helpUsers, false},
		"kick":       {helpKick, false},
		"machines":   {helpMachines, false},
		"drain":      {helpDrain, false},
		"config":     {helpConfig, true},
		"secret":     {helpSecret, false},
		"completion": {helpCompletion, false},

		"version": {"Print the version, the commit, and what it was built with.\n\nusage: turnpike version\n", false},
	}
}

// usageLine returns the usage line of a command's help.
func usageLine(command string) string {
	_, rest, _ := strings.Cut(topics()[command].text, "usage: ")
	line, _, _ := strings.Cut(rest, "\n")
	if command == "" {
		return line + "; \"turnpike help\" says more"
	}
	return line + "\n\"turnpike help " + command + "\" says more"
}

func (p *program) help(_ context.Context, args []string) error {
	name := strings.Join(args, " ")
	if strings.HasPrefix(name, "-") {
		name = ""
	}
	t, ok := topics()[name]
	if !ok && len(args) > 1 {
		return &usageError{"", errors.New("help takes one command")}
	}
	if !ok {
		return &usageError{"", fmt.Errorf("there is no command %q", name)}
	}
	if _, err := io.WriteString(p.stdout, t.text); err != nil || !t.listFlags {
		return err
	}
	return config.PrintFlags(p.stdout)
}
