package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// listenProblem says in a sentence why addr cannot be listened on, and what to do.
func listenProblem(addr string, err error) string {
	switch {
	case isErrno(err, syscall.EADDRINUSE, 10048):
		return addr + " is in use by another program; stop it or choose another port"
	case isErrno(err, syscall.EACCES, 10013):
		return addr + " may not be opened by this user; ports below 1024 need root or CAP_NET_BIND_SERVICE, others do not"
	case isErrno(err, syscall.EADDRNOTAVAIL, 10049):
		return addr + " is not an address of this machine; use one that it has"
	}
	return fmt.Sprintf("cannot listen on %s: %v", addr, err)
}

// isErrno knows the number that Windows uses as well, which the syscall package does not map.
func isErrno(err error, unix syscall.Errno, windows syscall.Errno) bool {
	errno, ok := errors.AsType[syscall.Errno](err)
	return ok && (errno == unix || runtime.GOOS == "windows" && errno == windows)
}

// turnProblem names the key of what turnserver could not open.
func (n *node) turnProblem(err error) error {
	for i, l := range n.cfg.TURN.Listen {
		if strings.HasPrefix(err.Error(), "listen on "+l.String()+":") {
			return n.cfg.errorf(fmt.Sprintf("turn.listen[%d]", i), "%s", listenProblem(l.String(), err))
		}
	}
	for _, r := range n.relays {
		if strings.HasPrefix(err.Error(), "relay address "+r.Local.String()+":") {
			return n.cfg.errorf("turn.relay_addresses", "%s", listenProblem(r.Local.String(), err))
		}
	}
	return err
}

// loadTLS reads the certificate and its key.
func loadTLS(cfg *Config) (*tls.Config, error) {
	read := func(key, name string) ([]byte, error) {
		data, err := os.ReadFile(name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil, cfg.errorf(key, "there is no file %s; write where the PEM file is", name)
		case errors.Is(err, fs.ErrPermission):
			return nil, cfg.errorf(key, "%s may not be read by this user; give the server's user read access", name)
		case err != nil:
			return nil, cfg.errorf(key, "%w", err)
		}
		return data, nil
	}
	certPEM, err := read("tls.cert_file", cfg.TLS.CertFile)
	if err != nil {
		return nil, err
	}
	keyPEM, err := read("tls.key_file", cfg.TLS.KeyFile)
	if err != nil {
		return nil, err
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, cfg.errorf("tls.cert_file", "%s and %s are not a certificate and its key: %w", cfg.TLS.CertFile, cfg.TLS.KeyFile, err)
	}
	return &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}, nil
}

// certificateWarning says why clients will not trust a certificate that loads; empty if nothing is known.
func certificateWarning(leaf *x509.Certificate, host string, now time.Time) string {
	switch {
	case now.After(leaf.NotAfter):
		return fmt.Sprintf("the certificate expired on %s; renew it and restart", leaf.NotAfter.Format(time.DateOnly))
	case now.Before(leaf.NotBefore):
		return fmt.Sprintf("the certificate is not valid before %s; is this machine's clock right?", leaf.NotBefore.Format(time.DateOnly))
	case host != "" && leaf.VerifyHostname(host) != nil:
		return fmt.Sprintf("the certificate is not for public_host %q; browsers will refuse it", host)
	}
	return ""
}
