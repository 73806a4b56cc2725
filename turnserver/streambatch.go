package turnserver

// streamBatch gathers the messages for clients on streams that come of a batch of packets, so that each stream gets one
// write and not one a packet. The messages must not change until flush.
type streamBatch struct {
	waiting []streamMessage
	joined  []byte // the messages of one write, if there are several
}

// streamMessage is one STUN or ChannelData message for a client on a stream.
type streamMessage struct {
	to   *stream
	data []byte
	size int // of a peer's data, or control
}

// maxJoined bounds the bytes of one write, and so the memory of joined.
const maxJoined = 64 << 10

func (b *streamBatch) queue(to *stream, data []byte, size int) {
	b.waiting = append(b.waiting, streamMessage{to, data, size})
}

// flush writes the waiting messages in order, and counts what becomes of them.
func (b *streamBatch) flush(c *counters) {
	for first := 0; first < len(b.waiting); {
		end := b.runFrom(first)
		b.writeRun(b.waiting[first:end], c)
		first = end
	}
	clear(b.waiting) // let go of the data
	b.waiting = b.waiting[:0]
}

// runFrom returns the end of the run at first that one write to one stream can take.
func (b *streamBatch) runFrom(first int) int {
	end, total := first+1, len(b.waiting[first].data)
	for end < len(b.waiting) && b.waiting[end].to == b.waiting[first].to && total+len(b.waiting[end].data) <= maxJoined {
		total += len(b.waiting[end].data)
		end++
	}
	return end
}

// writeRun writes the messages of one run. If the stream has no room for all, it takes as many as it has room for.
func (b *streamBatch) writeRun(run []streamMessage, c *counters) {
	if records := run[0].to.tls; records != nil {
		taken := records.enqueue(run)
		for _, m := range run[:taken] {
			c.countSent(m.to.tuple.Protocol, m.size)
		}
		for range run[taken:] {
			c.count(dropSlowClient)
		}
		return
	}
	out := &run[0].to.out
	if len(run) > 1 {
		b.joined = b.joined[:0]
		for _, m := range run {
			b.joined = append(b.joined, m.data...)
		}
		if out.enqueue(b.joined) {
			for _, m := range run {
				c.countSent(m.to.tuple.Protocol, m.size)
			}
			return
		}
	}
	for _, m := range run {
		if out.enqueue(m.data) {
			c.countSent(m.to.tuple.Protocol, m.size)
		} else {
			c.count(dropSlowClient)
		}
	}
}
