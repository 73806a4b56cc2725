package signaling

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"example.org/turnpike/auth"
	"example.org/turnpike/internal/memlisten"
	"example.org/turnpike/signal"
	"example.org/turnpike/signal/wire"
)

var (
	seed  = flag.Uint64("nothinglost.seed", 0, "play the game of this seed alone")
	games = flag.Int("nothinglost.games", 20, "how many games to play")
)

const steps = 400

// TestNothingIsLost: the server carries out each request once and answers it, and the client hears each message once and in order,
// whatever happens to connections and to the server. web/test/nothinglost.test.js plays the same with the browsers' SDK, and
// TestNothingIsLost of signal/ with the server.
func TestNothingIsLost(t *testing.T) {
	seeds := make([]uint64, *games)
	for i := range seeds {
		seeds[i] = mathrand.Uint64()
	}
	if *seed != 0 {
		seeds = []uint64{*seed}
	}
	counts := map[string]int{}
	for _, seed := range seeds {
		synctest.Test(t, func(t *testing.T) {
			g := newGame(t, seed)
			g.play()
			for what, n := range g.counts() {
				counts[what] += n
			}
		})
		if t.Failed() {
			t.Fatalf("go test ./client/internal/signaling -run TestNothingIsLost -nothinglost.seed=%d plays this game again", seed)
		}
	}
	t.Log(counts)
	if *seed != 0 {
		return
	}
	for _, what := range []string{"replayed", "restored", "anew", "broken", "silent", "half dead", "unreachable", "doubled", "restarts"} {
		if counts[what] < *games/4 {
			t.Errorf("%d %s in %d games", counts[what], what, *games)
		}
	}
}

// game is one client on a bad network, another on a good one, and one server after the other.
type game struct {
	t       *testing.T
	random  *mathrand.Rand
	network *faultyNetwork
	ended   *auth.Ended

	tab, mate *player // tab is on the bad network

	mu       sync.Mutex
	server   *signal.Server
	serving  *http.Server
	listener *memlisten.Listener
	process  int // of the server, from 1

	made    int            // numbers given to what was said, in all directions
	signals []int          // of the tab
	heard   map[string]int // the process in which the mate last heard a request of the tab
	lastUp  int            // the last signal that the mate has heard
	lastDn  int            // the last number that the tab has heard
	said    map[int]bool   // what the mate has said with success, and the tab has not heard
	mayMiss int            // numbers up to here may be missing
	count   map[string]int
}

func newGame(t *testing.T, seed uint64) *game {
	g := &game{t: t, random: mathrand.New(mathrand.NewPCG(seed, 1)), ended: auth.NewEnded(time.Now),
		heard: map[string]int{}, said: map[int]bool{}, count: map[string]int{}}
	g.network = &faultyNetwork{dial: g.dial, random: mathrand.New(mathrand.NewPCG(seed, 2)), open: map[*faultyConn]bool{}, counts: map[string]int{}}
	g.begin()
	return g
}

func (g *game) begin() {
	many := signal.Rate{PerSecond: 1000, Burst: 1000}
	cfg := signal.Config{VerifyTicket: func(token string) (auth.Ticket, error) {
		return auth.Ticket{User: auth.User{Issuer: auth.Issuer, Subject: token}, Name: token, Role: auth.RoleMember, Rooms: []string{"*"}}, nil
	}, ResumeWindow: 30 * time.Second, Ended: g.ended,
		ResumeTokens: auth.NewResumeTokens(auth.NewSecret([]byte("secret of the tests, 32 bytes or more")), time.Now, rand.Reader)}
	cfg.Limits.Joins, cfg.Limits.UserJoins, cfg.Limits.AddrJoins, cfg.Limits.AddrHellos = many, many, many, many
	srv := signal.New(cfg)
	l := memlisten.New()
	serving := &http.Server{Handler: srv}
	g.mu.Lock()
	g.server, g.serving, g.listener = srv, serving, l
	g.process++
	g.mu.Unlock()
	go func() { _ = serving.Serve(l) }()
}

func (g *game) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := g.server.Shutdown(ctx); err != nil {
		g.t.Errorf("Shutdown: %v", err)
	}
	_ = g.serving.Close()
}

// dial opens a WebSocket over memory.
func (g *game) dial(ctx context.Context, heard func()) (Conn, error) {
	d := websocket.Dialer{Subprotocols: []string{wire.Subprotocol}, NetDialContext: func(context.Context, string, string) (net.Conn, error) {
		g.mu.Lock()
		l := g.listener
		g.mu.Unlock()
		return l.Dial()
	}}
	conn, _, err := d.DialContext(ctx, "ws://turnpike.test/signal", nil)
	if err != nil {
		return nil, err
	}
	pong := conn.PingHandler()
	conn.SetPingHandler(func(data string) error {
		heard()
		return pong(data)
	})
	return webSocket{conn}, nil
}

// player is one client, and its handler.
type player struct {
	*Signaling
	g     *game
	name  string
	quiet sync.WaitGroup // requests that wait
	done  func(wire.Message)

	// Guarded by game.mu.
	session, other string
	in             bool
}

