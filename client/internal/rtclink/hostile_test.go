package rtclink

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"example.org/turnpike/client/internal/link"
)

// rawOf is the channel below a stream, for what no stream says.
func rawOf(s link.Stream) rawChannel { return s.(*Stream).raw }

// TestNotAStream has the other side say on a stream's channel what may not be there. That stream ends, and no other one.
func TestNotAStream(t *testing.T) {
	a, b := connectedPair(t)
	good, end := streams(t, a, b, "good")
	for text, want := range map[string]string{"hello": "a page must send bytes", readMark: "was not sent", "": "a page must send bytes"} {
		there, here := streams(t, a, b, "bad")
		rawOf(there).WriteDataChannel([]byte(text), true)
		here.SetReadDeadline(time.Now().Add(20 * time.Second))
		if _, err := here.Read(make([]byte, 1)); !errors.Is(err, errReset) || !strings.Contains(err.Error(), want) {
			t.Errorf("after the text %q, a read ends with %v", text, err)
		}
		there.SetReadDeadline(time.Now().Add(20 * time.Second))
		if _, err := there.Read(make([]byte, 1)); !errors.Is(err, errReset) {
			t.Errorf("and the other side's with %v", err)
		}
	}

	there, here := streams(t, a, b, "goes on after its end")
	there.CloseWrite()
	rawOf(there).WriteDataChannel([]byte("more"), false)
	if got, err := io.ReadAll(here); err != nil || len(got) != 0 {
		t.Errorf("after its end, %q came, %v", got, err)
	}
	eventually(t, func() error {
		if _, err := here.Write([]byte("x")); err == nil {
			return errors.New("the stream goes on")
		}
		return nil
	})
	if err := echo(good, end, "still here"); err != nil {
		t.Error(err)
	}
}

// TestLongMessages takes a message of as many bytes as may be at once, and gives the connection up for a longer one.
func TestLongMessages(t *testing.T) {
	a, b := connectedPair(t)
	there, here := streams(t, a, b, "long")
	rawOf(there).WriteDataChannel(bytes.Repeat([]byte("x"), maxMessage), false)
	if n, err := io.ReadFull(here, make([]byte, maxMessage)); err != nil {
		t.Fatalf("read %d bytes, %v", n, err)
	}
	<-b.paths
	rawOf(there).WriteDataChannel(make([]byte, maxMessage+1), false)
	if path := <-b.paths; path != (link.Path{}) {
		t.Errorf("the connection goes on, by %v", path)
	}
	if _, err := here.Read(make([]byte, 1)); !errors.Is(err, errReset) {
		t.Errorf("a read ends with %v", err)
	}
}

// TestLongChat takes the longest message on the channel of the SDK.
func TestLongChat(t *testing.T) {
	a, b := connectedPair(t)
	streams(t, a, b, "up")
	up := make(chan *carrier)
	a.post(func() { up <- a.current.carrier })
	c := <-up
	text := strings.Repeat("x", maxChatMessage-len(`{"type":"data","topic":"t","data":""}`))
	c.write([]byte(`{"type":"data","topic":"t","data":"` + text + `"}`))
	if m := <-b.messages; m.Topic != "t" || len(m.Data) != len(text)+2 {
		t.Errorf("the program gets %d bytes of %q", len(m.Data), m.Topic)
	}
	// pion sends no message that is longer than the other side says that it takes.
	c.write([]byte(`{"type":"data","topic":"t","data":"` + text + `x"}`))
	c.write([]byte(`{"type":"data","topic":"t","data":1}`))
	if m := <-b.messages; string(m.Data) != "1" {
		t.Errorf("the program gets %d bytes", len(m.Data))
	}
}

// TestCrowd opens more streams than wait to be accepted, and more channels than there may be.
func TestCrowd(t *testing.T) {
	a, b := newPair(t)
	b.channels = maxAccepting + 8
	connect(t, a, b)
	connect(t, b, a)
	there, _ := streams(t, a, b, "first")
	<-b.paths
	ctx := within(t, 60*time.Second)
	for i := range maxAccepting {
		if _, err := a.Open(ctx, "many"); err != nil {
			t.Fatal(err)
		}
		eventually(t, func() error { // One by one, or SCTP takes its time.
			if n := len(b.accepting); n != i+1 {
				return fmt.Errorf("%d streams wait to be accepted", n)
			}
			return nil
		})
	}
	more, err := a.Open(ctx, "one more")
	if err != nil {
		t.Fatal(err)
	}
	more.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := more.Read(make([]byte, 1)); !errors.Is(err, errReset) {
		t.Errorf("one more stream ends with %v", err)
	}
	up := make(chan *carrier)
	a.post(func() { up <- a.current.carrier })
	c := <-up
	for range 9 { // As somebody does who counts nothing.
		if _, err := c.pc.CreateDataChannel("crowd", nil); err != nil {
			break
		}
	}
	there.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := there.Read(make([]byte, 1)); !errors.Is(err, errReset) {
		t.Errorf("the connection goes on, and a read ends with %v", err)
	}
}

// TestArrivedIsRead holds that what has arrived can be read though the other side is gone.
func TestArrivedIsRead(t *testing.T) {
	a, b := connectedPair(t)
	there, here := streams(t, a, b, "rest")
	data := bytes.Repeat([]byte("rest"), 50_000)
	if _, err := there.Write(data); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		if n := rawOf(there).BufferedAmount(); n > 0 {
			return fmt.Errorf("%d bytes have not arrived", n)
		}
		return nil
	})
	<-b.paths
	a.Close()
	if path := <-b.paths; path != (link.Path{}) {
		t.Errorf("there is a path, %v", path)
	}
	got, err := io.ReadAll(here)
	if !errors.Is(err, errReset) || !bytes.Equal(got, data) {
		t.Errorf("read %d of %d bytes, %v", len(got), len(data), err)
	}
}
