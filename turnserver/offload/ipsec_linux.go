//go:build linux && (amd64 || arm64)

package offload

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// The program hands packets to their next neighbour, past IPsec: what a policy wants encrypted would leave in clear, and
// what it wants encrypted from others would be taken in clear. So nothing is offloaded while there are such policies.

// policyGroups are the kernel's events about IPsec policies.
const policyGroups = 1 << (nl.XFRMNLGRP_POLICY - 1)

// policiesInForce says why IPsec forbids to forward, or returns "".
func policiesInForce() (why string, err error) {
	policies, err := netlink.XfrmPolicyList(netlink.FAMILY_ALL)
	for i := range policies {
		if p := &policies[i]; concerns(p) {
			return fmt.Sprintf("IPsec policies are in force, such as for %v to %v", p.Src, p.Dst), nil
		}
	}
	if errors.Is(err, unix.EPROTONOSUPPORT) {
		return "", nil // this kernel has no IPsec
	}
	if err != nil {
		return "", err
	}
	if blocks, err := blockedByDefault(); blocks || err != nil {
		return "IPsec policies are in force, and what none allows is blocked (ip xfrm policy setdefault)", err
	}
	return "", nil
}

// blockedByDefault reports whether the kernel blocks what no policy allows, to this host or from it.
func blockedByDefault() (bool, error) {
	const getDefault, block = 0x28, 1 // XFRM_MSG_GETDEFAULT, and XFRM_USERPOLICY_BLOCK of Linux's xfrm.h
	req := nl.NewNetlinkRequest(getDefault, 0)
	req.AddRawData(make([]byte, 4)) // in, fwd, out, and padding
	answers, err := req.Execute(unix.NETLINK_XFRM, getDefault)
	if errors.Is(err, unix.EINVAL) {
		return false, nil // a kernel before 5.15
	}
	if err != nil || len(answers) == 0 || len(answers[0]) < 3 {
		return false, err
	}
	in, out := answers[0][0], answers[0][2]
	return in == block || out == block, nil
}

// concerns reports whether a policy is about what the program forwards. Others are of single sockets, of what this host
// only forwards, or of XFRM interfaces, which the program does not send to; or they let packets pass as they are.
func concerns(p *netlink.XfrmPolicy) bool {
	ours := p.Dir == netlink.XFRM_DIR_OUT || p.Dir == netlink.XFRM_DIR_IN
	return ours && p.Ifid == 0 && (len(p.Tmpls) > 0 || p.Action == netlink.XFRM_POLICY_BLOCK)
}

// lookAtPolicies stops forwarding while IPsec policies are in force, or while nobody can say whether they are.
func (w *watcher) lookAtPolicies() {
	why, err := policiesInForce()
	if errors.Is(err, netlink.ErrDumpInterrupted) {
		w.policies.poke()
		return
	}
	if err != nil {
		why = "the IPsec policies cannot be listed"
		w.path.fault("turn: "+why, err)
	}
	before := w.path.Paused()
	switch {
	case why == before:
	case why == "":
		w.path.log.Info("turn: IPsec policies are gone; established flows are forwarded in the kernel again")
	case before == "":
		w.attacher.close()
		w.path.log.Warn("turn: established flows are not forwarded in the kernel", "reason", why)
	}
	w.path.paused.Store(&why)
}
