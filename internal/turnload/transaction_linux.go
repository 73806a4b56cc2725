package turnload

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pion/stun/v3"
	"golang.org/x/sys/unix"

	"example.org/turnpike/turnserver/udpio"
)

const (
	inFlight     = 64 // transactions at a time
	firstResend  = 200 * time.Millisecond
	patience     = 8 * time.Second // for an answer, while the request is sent again
	pollInterval = 50 * time.Microsecond
	challenges   = 3 // 401 and 438, before the request fails
)

// performer makes a request for each of many clients, several at a time. It polls for the answers, as workers do for
// data: the server's core would have to wake a thread that sleeps on a socket.
type performer struct {
	request func(*client) (stun.Method, []stun.Setter)
	done    func(*client, *stun.Message) error // takes the success; nil: nothing is left to do
	in      *udpio.Reader
	open    []transaction
}

// transaction is a request that has no answer yet.
type transaction struct {
	client     *client
	message    *stun.Message
	challenged int
	began      time.Time
	resend     time.Duration // after began
}

// perform makes the requests, and returns when all have succeeded or one has failed.
func perform(ctx context.Context, clients []*client, p performer) error {
	p.in = newReader()
	for len(clients) > 0 || len(p.open) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		for len(p.open) < inFlight && len(clients) > 0 {
			t := transaction{client: clients[0]}
			if err := p.start(&t); err != nil {
				return err
			}
			p.open, clients = append(p.open, t), clients[1:]
		}
		answered, err := p.poll()
		if err != nil {
			return err
		}
		if !answered {
			udpio.Nap(pollInterval)
		}
	}
	return nil
}

// start sends a transaction's request, signed if the client was challenged before.
func (p *performer) start(t *transaction) error {
	method, attrs := p.request(t.client)
	m, err := t.client.build(method, attrs...)
	if err != nil {
		return err
	}
	t.message, t.began, t.resend = m, time.Now(), firstResend
	return t.send()
}

func (t *transaction) send() error {
	if err := t.client.send(t.message.Raw); err != nil {
		return t.failed(err)
	}
	return nil
}

func (t *transaction) failed(err error) error {
	if errors.Is(err, unix.ECONNREFUSED) {
		err = errors.New("nobody listens there")
	}
	return fmt.Errorf("%v: %w", t.message.Type.Method, err)
}

// poll looks for answers once. It reports whether there was one.
func (p *performer) poll() (answered bool, err error) {
	still := p.open[:0]
	for _, t := range p.open {
		answer, err := p.answer(&t)
		if err != nil {
			return false, err
		}
		over := false
		if answer != nil {
			answered = true
			over, err = p.proceed(&t, answer)
		} else {
			err = t.wait()
		}
		if err != nil {
			return false, err
		}
		if !over {
			still = append(still, t)
		}
	}
	p.open = still
	return answered, nil
}

// answer returns the transaction's answer if it has come.
func (p *performer) answer(t *transaction) (*stun.Message, error) {
	n, err := p.in.Receive(t.client.fd)
	if err != nil {
		return nil, t.failed(err)
	}
	for i := range n {
		raw := p.in.Data(i)
		m := &stun.Message{Raw: raw}
		if stun.IsMessage(raw) && m.Decode() == nil && m.TransactionID == t.message.TransactionID {
			return m, nil
		}
	}
	return nil, nil
}

// proceed goes on after an answer. It reports whether the transaction is over.
func (p *performer) proceed(t *transaction, answer *stun.Message) (over bool, err error) {
	if answer.Type.Class == stun.ClassSuccessResponse {
		if p.done == nil {
			return true, nil
		}
		return true, p.done(t.client, answer)
	}
	refused := refusal(answer)
	challenge := refused.Code == 401 && t.client.nonce == "" || refused.Code == 438
	if t.challenged++; !challenge || t.challenged > challenges {
		return true, refused
	}
	if err := t.client.learn(answer); err != nil {
		return true, err
	}
	return false, p.start(t)
}

// wait sends the request again if it is time to: after 200, 400, 800 ms and so on.
func (t *transaction) wait() error {
	switch waited := time.Since(t.began); {
	case waited > patience:
		return t.failed(errors.New("no answer; is it a TURN server, and do the firewalls let UDP through?"))
	case waited > t.resend:
		t.resend *= 2
		return t.send()
	}
	return nil
}
