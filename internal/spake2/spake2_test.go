package spake2

import (
	"bytes"
	"crypto/ecdh"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"os"
	"slices"
	"strings"
	"testing"

	"filippo.io/nistec"
)

// vector is a run, all of whose numbers are known. Web tests read the same files.
type vector struct {
	A, B               string // of rfc9382.json
	Words, Binding     string // of codes.json
	W, X, Y            string
	PA, PB, K          string
	Ke, Ka, KcA, KcB   string
	ConfirmA, ConfirmB string
	identities         Identities
	password           Password
	additional         []byte
}

func vectorsIn(t testing.TB, name string) (all []vector) {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	var raw []map[string]string
	if err := json.Unmarshal(text, &raw); err != nil {
		t.Fatal(err)
	}
	for _, m := range raw {
		v := vector{A: m["A"], B: m["B"], Words: m["words"], Binding: m["binding"], W: m["w"], X: m["x"], Y: m["y"], PA: m["pA"], PB: m["pB"],
			K: m["K"], Ke: m["Ke"], Ka: m["Ka"], KcA: m["KcA"], KcB: m["KcB"], ConfirmA: m["cA"], ConfirmB: m["cB"]}
		v.identities, v.password = Identities{v.A, v.B}, passwordOf([scalarSize]byte(decode(v.W)))
		if v.Words != "" {
			if v.password, err = NewPassword([]byte(v.Words), "turnpike code 1"); err != nil {
				t.Fatal(err)
			}
			v.identities, v.additional = Identities{"sender", "receiver"}, decode(v.Binding)
		}
		all = append(all, v)
	}
	if len(all) < 2 {
		t.Fatalf("%s has %d vectors", name, len(all))
	}
	return all
}

// TestVectors holds all of the RFC's vectors for P-256, and some of codes, whose numbers come from another implementation.
func TestVectors(t *testing.T) {
	for _, v := range slices.Concat(vectorsIn(t, "rfc9382.json"), vectorsIn(t, "codes.json")) {
		t.Run(v.Words+v.A+","+v.B, func(t *testing.T) {
			w := v.password.w()
			is(t, "w", w[:], v.W)
			a, err := start(A, v.password, v.identities, v.additional, [scalarSize]byte(decode(v.X)))
			check(t, err)
			b, err := start(B, v.password, v.identities, v.additional, [scalarSize]byte(decode(v.Y)))
			check(t, err)
			is(t, "pA", a.Share(), v.PA)
			is(t, "pB", b.Share(), v.PB)
			for _, side := range []struct {
				*Exchange
				theirs string
			}{{a, v.PB}, {b, v.PA}} {
				k, err := side.common(decode(side.theirs))
				check(t, err)
				is(t, "K", k, v.K)
			}
			keys, err := keysOf(transcript([]byte(v.identities.A), []byte(v.identities.B), decode(v.PA), decode(v.PB), decode(v.K), w[:]), v.additional)
			check(t, err)
			if v.Ke != "" {
				is(t, "Ke", keys.ke, v.Ke)
			}
			is(t, "Ka", keys.ka, v.Ka)
			is(t, "KcA", keys.kcA, v.KcA)
			is(t, "KcB", keys.kcB, v.KcB)
			ofA, err := a.Finish(b.Share())
			check(t, err)
			ofB, err := b.Finish(a.Share())
			check(t, err)
			is(t, "cA", ofA.Confirmation(), v.ConfirmA)
			is(t, "cB", ofB.Confirmation(), v.ConfirmB)
			if !ofA.Confirms(decode(v.ConfirmB)) || !ofB.Confirms(decode(v.ConfirmA)) {
				t.Error("a right confirmation is refused")
			}
		})
	}
}

