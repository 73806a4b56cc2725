package coturn

// rule is what a key of coturn means to turnpike: take makes something of it, or why says why not.
type rule struct {
	take func(*conversion)
	left bool // it is lost; else turnpike does so anyway
	flag bool // off is what turnpike does, too
	why  string
}

func taken(take func(*conversion)) rule { return rule{take: take} }
func always(why string) rule            { return rule{why: why} }
func lost(why string) rule              { return rule{left: true, why: why} }
func lostFlag(why string) rule          { return rule{left: true, flag: true, why: why} }

// rules has a rule for every key.
func rules() map[string]rule {
	out := map[string]rule{}
	for _, part := range []map[string]rule{listenerRules(), relayRules(), accessRules(), limitRules(), tlsRules(), processRules(), logRules()} {
		for key, r := range part {
			out[key] = r
		}
	}
	return out
}

func listenerRules() map[string]rule {
	const oneSet = "turnpike answers on the addresses of turn.listen only; add another one there"
	const discovery = "turnpike tells clients their kind of NAT if turn.nat_discovery_port is set, and turn.listen has two addresses"
	return map[string]rule{
		"listening-port":         taken(func(c *conversion) { c.setPort(&c.port) }),
		"tls-listening-port":     taken(func(c *conversion) { c.setPort(&c.tlsPort) }),
		"listening-ip":           taken((*conversion).takeListen),
		"listening-device":       lost("turnpike binds to addresses; name those of the device in turn.listen"),
		"alt-listening-port":     lost(discovery),
		"alt-tls-listening-port": lost("turnpike tells clients their kind of NAT over UDP only"),
		"rfc5780":                lostFlag(discovery),
		"no-rfc5780":             always("turnpike is so unless turn.nat_discovery_port is set"),
		"tcp-proxy-port":         lost("with http.proxy_protocol = true, all TCP listeners take the PROXY header of http.trusted_proxies"),
		"aux-server":             lost(oneSet),
		"udp-self-balance":       lostFlag("one listener uses all processors"),
		"no-udp":                 taken(func(c *conversion) { c.noUDP = c.line.on(); c.took("turn.listen") }),
		"no-tcp":                 taken(func(c *conversion) { c.noTCP = c.line.on(); c.took("turn.listen") }),
		"no-tls":                 taken(func(c *conversion) { c.noTLS = c.line.on(); c.took("turn.listen") }),
		"no-dtls":                taken(func(c *conversion) { c.noDTLS = c.line.on(); c.took("turn.listen") }),
		"dtls":                   taken(func(c *conversion) { c.noDTLS = !c.line.on(); c.took("turn.listen") }),

		"respond-http-unsupported":          lostFlag("turnpike serves its pages on the ports of http.listen"),
		"stun-backward-compatibility":       lostFlag("answers have XOR-MAPPED-ADDRESS, which every client of the last 15 years reads"),
		"no-stun-backward-compatibility":    always("answers have XOR-MAPPED-ADDRESS only"),
		"rfc3489-compatibility":             lostFlag("clients of RFC 3489 are from before 2008"),
		"response-origin-only-with-rfc5780": always("turnpike is so"),
		"include-reason-string":             always("an error has the reason of the RFC"),
		"rfc5766-channel-numbers":           always("turnpike takes channel numbers up to 0x7FFF"),
		"fingerprint":                       always("turnpike adds a fingerprint if the client does"),
		"software-attribute":                always("turnpike tells its name, and no version"),
		"no-software-attribute":             lostFlag("turnpike tells its name, and no version"),
		"drop-invalid-packets":              always("turnpike answers nothing that is not valid"),
		"drop-invalid-packets-log":          lostFlag("metrics count what was dropped, by reason"),
	}
}

