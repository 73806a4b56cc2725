package config

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Issuer is an [[auth.issuers]] table: another app, whose tokens the server accepts as tickets. Exactly one of Secret,
// KeyFile and JWKSURL is set.
type Issuer struct {
	Name       string
	Issuer     string // the iss claim of its tokens; empty: Name
	Algorithms []string
	Audience   string
	Leeway     time.Duration

	Secret  Secret
	KeyFile string // as it was written: Config.IssuerKeyFile says where the file is
	JWKSURL string

	NameClaim, RoomsClaim, RoleClaim string // an empty one is not read
	DefaultRooms                     []string
	DefaultRole                      string
	MaxSession                       time.Duration // 0: no bound
	Presence                         string        // one of the constants Presence...: whom its members see online
}

// CheckIssuer judges the values in an issuer's table: the names of algorithms and roles, for example.
type CheckIssuer func(*Issuer) []Fault

// Fault is a mistake in a table: a key of it, and the rest of a sentence after that key.
type Fault struct {
	Key string
	Err error
}

// defaultIssuer makes users guests, unless their tokens say more.
func defaultIssuer() Issuer {
	return Issuer{
		Leeway: 30 * time.Second, NameClaim: "name", RoomsClaim: "rooms", RoleClaim: "role",
		DefaultRooms: []string{"*"}, DefaultRole: "guest", Presence: PresenceAll, MaxSession: 24 * time.Hour,
	}
}

// keys returns the keys of an [[auth.issuers]] table, without auth.issuers before them.
func (c *Issuer) keys() []key {
	anything := func(s string) (string, error) { return s, nil }
	str := func(p *string, example string) value { return scalar[string]{p, anything, asIs, example} }
	strs := func(p *[]string, example string) value { return list[string]{p, anything, asIs, example} }
	return []key{
		{name: "name", value: str(&c.Name, "app")},
		{name: "issuer", value: str(&c.Issuer, "https://app.example.org")},
		{name: "algorithms", value: strs(&c.Algorithms, "ES256")},
		{name: "audience", value: str(&c.Audience, "turnpike")},
		{name: "leeway", value: scalar[time.Duration]{&c.Leeway, duration(0), showDuration, "30s"}},
		{name: "secret", value: scalar[Secret]{&c.Secret, parseIssuerSecret, Secret.String, "a long random string"}, secret: true},
		{name: "key_file", value: str(&c.KeyFile, "app.pem")},
		{name: "jwks_url", value: str(&c.JWKSURL, "https://app.example.org/.well-known/jwks.json")},
		{name: "name_claim", value: str(&c.NameClaim, "name")},
		{name: "rooms_claim", value: str(&c.RoomsClaim, "rooms")},
		{name: "role_claim", value: str(&c.RoleClaim, "role")},
		{name: "default_rooms", value: strs(&c.DefaultRooms, "team-*")},
		{name: "default_role", value: str(&c.DefaultRole, "member")},
		{name: "max_session", value: scalar[time.Duration]{&c.MaxSession, parseMaxSession, showDuration, "24h"}},
		{name: "presence", value: scalar[string]{&c.Presence, oneOf([]string{PresenceAll, PresenceIssuer, PresenceNobody}), asIs, PresenceIssuer}},
	}
}

// parseMaxSession refuses a life so short that clients could not refresh their sessions in time.
func parseMaxSession(s string) (time.Duration, error) {
	d, err := duration(0)(s)
	if err == nil && d > 0 && d < minMaxSession {
		return 0, fmt.Errorf("%s is too short for clients to refresh their sessions in time; use at least %s, or 0s for no end", s, showDuration(minMaxSession))
	}
	return d, err
}

const minMaxSession = time.Minute

// parseIssuerSecret leaves the judgement of the secret's length to CheckIssuer.
func parseIssuerSecret(s string) (Secret, error) {
	if s == "" {
		return Secret{}, errors.New("is empty; write the secret that the app signs with, or remove the line")
	}
	return NewSecret(s), nil
}

