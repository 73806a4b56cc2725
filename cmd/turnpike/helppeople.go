package main

const helpUsers = `List who is online: a line for each session.

usage: turnpike users [--json] [--config FILE] [--state DIR]

Run it on the server's machine, with the server's --config or --state, as the server's user or as root. It asks the running server by
the socket in the state directory.

SINCE is when this server process first had the session. ADDRESS is what limits count: an IPv4 address, or an IPv6 /64. A session is
away while it has lost its connection. RELAYS counts its TURN allocations.

examples:
  turnpike users --config /etc/turnpike/turnpike.toml
  turnpike users --json | jq -r '.[].user'

flags of this command:
  --json         print an array of {"user", "name", "relays", "sessions": [{"session", "role", "since", "address", "away",
                 "rooms", "relays"}]}

files:
  turnpike-state/admin.sock   the socket, which only the server's user may open
`

const helpKick = `Throw a user out, of one room or of everything.

usage: turnpike kick --user USER [--room ROOM] [--config FILE] [--state DIR]

Run it on the server's machine, with the server's --config or --state, as the server's user or as root.

Without --room, all sessions and relays of the user end at once. Tickets, sessions and credentials of before do not admit the user
any more, also after a restart, for 30 days. With --room, the user leaves that room, and tickets of before do not open it any more.

A ticket that was issued later admits the user again. So first stop giving this user tickets: an app stops minting tokens, or
"turnpike invite --revoke" takes an invite back. A token of an app that does not say when it was issued (iat) is refused for an hour.

If no server runs, the kick holds from its next start on.

examples:
  turnpike users
  turnpike kick --user app:u1
  turnpike kick --user turnpike:m3xz7t --room standup

flags of this command:
  --user USER    the user, as "turnpike users" shows it
  --room ROOM    only out of this room
`

const helpMachines = `List the machines that have joined the server, and revoke them.

usage: turnpike machines [--json] [--revoke NAME] [--config FILE] [--state DIR]
       turnpike machines --known | --forget NAME [--server URL]

The first form is for the server's machine, with the server's --config or --state, as the server's user or as root. A machine joins by
"turnpike join". A revoked one is out within a second, with its sessions and relays, and its name is free. "turnpike invite --revoke"
revokes the machines that came by the invite, too.

The second form is for a machine that has peers. It shows the keys of other machines that are known there, or forgets one: do that only
if you know why a machine has a new key, for example because it has joined anew.

examples:
  turnpike machines --config /etc/turnpike/turnpike.toml
  turnpike machines --revoke nas
  turnpike machines --forget nas

flags of this command:
  --json         print an array of {"name", "role", "room", "key", "invite", "joined", "sessions"}; with --known, of {"name", "key", "since"}
  --revoke NAME  end this machine, as the server knows it
  --known        list the keys of other machines that are known here
  --forget NAME  forget the key of this machine: the server vouches for its next one
  --server URL   whose machines, with --known and --forget ($TURNPIKE_SERVER, or the one that was used last)

files:
  turnpike-state/machines   the list, a line of JSON for each machine that came or was revoked
`

const helpDrain = `Have the server take no new relays, and wait until those that are there carry nothing any more.

usage: turnpike drain [--timeout TIME] [--config FILE] [--state DIR]

Run it on the server's machine or in its container, as the server's user or as root, before the server is stopped: a container's
preStop hook can call nothing but this program. Signaling goes on, and /readyz answers 503. SIGTERM then ends the server at once.
Without it, SIGTERM drains by itself, for drain_timeout. Only a new start takes relays again.

examples:
  turnpike drain --config /etc/turnpike/turnpike.toml
  kubectl exec deployment/turnpike -- /turnpike drain --timeout 5m

flags of this command:
  --timeout TIME   how long to wait (drain_timeout)

Exit status: 0 if no relay carries anything, 1 if some still do.
`
