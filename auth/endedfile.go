package auth

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
)

const (
	maxEndedLine = 128 << 10 // Longer lines are damaged.

	// minEndedSize is the least size at which the file is written anew. Beyond it,
	// that happens whenever the file has doubled.
	minEndedSize = 1 << 20
)

// EndedFile keeps an Ended over restarts: a file of lines of JSON, each with what
// is known of a session or a room. Its methods are for one goroutine.
type EndedFile struct {
	ended   *Ended
	journal *journal
	// compacted is the size of the file when it was last written anew.
	compacted int64
}

// OpenEndedFile reads the file at path into ended. It creates a missing file, with
// mode 0600.
func OpenEndedFile(path string, ended *Ended, log *slog.Logger) (*EndedFile, error) {
	f := &EndedFile{ended: ended, journal: &journal{
		name: "ended sessions", path: path, maxLine: maxEndedLine, log: log, turn: make(chan struct{}, 1),
		apply: ended.apply, rewound: ended.allChanged, // What the file does not say any more is written again.
	}}
	if err := f.journal.withLock(func() error { return nil }); err != nil {
		return nil, err
	}
	return f, nil
}

// Close writes what has changed, and closes the file.
func (f *EndedFile) Close() error {
	err := f.Flush()
	if closed := f.journal.close(); err == nil {
		err = closed
	}
	return err
}

// Flush writes what has changed since the last call. After an error it tries the
// same again the next time. It is cheap if nothing has changed. The file stays
// within about twice of what is known.
func (f *EndedFile) Flush() error {
	if changed, err := f.journal.changed(); err != nil || !changed && !f.ended.hasChanged() {
		return err
	}
	return f.journal.withLock(func() error {
		if err := f.write(f.journal.append, false); err != nil {
			return err
		}
		if f.journal.size > max(minEndedSize, 2*f.compacted) {
			return f.compact()
		}
		return nil
	})
}

// Prune writes the file anew if anything in it has expired.
func (f *EndedFile) Prune() error { return f.journal.withLock(f.compact) }

// compact writes the file anew, without what has expired or was outdated. The
// caller holds the lock.
func (f *EndedFile) compact() error {
	f.ended.allChanged()
	return f.write(func(lines []byte) error {
		if int64(len(lines)) == f.journal.size { // Nothing has expired: these are the lines of the file.
			f.compacted = f.journal.size
			return nil
		}
		if err := f.journal.replace(lines); err != nil {
			return fmt.Errorf("%s: write anew: %w", f.journal.name, err)
		}
		f.compacted = int64(len(lines))
		return nil
	}, true)
}

// write puts what has changed into the file, in one go.
func (f *EndedFile) write(put func(lines []byte) error, evenNothing bool) error {
	var text bytes.Buffer
	var taken []endedLine
	for more := true; more; {
		var lines []endedLine
		lines, more = f.ended.takeChanged()
		taken = append(taken, lines...)
	}
	if len(taken) == 0 && !evenNothing {
		return nil
	}
	encoder := json.NewEncoder(&text)
	for _, line := range taken {
		if err := encoder.Encode(line); err != nil {
			return fmt.Errorf("%s: %w", f.journal.name, err)
		}
	}
	if err := put(text.Bytes()); err != nil {
		f.ended.changedAgain(taken)
		return err
	}
	return nil
}
