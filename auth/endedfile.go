package auth

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
)

const (
	maxEndedLine = maxOpenRooms*6*maxKickedLine + 32<<10 // Longer lines are damaged. JSON may write a byte as six.

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
		if err := f.write(f.journal.append); err != nil {
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

// write puts what has changed into the file, in one go.
func (f *EndedFile) write(put func(lines []byte) error) error {
	var taken []endedLine
	for more := true; more; {
		var lines []endedLine
		lines, more = f.ended.takeChanged()
		taken = append(taken, lines...)
	}
	if len(taken) == 0 {
		return nil
	}
	text, err := f.encode(taken)
	if err == nil {
		err = put(text)
	}
	if err != nil {
		f.ended.changedAgain(taken)
	}
	return err
}

// compact writes the file anew, without what has expired or was outdated. If it
// cannot, nothing is lost: the file has all of this, and what changes meanwhile is
// written by the next Flush. The caller holds the lock.
func (f *EndedFile) compact() error {
	text, err := f.encode(f.ended.all())
	if err != nil {
		return err
	}
	f.compacted = f.journal.size // The next try must not come before the file has doubled, even if this one fails.
	if int64(len(text)) == f.journal.size {
		return nil // These are the lines of the file.
	}
	if err := f.journal.replace(text); err != nil {
		return fmt.Errorf("%s: write anew: %w", f.journal.name, err)
	}
	f.compacted = int64(len(text))
	return nil
}

func (f *EndedFile) encode(lines []endedLine) ([]byte, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	for _, line := range lines {
		if err := encoder.Encode(line); err != nil {
			return nil, fmt.Errorf("%s: %w", f.journal.name, err)
		}
	}
	return text.Bytes(), nil
}