func is(t *testing.T, what string, got []byte, want string) {
	t.Helper()
	if hex.EncodeToString(got) != want {
		t.Errorf("%s is %x, want %s", what, got, want)
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func password(t testing.TB, words string) Password {
	t.Helper()
	p, err := NewPassword([]byte(words), "tests")
	check(t, err)
	return p
}

func begun(t testing.TB, role Role, words string, who Identities, additional string) *Exchange {
	t.Helper()
	e, err := Start(role, password(t, words), who, []byte(additional))
	check(t, err)
	return e
}

func finished(t testing.TB, e *Exchange, theirs []byte) *Confirmer {
	t.Helper()
	c, err := e.Finish(theirs)
	check(t, err)
	return c
}

// TestConfirmation tries all in which two sides can differ. Only two that are alike confirm each other.
func TestConfirmation(t *testing.T) {
	who := Identities{"sender", "receiver"}
	for _, c := range []struct {
		name, words, additional string
		who                     Identities
		want                    bool
	}{
		{"alike", "crossover-clockwork", "one connection", who, true},
		{"other words", "crossover-cobra", "one connection", who, false},
		{"another connection", "crossover-clockwork", "another one", who, false},
		{"another sender", "crossover-clockwork", "one connection", Identities{"somebody", "receiver"}, false},
		{"swapped", "crossover-clockwork", "one connection", Identities{"receiver", "sender"}, false},
	} {
		a, b := begun(t, A, "crossover-clockwork", who, "one connection"), begun(t, B, c.words, c.who, c.additional)
		ofA, ofB := finished(t, a, b.Share()), finished(t, b, a.Share())
		if ofA.Confirms(ofB.Confirmation()) != c.want || ofB.Confirms(ofA.Confirmation()) != c.want {
			t.Errorf("%s: the confirmations are not %v", c.name, c.want)
		}
		if ofA.Confirms(ofA.Confirmation()) || ofB.Confirms(ofB.Confirmation()) {
			t.Errorf("%s: a side takes its own confirmation", c.name)
		}
		for _, text := range [][]byte{nil, {}, make([]byte, ConfirmationSize), append(ofB.Confirmation(), 0), ofB.Confirmation()[1:]} {
			if ofA.Confirms(text) {
				t.Errorf("%s: %x confirms", c.name, text)
			}
		}
	}
}

// TestReflection has a side meet its own share, as another A and as B: what comes back confirms nothing.
func TestReflection(t *testing.T) {
	a := begun(t, A, "words", Identities{}, "")
	of := finished(t, a, a.Share())
	if of.Confirms(of.Confirmation()) {
		t.Error("a reflected run is confirmed")
	}
	one, two := begun(t, A, "words", Identities{}, ""), begun(t, A, "words", Identities{}, "")
	if finished(t, one, two.Share()).Confirms(finished(t, two, one.Share()).Confirmation()) {
		t.Error("two sides of one role confirm each other")
	}
}

// TestOneAnswer holds that a share answers one other share: each further one would be another guess.
func TestOneAnswer(t *testing.T) {
	a := begun(t, A, "words", Identities{}, "")
	if _, err := a.Finish([]byte("no share")); !errors.Is(err, ErrShare) {
		t.Errorf("no share: %v", err)
	}
	if _, err := a.Finish(begun(t, B, "words", Identities{}, "").Share()); err == nil || errors.Is(err, ErrShare) {
		t.Errorf("a second share is taken: %v", err)
	}
	if bytes.Equal(begun(t, A, "words", Identities{}, "").Share(), begun(t, A, "words", Identities{}, "").Share()) {
		t.Error("two runs have one share")
	}
}

// badShares are of one who knows w*N, too: what A takes away leaves the point at infinity, and K is the same whatever A has drawn.
func badShares(t testing.TB, e *Exchange) map[string][]byte {
	blind, err := e.blind(B)
	check(t, err)
	good := begun(t, B, "words", Identities{}, "").Share()
	point, err := nistec.NewP256Point().SetBytes(good)
	check(t, err)
	field, _ := new(big.Int).SetString("ffffffff00000001000000000000000000000000ffffffffffffffffffffffff", 16)
	wide := new(big.Int).Add(field, big.NewInt(5)) // 5 is the x of a point; 5+p must not be another spelling of it
	five, err := nistec.NewP256Point().SetBytes(append([]byte{2}, big.NewInt(5).FillBytes(make([]byte, 32))...))
	check(t, err)
	spelled := slices.Concat([]byte{4}, wide.FillBytes(make([]byte, 32)), five.Bytes()[33:])
	flipped := slices.Clone(good)
	flipped[64] ^= 1
	hybrid := slices.Clone(good)
	hybrid[0] = 6 + good[64]&1
	return map[string][]byte{
		"nothing": nil, "infinity": {0}, "infinity in 65 bytes": make([]byte, ShareSize), "compressed": point.BytesCompressed(), "hybrid": hybrid,
		"off the curve": flipped, "x beyond the field": spelled, "too short": good[:64], "too long": append(slices.Clone(good), 0), "w*N": blind.Bytes(),
		"4 and zeros": append([]byte{4}, make([]byte, 64)...), "4 and ones": append([]byte{4}, bytes.Repeat([]byte{0xff}, 64)...),
	}
}

// TestBadShares holds that a side answers only points that another could have drawn.
func TestBadShares(t *testing.T) {
	for name, share := range badShares(t, begun(t, A, "words", Identities{}, "")) {
		if _, err := begun(t, A, "words", Identities{}, "").Finish(share); !errors.Is(err, ErrShare) {
			t.Errorf("%s: %x is answered: %v", name, share, err)
		}
	}
}

// TestNothingIsPrinted holds that no way of printing shows a secret, also not from the inside of a struct of others.
func TestNothingIsPrinted(t *testing.T) {
	secret := password(t, "crossover-clockwork")
	e, err := Start(A, secret, Identities{"sender", "receiver"}, []byte("connection"))
	check(t, err)
	w, s := secret.w(), *e.secrets()
	c := finished(t, begun(t, A, "words", Identities{}, ""), begun(t, B, "words", Identities{}, "").Share())
	holder := struct {
		password  Password
		exchange  *Exchange
		confirmer *Confirmer
		plain     Exchange
	}{secret, e, c, *e}
	var logged bytes.Buffer
	slog.New(slog.NewTextHandler(&logged, nil)).Info("run", "password", secret, "exchange", e, "confirmer", c)
	out := logged.String()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
		for _, thing := range []any{secret, e, c, holder, &holder} {
			out += fmt.Sprintf(verb, thing) + "\n"
		}
	}
	for what, b := range map[string][]byte{"w": w[:], "the number drawn": s.ephemeral[:], "the expected confirmation": c.expected()} {
		for _, text := range []string{hex.EncodeToString(b[:6]), strings.Trim(fmt.Sprint(b[:6]), "[]"), strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", b[:6]), "[]byte{"), "}")} {
			if strings.Contains(strings.ToLower(out), text) {
				t.Errorf("%s is printed: %s", what, text)
			}
		}
	}
	if n := strings.Count(out, redacted); n < 3 {
		t.Errorf("%d things print as redacted:\n%s", n, out)
	}
}

// FuzzFinish feeds what a peer can send. A share is answered just if it is a point of P-256 as crypto/ecdh reads it.
func FuzzFinish(f *testing.F) {
	for _, v := range vectorsIn(f, "rfc9382.json") {
		f.Add(decode(v.PB), decode(v.ConfirmB))
	}
	for _, share := range badShares(f, begun(f, A, "words", Identities{}, "")) {
		f.Add(share, []byte("no confirmation"))
	}
	blind := badShares(f, begun(f, A, "words", Identities{}, ""))["w*N"]
	f.Fuzz(func(t *testing.T, share, confirmation []byte) {
		e := begun(t, A, "words", Identities{}, "")
		c, err := e.Finish(share)
		_, bad := ecdh.P256().NewPublicKey(share)
		if isBad := bad != nil || bytes.Equal(share, blind); isBad != (err != nil) {
			t.Fatalf("%x: %v, but crypto/ecdh says %v", share, err, bad)
		}
		if err == nil && c.Confirms(confirmation) {
			t.Fatalf("%x confirms", confirmation)
		}
	})
}