func (g *game) player(name string, dial Dial, hears func(wire.Message)) *player {
	p := &player{g: g, name: name, done: hears}
	p.Signaling = New(Config{Dial: dial, Handler: p, Random: g.network.dice,
		Ticket: func(context.Context, bool) (string, error) { return name, nil }})
	for p.Open(g.t.Context()) != nil { // it tries once
		p.Signaling = New(p.cfg)
	}
	return p
}

func (p *player) Welcome(w *wire.Welcome, how How) {
	p.g.mu.Lock()
	defer p.g.mu.Unlock()
	p.session = w.Session
	if how != Replayed {
		p.in = false
		p.g.begunAnew()
	}
	for _, r := range w.Rooms {
		p.in = p.in || how == Replayed || r.Room == "x"
		if how == Restored && len(r.Peers) > 0 {
			p.other = r.Peers[0].Session
		}
	}
	p.g.count[map[How]string{First: "first", Replayed: "replayed", Restored: "restored", Anew: "anew"}[how]]++
	if !p.in {
		p.join()
	}
}

// join joins the room again. The other may still hold the place of a former session.
func (p *player) join() {
	pending, err := p.Ask(&wire.Join{Room: "x", Create: true, Size: 8})
	if err != nil {
		return
	}
	p.quiet.Go(func() {
		if _, err := pending.Wait(context.Background()); err != nil && retryable(err) {
			p.join()
		}
	})
}

// begunAnew notes that what was said until now may be lost. The caller holds mu.
func (g *game) begunAnew() { g.mayMiss = g.made }

func (p *player) Online(How)             {}
func (p *player) Lost(*Error)            {}
func (p *player) Needed() bool           { return true }
func (p *player) Expiring(time.Duration) {}

func (p *player) Dropped() {
	p.g.mu.Lock()
	defer p.g.mu.Unlock()
	p.g.count["dropped"]++
	p.g.begunAnew()
}

func (p *player) Message(m wire.Message) {
	p.g.mu.Lock()
	defer p.g.mu.Unlock()
	switch m := m.(type) {
	case *wire.Joined:
		p.in = true
		p.g.begunAnew()
		for _, peer := range m.Peers {
			p.other = peer.Session
		}
	case *wire.PeerJoined:
		p.other = m.Peer.Session
		p.g.begunAnew()
	case *wire.PeerLeft:
		p.g.begunAnew()
	default:
		p.done(m)
	}
}

// mateHears judges what the mate hears of the tab. The caller holds mu.
func (g *game) mateHears(m wire.Message) {
	switch m := m.(type) {
	case *wire.Data:
		op := string(m.Data)
		if g.heard[op] == g.process {
			g.t.Errorf("request %s was carried out twice", op)
		}
		g.heard[op] = g.process
	case *wire.Forward:
		var c struct{ Candidate string }
		if err := json.Unmarshal(m.Candidate, &c); err != nil {
			g.t.Error(err)
		}
		n, _ := strconv.Atoi(c.Candidate)
		if n <= g.lastUp {
			g.t.Errorf("signal %d came after %d", n, g.lastUp)
		}
		for _, missed := range g.signals {
			if missed > g.lastUp && missed > g.mayMiss && missed < n {
				g.t.Errorf("signal %d is lost: %d came after %d, and up to %d may be missing", missed, n, g.lastUp, g.mayMiss)
			}
		}
		g.lastUp = n
		g.signals = slices.DeleteFunc(g.signals, func(s int) bool { return s <= n })
	}
}

// tabHears judges what the tab hears of the mate. The caller holds mu.
func (g *game) tabHears(m wire.Message) {
	data, ok := m.(*wire.Data)
	if !ok {
		return
	}
	n, _ := strconv.Atoi(string(data.Data))
	if n <= g.lastDn {
		g.t.Errorf("message %d came after %d", n, g.lastDn)
	}
	for missed := range g.said {
		if missed > g.mayMiss && missed < n {
			g.t.Errorf("message %d is lost: %d came after %d, and up to %d may be missing", missed, n, g.lastDn, g.mayMiss)
		}
		if missed <= n {
			delete(g.said, missed)
		}
	}
	g.lastDn = n
}

func (g *game) next() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.made++
	return g.made
}

// ask makes a request of the tab that the server must carry out once.
func (g *game) ask() {
	op := fmt.Sprint(g.next())
	p := g.tab
	p.quiet.Go(func() {
		_, err := p.Request(context.Background(), &wire.Say{Room: "x", Data: json.RawMessage(op)})
		g.mu.Lock()
		defer g.mu.Unlock()
		g.count["asked"]++
		e, failed := errors.AsType[*Error](err)
		switch n, _ := strconv.Atoi(op); {
		case err == nil && g.heard[op] == 0 && n > g.mayMiss:
			g.count["answered before it was heard"]++ // it is on its way to the mate; the end of the game looks again
			g.heard[op] = 0
		case failed && e.Code == string(wire.CodeRateLimited) && g.heard[op] > 0:
			g.t.Errorf("request %s was refused, and carried out", op)
		case failed && e.Code != CodeOffline && e.Code != string(wire.CodeNotInRoom) && e.Code != string(wire.CodeRateLimited):
			g.t.Errorf("request %s: %v", op, err)
		}
	})
}

