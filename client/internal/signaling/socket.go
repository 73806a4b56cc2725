package signaling

import (
	"context"
	"sync"
)

// Conn is one WebSocket. ReadMessage fails with a *websocket.CloseError when the other side has closed it.
type Conn interface {
	ReadMessage() ([]byte, error)
	WriteMessage([]byte) error
	Close() error
}

// Dial opens a WebSocket. It calls heard whenever something came that is no message, such as a ping.
type Dial func(ctx context.Context, heard func()) (Conn, error)

// maxUnsent is how many bytes wait for a socket. With more, the network is gone.
const maxUnsent = 1 << 20

// socket is one WebSocket, from its opening to its end.
type socket struct {
	conn  Conn
	in    chan []byte   // messages; nothing waits in it
	ended chan struct{} // closed when reading has ended
	err   error         // why; good once ended is closed
	more  chan struct{} // holds one: the writer must look at unsent
	heard chan struct{} // holds one: something came

	dropped  chan struct{}
	dropOnce sync.Once
	done     sync.WaitGroup

	mu     sync.Mutex
	unsent [][]byte
	size   int // of unsent, in bytes
}

func open(ctx context.Context, dial Dial) (*socket, error) {
	s := &socket{in: make(chan []byte), ended: make(chan struct{}), more: make(chan struct{}, 1),
		heard: make(chan struct{}, 1), dropped: make(chan struct{})}
	conn, err := dial(ctx, func() { put(s.heard) })
	if err != nil {
		return nil, err
	}
	s.conn = conn
	s.done.Go(s.read)
	s.done.Go(s.write)
	return s, nil
}

// put puts a sign into a Go channel that holds one.
func put(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (s *socket) read() {
	defer close(s.ended)
	for {
		data, err := s.conn.ReadMessage()
		if err != nil {
			s.err = err
			return
		}
		select {
		case s.in <- data:
		case <-s.dropped:
			s.err = context.Canceled
			return
		}
	}
}

func (s *socket) write() {
	for {
		select {
		case <-s.more:
		case <-s.dropped:
			return
		}
		for data := s.take(); data != nil; data = s.take() {
			if s.conn.WriteMessage(data) != nil {
				_ = s.conn.Close() // the reader says why
				return
			}
		}
	}
}

func (s *socket) take() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.unsent) == 0 {
		return nil
	}
	data := s.unsent[0]
	s.unsent = s.unsent[1:]
	s.size -= len(data)
	return data
}

// send never blocks. A socket with too much unsent is dropped.
func (s *socket) send(data []byte) {
	s.mu.Lock()
	s.unsent = append(s.unsent, data)
	s.size += len(data)
	over := s.size > maxUnsent
	s.mu.Unlock()
	if over {
		s.drop()
		return
	}
	put(s.more)
}

// drop closes the socket without a farewell, and does not wait.
func (s *socket) drop() {
	s.dropOnce.Do(func() {
		close(s.dropped)
		_ = s.conn.Close()
	})
}

// close drops the socket and waits for its goroutines.
func (s *socket) close() {
	s.drop()
	s.done.Wait()
}

func (s *socket) isEnded() bool {
	select {
	case <-s.ended:
		return true
	case <-s.dropped:
		return true
	default:
		return false
	}
}