// issuerList is the array of [[auth.issuers]] tables.
type issuerList struct {
	p     *[]Issuer
	check CheckIssuer // nil: none
}

func (v issuerList) fromTOML(raw any) error {
	tables, ok := tablesOf(raw)
	if !ok {
		return errors.New("is not a list of tables; write [[auth.issuers]] on a line of its own and the issuer's keys below")
	}
	var bad []error
	out := make([]Issuer, len(tables))
	for i, table := range tables {
		out[i] = defaultIssuer()
		for _, err := range out[i].fromTable(table, v.check) {
			err.part = fmt.Sprintf("[%d].", i) + err.part
			bad = append(bad, err)
		}
	}
	if bad = append(bad, sameIssuers(out)...); len(bad) > 0 {
		return errors.Join(bad...)
	}
	*v.p = out
	return nil
}

// sameIssuers refuses a name or an iss claim that two issuers share, because a token would not say whose it is.
func sameIssuers(issuers []Issuer) (bad []error) {
	for i, a := range issuers {
		iss := cmp.Or(a.Issuer, a.Name)
		same := slices.IndexFunc(issuers[:i], func(b Issuer) bool {
			return a.Name != "" && (a.Name == b.Name || iss == cmp.Or(b.Issuer, b.Name))
		})
		switch {
		case same < 0:
		case a.Name == issuers[same].Name:
			bad = append(bad, &partError{fmt.Sprintf("[%d].name", i), fmt.Errorf("%q is the name of another issuer, too; choose one of its own", a.Name)})
		default:
			bad = append(bad, &partError{fmt.Sprintf("[%d].issuer", i),
				fmt.Errorf("%q is that of another issuer, too; an app that changes its key has one table, and both keys in its key_file", iss)})
		}
	}
	return bad
}

// fromTable reads one table. The part of each error is a key of the table.
func (c *Issuer) fromTable(table map[string]any, check CheckIssuer) (bad []*partError) {
	if bad = readTable(table, c.keys()); len(bad) > 0 {
		return bad
	}
	switch n := c.keyCount(); {
	case n == 0:
		return append(bad, &partError{"secret", errors.New("is missing, and so are key_file and jwks_url; write one of them, to verify the app's tokens")})
	case n > 1:
		return append(bad, &partError{"secret", errors.New("a table may have only one of secret, key_file and jwks_url; remove the others")})
	}
	if check == nil {
		return nil
	}
	for _, fault := range check(c) {
		bad = append(bad, &partError{fault.Key, fault.Err})
	}
	return bad
}

// keyCount counts which of secret, key_file and jwks_url are set.
func (c *Issuer) keyCount() (n int) {
	for _, set := range []bool{!c.Secret.IsZero(), c.KeyFile != "", c.JWKSURL != ""} {
		if set {
			n++
		}
	}
	return n
}

func (v issuerList) fromText(s string) error {
	if s == "" {
		return nil
	}
	return errors.New("has no form as text; write [[auth.issuers]] tables into the configuration file")
}

// String writes a table a line, with the keys that are not at their defaults.
func (v issuerList) String() string {
	if len(*v.p) == 0 {
		return "[]"
	}
	var b strings.Builder
	b.WriteString("[\n")
	for i := range *v.p {
		plain := defaultIssuer()
		plainKeys := plain.keys()
		var words []string
		for j, k := range (*v.p)[i].keys() {
			if s := k.value.String(); s != plainKeys[j].value.String() || k.secret && !(*v.p)[i].Secret.IsZero() {
				words = append(words, k.name+" = "+s)
			}
		}
		fmt.Fprintf(&b, "  { %s },\n", strings.Join(words, ", "))
	}
	return b.String() + "]"
}

// IssuerKeyFile returns the path of an issuer's key file. A relative path starts from the configuration file's folder.
func (c *Config) IssuerKeyFile(i int) string {
	name := c.Auth.Issuers[i].KeyFile
	if c.file != "" && !filepath.IsAbs(name) {
		return filepath.Join(filepath.Dir(c.file), name)
	}
	return name
}
