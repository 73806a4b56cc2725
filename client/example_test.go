package client_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"example.org/turnpike/client"
)

// Two programs meet in a room, and one asks the other something over a stream.
func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	url, stop := exampleServer()
	defer stop()

	// One program joins a room, and answers whatever comes.
	answering, err := client.Dial(ctx, client.Config{URL: url, Name: "Ann"})
	if err != nil {
		log.Fatal(err)
	}
	defer answering.Close()
	lobby, err := answering.Join(ctx, "lobby", client.JoinOptions{Create: true})
	if err != nil {
		log.Fatal(err)
	}
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		conn, err := lobby.Accept(ctx)
		if err != nil {
			log.Fatal(err)
		}
		defer conn.Close()
		question, err := io.ReadAll(conn)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Fprintf(conn, "%s, you said %q on the stream %s", conn.Peer().Name(), question, conn.Name())
	}()

	// Another program, on another machine, finds it there.
	asking, err := client.Dial(ctx, client.Config{URL: url, Name: "Bob"})
	if err != nil {
		log.Fatal(err)
	}
	defer asking.Close()
	room, err := asking.Join(ctx, "lobby", client.JoinOptions{})
	if err != nil {
		log.Fatal(err)
	}
	ann, err := room.WaitPeer(ctx, func(p *client.Peer) bool { return p.Name() == "Ann" })
	if err != nil {
		log.Fatal(err)
	}
	conn, err := ann.Open(ctx, "question")
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "hello")
	if err := conn.CloseWrite(); err != nil {
		log.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(answer))
	<-answered

	// Output: Bob, you said "hello" on the stream question
}

// exampleServer starts a server in this process.
func exampleServer() (url string, stop func()) {
	dir, err := os.MkdirTemp("", "turnpike-example")
	if err != nil {
		log.Fatal(err)
	}
	s, err := startServer(dir)
	if err != nil {
		log.Fatal(err)
	}
	return s.url, func() {
		s.stop()
		_ = os.RemoveAll(dir)
	}
}
