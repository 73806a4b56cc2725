package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/pion/stun/v4"
)

// advice is what an error means for the operator of the server. It unwraps to the error.
type advice struct {
	text string
	err  error
}

func (a *advice) Error() string { return a.text }

func (a *advice) Unwrap() error { return a.err }

// problem tells the operator of the server what an error means, and what to do.
func (t iceTarget) problem(ctx context.Context, err error) error {
	return &advice{t.explain(ctx, err), err}
}

func (t iceTarget) explain(ctx context.Context, err error) string {
	where := fmt.Sprintf("%s port %d", t.network(), t.uri.Port)
	if refused, ok := errors.AsType[*stun.TurnError](err); ok {
		return fmt.Sprintf("%s answers %v; %s", where, refused, turnAdvice(refused.ErrorCodeAttr.Code))
	}
	if cert, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return fmt.Sprintf("%s: %s", where, certificateProblem(cert))
	}
	switch {
	case isErrno(err, syscall.ECONNREFUSED, 10061):
		return fmt.Sprintf("%s refuses the connection; is turn.listen right, and does %s lead to the server?", where, t.uri.Host)
	case ctx.Err() != nil || isTimeout(err) || strings.Contains(err.Error(), "all retransmissions failed"): // pion's words
		return fmt.Sprintf("no answer from %s; open it in the firewall of the server and of its provider, and see that %s leads to the server", where, t.uri.Host)
	}
	return fmt.Sprintf("%s: %v", where, err)
}

func turnAdvice(code stun.ErrorCode) string {
	switch code {
	case stun.CodeUnauthorized:
		return "the TURN server refuses the credential that signaling gave: is it another server, or is one of the clocks wrong?"
	case stun.CodeAllocQuotaReached:
		return "raise limits.allocations_per_session"
	case stun.CodeInsufficientCapacity:
		return "all relays are taken: widen turn.relay_ports, or raise limits.allocations"
	case stun.CodeAddrFamilyNotSupported:
		return "the server has no IPv4 address to relay from, and this client asks for no other"
	}
	return "the server's log may say more"
}

// dialProblem says why a connection to the web server failed.
func dialProblem(err error) string {
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return "the name " + strconv.Quote(dns.Name) + " has no address"
	}
	if cert, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return certificateProblem(cert)
	}
	switch {
	case isErrno(err, syscall.ECONNREFUSED, 10061):
		return "nobody listens there"
	case isTimeout(err):
		return "no answer in time"
	}
	return err.Error()
}

func isTimeout(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return errors.Is(err, context.DeadlineExceeded) || ok && timeout.Timeout()
}

// isErrno also knows Windows' own number, which the syscall package does not map.
func isErrno(err error, unix, windows syscall.Errno) bool {
	errno, ok := errors.AsType[syscall.Errno](err)
	return ok && (errno == unix || runtime.GOOS == "windows" && errno == windows)
}

func isCertificate(err error) bool {
	_, ok := errors.AsType[*tls.CertificateVerificationError](err)
	return ok
}

// namesOf are the names and addresses that a certificate is for.
func namesOf(c *x509.Certificate) []string {
	names := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		return []string{"no name"}
	}
	return names
}

// certificateProblem says why clients refuse a certificate. The usual reason is a file without the certificates between it
// and the authority: browsers on a desk may know those from elsewhere, telephones and programs do not.
func certificateProblem(e *tls.CertificateVerificationError) string {
	chain := e.UnverifiedCertificates
	if host, ok := errors.AsType[x509.HostnameError](e.Err); ok {
		return fmt.Sprintf("the certificate is for %s, and not for %s; clients refuse it", strings.Join(namesOf(host.Certificate), ", "), host.Host)
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](e.Err); ok && invalid.Reason == x509.Expired {
		if now := time.Now(); now.Before(invalid.Cert.NotBefore) {
			return fmt.Sprintf("the certificate is good from %s on; is the clock of this machine right, or that of the one that signed it?", invalid.Cert.NotBefore.UTC().Format(time.RFC3339))
		}
		return fmt.Sprintf("the certificate expired on %s, and clients refuse it; renew it, or set tls.mode = \"acme\"", invalid.Cert.NotAfter.UTC().Format(time.DateOnly))
	}
	if _, unknown := errors.AsType[x509.UnknownAuthorityError](e.Err); !unknown || len(chain) == 0 {
		return "the certificate is not one that clients trust (" + e.Err.Error() + ")"
	}
	last := chain[len(chain)-1]
	ofItself := last.CheckSignatureFrom(last) == nil
	switch {
	case ofItself && len(chain) == 1:
		return "the certificate is signed by itself, and clients trust no such one; set tls.mode = \"acme\", or set SSL_CERT_FILE here and have all clients trust it"
	case ofItself:
		return fmt.Sprintf("clients do not trust the authority %q; if it is one of your own, set SSL_CERT_FILE here to its certificate, and have all clients trust it", last.Subject.CommonName)
	}
	return fmt.Sprintf("the server does not show the certificate of the issuer %q; tls.cert_file must have the whole chain (fullchain.pem). "+
		"If %q is an authority of your own, set SSL_CERT_FILE here to its certificate, and have all clients trust it", last.Issuer.CommonName, last.Issuer.CommonName)
}
