package machine

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.org/turnpike/auth"
)

// boundStream is a stream with a binding.
type boundStream struct {
	net.Conn
	binding []byte
}

func (s boundStream) ChannelBinding() ([]byte, error) {
	if s.binding == nil {
		return nil, errors.New("no binding")
	}
	return s.binding, nil
}

var binding, otherBinding = bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)

type result struct {
	Proven
	err error
}

// exchangeOf runs both sides on a stream with these bindings.
func exchangeOf(t *testing.T, opener, accepter *Machine, ofOpener, ofAccepter []byte) (atOpener, atAccepter result) {
	t.Helper()
	a, b := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer b.Close()
		atAccepter.Proven, atAccepter.err = Exchange(t.Context(), boundStream{b, ofAccepter}, Accepter, accepter)
	}()
	atOpener.Proven, atOpener.err = Exchange(t.Context(), boundStream{a, ofOpener}, Opener, opener)
	_ = a.Close()
	<-done
	return atOpener, atAccepter
}

func TestExchange(t *testing.T) {
	nas, laptop := newMachine(t, "nas"), newMachine(t, "laptop")
	a, b := exchangeOf(t, laptop, nas, binding, binding)
	if a.err != nil || a.Name != "nas" || !a.Key.Equal(nas.Key()) || b.err != nil || b.Name != "laptop" || !b.Key.Equal(laptop.Key()) {
		t.Errorf("both machines: %+v, %+v", a, b)
	}
	a, b = exchangeOf(t, nil, nas, binding, binding)
	if a.err != nil || a.Name != "nas" || b.err != nil || b.IsMachine() {
		t.Errorf("the opener is none: %+v, %+v", a, b)
	}
	a, b = exchangeOf(t, laptop, nil, binding, binding)
	if a.err != nil || a.IsMachine() || b.Name != "laptop" {
		t.Errorf("the accepter is none: %+v, %+v", a, b)
	}
	if a, b = exchangeOf(t, laptop, nas, binding, otherBinding); !errors.Is(b.err, ErrBadProof) || a.err == nil || a.IsMachine() {
		t.Errorf("somebody in between: %+v, %+v", a, b)
	}
}

// TestExchangeRefuses: no line proves a key but one that was signed for this side of this stream.
func TestExchangeRefuses(t *testing.T) {
	nas, pi := newMachine(t, "nas"), newMachine(t, "pi")
	line := func(m *Machine, role Role, binding []byte) string {
		t.Helper()
		text, err := ownLine(role, binding, m)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	good := line(nas, Accepter, binding)
	if p, err := parseProof([]byte(good), Accepter, binding); err != nil || p.Name != "nas" {
		t.Fatalf("%v, %v", p, err)
	}
	stolenKey := proof{}
	if err := json.Unmarshal([]byte(line(pi, Accepter, binding)), &stolenKey); err != nil {
		t.Fatal(err)
	}
	stolenKey.Key = auth.EncodeMachineKey(nas.Key())
	stolen, _ := json.Marshal(stolenKey)
	for what, text := range map[string]string{
		"reflected":            line(nas, Opener, binding),
		"of another stream":    line(nas, Accepter, otherBinding),
		"another's key":        string(stolen),
		"no signature":         `{"name":"nas","key":"` + auth.EncodeMachineKey(nas.Key()) + `"}`,
		"a name alone":         `{"name":"nas"}`,
		"a bad name":           strings.Replace(good, `"nas"`, `"na s"`, 1),
		"two objects":          strings.TrimSpace(good) + "{}",
		"a signature with end": strings.Replace(good, `"}`, `=="}`, 1),
		"no JSON":              "nas",
		"nothing":              "",
	} {
		if p, err := parseProof([]byte(text), Accepter, binding); !errors.Is(err, ErrBadProof) {
			t.Errorf("%s: %v, %v", what, p, err)
		}
	}
}

// TestExchangeWithOthers: what answers may be no program of ours, or hostile.
func TestExchangeWithOthers(t *testing.T) {
	nas := newMachine(t, "nas")
	answer := func(text string, ends bool) error {
		t.Helper()
		a, b := net.Pipe()
		go func() { _, _ = io.Copy(io.Discard, b) }()
		go func() {
			_, _ = io.WriteString(b, text)
			if ends {
				_ = b.Close()
			}
		}()
		defer b.Close()
		p, err := Exchange(t.Context(), boundStream{a, binding}, Opener, nas)
		if err == nil || p.IsMachine() {
			t.Errorf("%.20q: %v, %v", text, p, err)
		}
		return err
	}
	if e, ok := errors.AsType[*RefusedError](answer("error: no \xffTCP port is allowed here\n", false)); !ok || e.Why != "no \uFFFDTCP port is allowed here" {
		t.Errorf("a refusal: %v", e)
	}
	if err := answer("ok\n"+strings.Repeat(" ", 2*maxProof), false); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("a long line: %v", err)
	}
	if err := answer("ok\n", true); !errors.Is(err, io.EOF) {
		t.Errorf("an end: %v", err)
	}
	if err := answer("ok\n{}\n{}\n", true); !errors.Is(err, ErrBadProof) {
		t.Errorf("more than a proof: %v", err)
	}
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if p, err := Exchange(t.Context(), boundStream{Conn: a}, Opener, nas); err == nil {
		t.Errorf("no binding: %v", p)
	}
}

// TestExchangeIsBounded: a side that says nothing holds nobody up for long, and Ctrl-C does not wait for it.
func TestExchangeIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, role := range []Role{Opener, Accepter} {
			a, b := net.Pipe()
			go func() { _, _ = io.Copy(io.Discard, b) }()
			begin := time.Now()
			if _, err := Exchange(t.Context(), boundStream{a, binding}, role, nil); err == nil || time.Since(begin) != exchangeTime {
				t.Errorf("%s: %v after %v", role, err, time.Since(begin))
			}
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			if _, err := Exchange(ctx, boundStream{a, binding}, role, nil); !errors.Is(err, context.Canceled) || time.Since(begin) != exchangeTime+time.Second {
				t.Errorf("%s: %v after %v", role, err, time.Since(begin))
			}
			_ = b.Close()
		}
	})
}

func FuzzProof(f *testing.F) {
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
	good, err := ownLine(Opener, binding, &Machine{Name: "nas", key: key})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte("{}\n"))
	f.Add([]byte(`{"name":"nas","key":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","signature":""}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		p, err := parseProof(line, Opener, binding)
		if err != nil || !p.IsMachine() {
			if p.Name != "" || p.Key != nil {
				t.Errorf("%q: %v with %v", line, p, err)
			}
			return
		}
		var said map[string]any
		if err := json.Unmarshal(line, &said); err != nil {
			t.Fatalf("%q is no JSON: %v", line, err)
		}
		var last proof
		_ = json.Unmarshal(line, &last)
		signature, err := base64.RawURLEncoding.DecodeString(last.Signature)
		if err != nil || !ed25519.Verify(p.Key, []byte("turnpike machine 1\x00opener\x00"+string(binding)), signature) || !auth.IsMachineName(p.Name) {
			t.Errorf("%q proves %v", line, p)
		}
	})
}
