package node

import (
	"cmp"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// label is a name with its value. No outsider can choose a value.
type label struct{ name, value string }

// total is a counter, with those of its labels that have a value.
func total(name string, value uint64, labels ...label) prometheus.Metric {
	var names, values []string
	for _, l := range labels {
		if l.value != "" {
			names, values = append(names, l.name), append(values, l.value)
		}
	}
	help := cmp.Or(counterHelp()[name], "Total since the start.")
	desc := prometheus.NewDesc("turnpike_"+name+"_total", help, names, nil)
	return prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(value), values...)
}

// reasonLabel is the name of the label that has a counter's reason.
func reasonLabel(name string) string {
	switch name {
	case "packets_relayed", "relayed_bytes", "packets_offloaded", "offloaded_bytes", "peer_connections_made":
		return "direction"
	case "sessions_begun":
		return "how"
	case "messages":
		return "type"
	case "error_responses", "errors":
		return "code"
	case "authentications":
		return "outcome"
	}
	return "reason"
}

// counterHelp says what each counter counts. It is made once, not at each scrape.
var counterHelp = sync.OnceValue(func() map[string]string {
	return map[string]string{
		"tls_certificate_reloads": "Times that the certificate was read again because it had changed.",
		"state_write_failures":    "Times that what must outlast a restart could not be written to state_dir. It is tried again.",

		"turn_allocations_made":           "Relays that were made.",
		"turn_allocations_moved":          "Relays that clients took along to another address or transport.",
		"turn_packets_relayed":            "Packets of data that were relayed, by direction as the client sees it, and by the transport between client and server.",
		"turn_relayed_bytes":              "Bytes of relayed packets, without headers.",
		"turn_packets_relayed_in_memory":  "Relayed packets that went from one relay of this server to another.",
		"turn_packets_offloaded":          "Relayed packets that the kernel forwarded.",
		"turn_offloaded_bytes":            "Bytes of packets that the kernel forwarded.",
		"turn_packets_not_offloaded":      "Packets that the process relayed although their flow is in the kernel.",
		"turn_packets_dropped":            "Packets that were neither relayed nor answered.",
		"turn_limits_reached":             "Things refused or ended because of a limit of relays, by the limit's name in the configuration; moves_per_allocation is fixed.",
		"turn_peers_denied":               "Peers that clients asked for and the policy forbids.",
		"turn_peer_connections_made":      "TCP connections with peers: up if the client made them, down if the peer did.",
		"turn_peer_connections_failed":    "TCP connections with peers that were refused, or given up before a client had them.",
		"turn_streams_closed":             "Connections of clients that the server closed.",
		"turn_tls_handshakes_failed":      "TLS handshakes of clients that failed.",
		"turn_dtls_handshakes_failed":     "DTLS handshakes of clients that failed.",
		"turn_dtls_hello_verify_requests": "DTLS clients that were asked to prove their address.",
		"turn_icmp_messages_relayed":      "ICMP messages about peers that were passed on to clients.",
		"turn_relay_address_changes":      "Times that the addresses to relay from have changed.",
		"turn_relayed_addresses_ended":    "Relays that the server ended, by why.",
		"turn_faults":                     "Things of the server or of its system that failed, by what failed; the log says more.",
		"turn_binding_responses":          "Answers to STUN Binding requests.",
		"turn_error_responses":            "Error responses to requests.",
		"turn_authentications":            "Requests that need a credential, by outcome.",

		"signal_messages":        "Messages that came from clients.",
		"signal_resumes_refused": "Sessions that clients tried to resume in vain.",
		"signal_errors":          "Error answers to messages.",
		"signal_closes":          "Signaling connections that the server closed.",
		"signal_refused":         "Signaling connections that were refused.",
		"signal_sessions_begun":  "Sessions that began.",
		"signal_sessions_ended":  "Sessions that ended.",
		"signal_limited":         "Things refused because a session, a user or an address asked for too many.",
		"signal_panics":          "Panics in signaling, each of which ended one session: faults of the server.",
		"signal_scope_ignored":   "Signalled candidates that relays still may not send to.",
	}
})