func relayRules() map[string]rule {
	const performance = "turnpike does so by itself where the system can"
	return map[string]rule{
		"relay-ip":     taken((*conversion).takeRelay),
		"relay-device": lost("turnpike relays from addresses; name that of the device in turn.relay_addresses"),
		"external-ip":  taken((*conversion).takeExternal),
		"min-port":     taken(func(c *conversion) { c.setPort(&c.minPort) }),
		"max-port":     taken(func(c *conversion) { c.setPort(&c.maxPort) }),
		"no-tcp-relay": taken((*conversion).takeNoTCPRelay),
		"no-udp-relay": lostFlag("turnpike always relays UDP"),
		"server-relay": lostFlag("a peer without a permission is never let in (RFC 8656 §9)"),
		"mobility":     taken((*conversion).takeMobility),

		"relay-threads": always(performance), "cpus": always(performance), "sock-buf-size": always(performance), "ne": always(performance),
		"udp-recvmmsg": always(performance), "udp-recvmmsg-log": lostFlag(performance), "udp-gso": always(performance),
		"multiplex-peer": lostFlag("a relay has a port of its own"), "multiplex-peer-port": lost("a relay has a port of its own"),
		"multiplex-peer-max-peers":          lost("a relay has a port of its own"),
		"keep-address-family":               lostFlag("a relay is IPv4 unless the client asks for IPv6 (RFC 8656 §7.2)"),
		"allocation-default-address-family": lost("a relay is IPv4 unless the client asks for IPv6 (RFC 8656 §7.2)"),
	}
}

func accessRules() map[string]rule {
	const users = "turnpike has no list of users: apps sign credentials with turn.shared_secrets, and people come by invites or their app's tokens"
	const database = "turnpike has no database: put secrets of it into turn.shared_secrets"
	return map[string]rule{
		"use-auth-secret":    taken((*conversion).takeUseSecret),
		"static-auth-secret": taken((*conversion).takeSecret),
		"lt-cred-mech":       always("turnpike knows no other mechanism"),
		"no-auth":            lostFlag("turnpike relays for nobody without a credential"),
		"realm":              taken(func(c *conversion) { c.set("turn.realm", c.line.value) }),
		"rest-api-separator": taken((*conversion).takeSeparator),
		"user":               lost(users),
		"oauth":              lostFlag("turnpike takes an app's tokens over signaling ([[auth.issuers]]), and no TURN tokens of RFC 7635"),
		"server-name":        lost("it is for oauth, which turnpike does not have"),
		"userdb":             lost(database), "db": lost(database), "psql-userdb": lost(database), "mysql-userdb": lost(database),
		"mongo-userdb": lost(database), "redis-userdb": lost(database), "secret-key-file": lost(database),
		"redis-statsdb":      lost("turnpike has metrics, and GET /allocations beside them"),
		"no-auth-pings":      always("there is no database"),
		"no-dynamic-ip-list": always("there is no database"), "no-dynamic-realms": always("there is no database"),
		"check-origin-consistency": lostFlag("browsers send no ORIGIN to a TURN server"),
		"secure-stun":              lostFlag("turnpike answers Binding requests of everybody, few to each address"),
		"stun-only":                lostFlag("turnpike always offers TURN, to those who have a credential"),
		"no-stun":                  lostFlag("turnpike always answers STUN"),

		"denied-peer-ip":       taken(func(c *conversion) { c.takeSpan(&c.denied, "turn.deny_peers") }),
		"allowed-peer-ip":      taken(func(c *conversion) { c.takeSpan(&c.allowed, "turn.allow_peers") }),
		"no-multicast-peers":   always("turnpike relays to no multicast address"),
		"no-loopback-peers":    always("turnpike relays to no loopback address"),
		"allow-loopback-peers": lostFlag("turnpike relays to no loopback address; turn.allow_peers can open it"),
	}
}

func limitRules() map[string]rule {
	const rfc = "turnpike keeps the lifetimes of RFC 8656"
	return map[string]rule{
		"user-quota":            taken(func(c *conversion) { c.takeCount("limits.allocations_per_user") }),
		"total-quota":           taken(func(c *conversion) { c.takeCount("limits.allocations") }),
		"max-bps":               taken(func(c *conversion) { c.takeBandwidth("limits.bandwidth_per_allocation") }),
		"bps-capacity":          taken(func(c *conversion) { c.takeBandwidth("limits.bandwidth") }),
		"max-allocate-lifetime": lost(rfc + "; limits.allocation_max_age ends a relay for good"),
		"max-allocate-timeout":  lost("turnpike keeps nothing for a client before it has signed in"),
		"channel-lifetime":      lost(rfc), "permission-lifetime": lost(rfc),
		"stale-nonce":            always("nonces expire by themselves"),
		"stateless-nonce":        always("nonces are stateless"),
		"stateless-nonce-secret": lost("the key of nonces is derived from the secret in state_dir"),
		"unauthorized-ratelimit": always("limits.unauthenticated_answers_per_second holds always"),

		"unauthorized-ratelimit-rps":      taken(func(c *conversion) { c.takeCount("limits.unauthenticated_answers_per_second") }),
		"unauthorized-ratelimit-requests": lost("limits.unauthenticated_answers_per_second is the number a second to one address"),
		"unauthorized-ratelimit-window":   lost("limits.unauthenticated_answers_per_second is the number a second to one address"),
	}
}

