package config

import (
	"errors"
	"net/mail"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// LetsEncrypt is the ACME directory whose certificates every browser knows, for names and for public IP addresses.
const LetsEncrypt = "https://acme-v02.api.letsencrypt.org/directory"

// defaultListeners puts the pages on the ports that browsers try, where ACME brings a certificate and nobody has named
// others. Port 80 among http.listen is for challenges and redirects: nobody expects https there.
func (c *Config) defaultListeners() {
	if c.TLS.Mode != TLSACME {
		return
	}
	if c.sources["http.listen"] == "" {
		c.HTTP.Listen = []string{":443"}
	}
	for _, addr := range c.HTTP.Listen {
		if strings.HasSuffix(addr, ":80") && !slices.Contains(c.HTTP.RedirectListen, addr) {
			c.HTTP.RedirectListen = append(c.HTTP.RedirectListen, addr)
			c.sources["http.redirect_listen"] = c.sources["http.listen"]
		}
	}
	c.HTTP.Listen = slices.DeleteFunc(slices.Clone(c.HTTP.Listen), func(addr string) bool { return strings.HasSuffix(addr, ":80") })
	if c.sources["http.redirect_listen"] == "" && !c.HTTP.ProxyProtocol { // the load balancer has port 80
		c.HTTP.RedirectListen = []string{":80"}
	}
}

// checkACME refuses what no certificate can be got for.
func (c *Config) checkACME() []error {
	var bad []error
	refuse := func(name, format string, args ...any) { bad = append(bad, c.Errorf(name, format, args...)) }

	if c.TLS.Mode == TLSOff && len(c.HTTP.RedirectListen) > 0 {
		refuse("http.redirect_listen", `sends browsers to https, but tls.mode is "off"; set tls.mode = "acme", or remove it`)
	}
	if c.HTTP.ProxyProtocol && len(c.HTTP.RedirectListen) > 0 {
		refuse("http.redirect_listen", "does not go with http.proxy_protocol, behind which no browser comes to this server itself; remove it, and redirect at the load balancer")
	}
	if c.TLS.Mode != TLSACME {
		return bad
	}
	addr, err := netip.ParseAddr(c.PublicHost)
	isAddr := err == nil
	switch {
	case c.PublicHost == "":
		refuse("public_host", `is empty, but tls.mode = "acme" gets a certificate for it; write the name, or the public IP address, by which clients reach this server`)
	case c.TLS.ACMEDirectory == LetsEncrypt && isAddr && !PublicName(c.PublicHost):
		refuse("public_host", `%q is no public address, and Let's Encrypt gives certificates to no other; write the public one, or name a directory of your own in tls.acme_directory`, addr)
	case c.TLS.ACMEDirectory == LetsEncrypt && !PublicName(c.PublicHost):
		refuse("public_host", `%q is no public name, and Let's Encrypt gives certificates to no other; write one like "turn.example.org", or the public IP address`, c.PublicHost)
	}
	return bad
}

func parseEmail(s string) (string, error) {
	a, err := mail.ParseAddress(s)
	if err != nil || a.Address != s {
		return "", errors.New(`is no e-mail address; write it like "you@example.org"`)
	}
	return s, nil
}

func parseDirectory(s string) (string, error) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" || u.Host == "" || strings.ContainsAny(s, " \t") {
		return "", errors.New("is not the https:// URL of an ACME directory; write it like \"" + LetsEncrypt + "\"")
	}
	return s, nil
}
