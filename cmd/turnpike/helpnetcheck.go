package main

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