func tlsRules() map[string]rule {
	const fixed = "turnpike takes Go's choice: TLS 1.2 and 1.3, DTLS 1.2, elliptic curves"
	out := map[string]rule{
		"cert":            taken(func(c *conversion) { c.cert = c.path(); c.took("tls.cert_file") }),
		"pkey":            taken(func(c *conversion) { c.key = c.path(); c.took("tls.key_file") }),
		"pkey-pwd":        lost("turnpike reads no encrypted key; decrypt it: openssl pkey -in KEY -out NEW"),
		"CA-file":         lost("turnpike asks clients for no certificate"),
		"raw-public-keys": lostFlag("turnpike has certificates only"),
		"acme-redirect":   lost(`turnpike gets its certificate itself with tls.mode = "acme"`),
		"tlsv1":           lostFlag(fixed), "tlsv1_1": lostFlag(fixed), "no-tlsv1_2": lostFlag(fixed),
		"no-tlsv1": always(fixed), "no-tlsv1_1": always(fixed), "no-sslv3": always(fixed), "no-sslv2": always(fixed),
	}
	for _, key := range []string{"cipher-list", "ec-curve-name", "dh566", "dh1066", "dh2066", "dh-file"} {
		out[key] = lost(fixed)
	}
	return out
}

func processRules() map[string]rule {
	const alternate = "coturn sends every client there, turnpike only while it drains; see turn.alternate_server"
	const unit = "the systemd unit says who runs the server"
	const cli = "turnpike check, users and kick, and the metrics, are what there is instead"
	out := map[string]rule{
		"daemon": lostFlag("the systemd unit starts the server"), "pidfile": lost("systemd knows the process"),
		"proc-user": lost(unit), "proc-group": lost(unit),
		"drain-min-allocations": lost("a drain ends when no relay is left, or after drain_timeout"),
		"no-cli":                always("turnpike has none"),
		"cli":                   lostFlag(cli),
	}
	for _, key := range []string{"alternate-server", "tls-alternate-server", "udp-alternate-server", "tcp-alternate-server"} {
		out[key] = lost(alternate)
	}
	for _, key := range []string{"cli-ip", "cli-port", "cli-password", "cli-max-output-sessions", "web-admin-ip", "web-admin-port"} {
		out[key] = lost(cli)
	}
	out["web-admin"], out["web-admin-listen-on-workers"] = lostFlag(cli), lostFlag(cli)
	return out
}

func logRules() map[string]rule {
	const journal = "the log goes to stderr, and thus to the journal; turnpike serve has --log-level and --log-format"
	out := map[string]rule{
		"prometheus":                 taken(func(c *conversion) { c.prometheus = c.line.on(); c.took("metrics.listen") }),
		"prometheus-port":            taken(func(c *conversion) { c.setPort(&c.metricsPort) }),
		"prometheus-address":         taken(func(c *conversion) { c.metricsAddr = c.line.value; c.took("metrics.listen") }),
		"prometheus-path":            lost("the metrics are at /metrics"),
		"prometheus-username-labels": lostFlag("a label for each user would fill Prometheus; GET /allocations lists relays and their users"),
	}
	for _, key := range []string{"log-file", "syslog-facility", "log-min-level", "new-log-timestamp-format"} {
		out[key] = lost(journal)
	}
	for _, key := range []string{"verbose", "Verbose", "no-stdout-log", "syslog", "simple-log", "new-log-timestamp", "log-binding"} {
		out[key] = lostFlag(journal)
	}
	return out
}
