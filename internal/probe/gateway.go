package probe

import "fmt"

// gateway reports that the server sees the address of a gateway in place of ours. A container behind a gateway that translates
// addresses both ways (rootless, or with a proxy in the place of rules) takes all clients for one.
func (r *run) gateway(found []reached) {
	for _, at := range found {
		if !at.mapped.IsValid() || !isInside(at.mapped.Addr()) || isInside(at.addr) || at.mapped.Addr() == sourceFor(at.addr) {
			continue
		}
		r.report(Finding{Check: "gateway", Target: at.raw, Problem: fmt.Sprintf("the server sees this machine as %s, a private address that this machine does not have: "+
			"a gateway in front of the server puts its own in the place of all clients'. They share the limits of one address, and no call finds a direct path; "+
			"let the server have the host's network, or have the gateway keep addresses", at.mapped.Addr())})
		return
	}
}