// signal sends a message of the tab that has no answer.
func (g *game) signal() {
	n := g.next()
	g.mu.Lock()
	to := g.tab.other
	if to == "" {
		g.mu.Unlock()
		return
	}
	g.signals = append(g.signals, n)
	g.mu.Unlock()
	candidate := json.RawMessage(fmt.Sprintf(`{"candidate":"%d"}`, n))
	if err := g.tab.Send(&wire.Signal{Room: "x", To: to, Payload: wire.Payload{Candidate: candidate}}); err != nil {
		g.t.Errorf("signal %d: %v", n, err)
	}
}

// say has the mate say something to the tab.
func (g *game) say() {
	n := g.next()
	g.mu.Lock()
	to := g.mate.other
	g.mu.Unlock()
	if to == "" {
		return
	}
	pending, err := g.mate.Ask(&wire.Say{Room: "x", To: []string{to}, Data: json.RawMessage(fmt.Sprint(n))})
	if err != nil {
		return // too many wait
	}
	g.mate.quiet.Go(func() {
		answer, err := pending.Wait(context.Background())
		g.mu.Lock()
		defer g.mu.Unlock()
		if said, ok := answer.(*wire.Said); ok && err == nil && len(said.Missed) == 0 && n > g.lastDn {
			g.said[n] = true
		}
	})
}

func (g *game) play() {
	g.mate = g.player("mate", g.dial, g.mateHears)
	g.tab = g.player("tab", g.network.Dial, g.tabHears)
	for range steps {
		g.step(g.random.Float64())
		time.Sleep(time.Duration(g.random.Float64() * 800 * float64(time.Millisecond)))
		if g.t.Failed() {
			break
		}
	}
	g.network.calmDown()
	for range 3 { // a client that has not noticed a dead connection notices it by sending
		g.signal()
		g.say()
		time.Sleep(time.Minute)
	}
	g.ask()
	time.Sleep(time.Minute)
	g.tab.quiet.Wait() // every question has its answer
	g.mate.quiet.Wait()
	g.judgeTheEnd()
	g.tab.Close()
	g.mate.Close()
	g.network.wait()
	g.stop()
	synctest.Wait()
}

// judgeTheEnd holds that what was said last has arrived.
func (g *game) judgeTheEnd() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, n := range g.signals {
		if n > g.mayMiss {
			g.t.Errorf("signal %d has not arrived; up to %d may be missing", n, g.mayMiss)
		}
	}
	for n := range g.said {
		if n > g.mayMiss {
			g.t.Errorf("message %d has not arrived; up to %d may be missing", n, g.mayMiss)
		}
	}
	for op, process := range g.heard {
		if n, _ := strconv.Atoi(op); process == 0 && n > g.mayMiss {
			g.t.Errorf("request %s was answered, and not carried out", op)
		}
	}
	if g.lastUp <= g.mayMiss || g.lastDn <= g.mayMiss || g.heard[fmt.Sprint(g.made)] == 0 {
		g.t.Errorf("the last signal is %d, the last message %d, of %d; up to %d may be missing", g.lastUp, g.lastDn, g.made, g.mayMiss)
	}
}

func (g *game) step(dice float64) {
	several := func(most float64, do func()) {
		for range int(g.random.Float64() * most) {
			do()
		}
	}
	switch {
	case dice < 0.3:
		g.ask()
	case dice < 0.55:
		g.signal()
	case dice < 0.8:
		g.say()
	case dice < 0.84:
		several(60, g.say)
	case dice < 0.87:
		several(60, g.signal)
	case dice < 0.88:
		several(60, g.ask)
	case dice < 0.884:
		several(400, g.ask)
	case dice < 0.888:
		several(400, g.signal)
	case dice < 0.92:
		g.tab.NetworkChanged()
	case dice < 0.94:
		g.tab.Doubt()
	case dice < 0.955:
		g.restart()
	case dice < 0.96:
		g.outage()
	}
}

// restart has another process of the server take over.
func (g *game) restart() {
	g.mu.Lock()
	g.count["restarts"]++
	g.mu.Unlock()
	g.stop()
	g.mu.Lock()
	g.begunAnew()
	g.mu.Unlock()
	g.begin()
}

// outage keeps the tab away for so long that its session ends.
func (g *game) outage() {
	g.network.mu.Lock()
	dial := g.network.dial
	g.network.dial = func(context.Context, func()) (Conn, error) { return nil, errors.New("an outage") }
	g.network.mu.Unlock()
	g.network.breakAll()
	time.Sleep(2 * time.Minute)
	g.network.mu.Lock()
	g.network.dial = dial
	g.network.mu.Unlock()
}

func (g *game) counts() map[string]int {
	all := maps.Clone(g.count)
	for what, n := range g.network.counts {
		all[what] += n
	}
	return all
}
