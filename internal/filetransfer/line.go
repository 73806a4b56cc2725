package filetransfer

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"runtime"
	"strings"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"
)

// message is every line of the protocol as it is read. A field that a type does not have is ignored.
type message struct {
	Type    string    `json:"type"`
	Version int64     `json:"version"`
	Session string    `json:"session"`
	Path    string    `json:"path"`
	Folder  bool      `json:"folder"`
	Size    *int64    `json:"size"`
	Mode    *uint32   `json:"mode"`
	MTime   time.Time `json:"mtime"`
	Entries int64     `json:"entries"`
	Bytes   int64     `json:"bytes"`
	File    *int64    `json:"file"`
	Offset  int64     `json:"offset"`
	Piece   int64     `json:"piece"`
	Hashes  string    `json:"hashes"`
	Same    string    `json:"same"`
	SHA256  string    `json:"sha256"`
	Failed  int64     `json:"failed"`
	Skipped int64     `json:"skipped"`
	Error   string    `json:"error"`
	Code    string    `json:"code"`
}

// The lines as they are written.
type (
	helloLine struct {
		Type    string `json:"type"`
		Version int    `json:"version"`
		Session string `json:"session,omitempty"`
	}
	entryLine struct {
		Type   string     `json:"type"`
		Path   string     `json:"path"`
		Folder bool       `json:"folder,omitempty"`
		Size   *int64     `json:"size,omitempty"`
		Mode   *uint32    `json:"mode,omitempty"`
		MTime  *time.Time `json:"mtime,omitempty"`
	}
	planLine struct {
		Type    string `json:"type"`
		Entries int    `json:"entries"`
		Bytes   int64  `json:"bytes"`
	}
	bytesLine struct { // accept, progress
		Type  string `json:"type"`
		Bytes int64  `json:"bytes"`
	}
	haveLine struct {
		Type   string `json:"type"`
		File   int64  `json:"file"`
		Offset int64  `json:"offset"`
		Piece  int64  `json:"piece"`
		Hashes string `json:"hashes"`
	}
	sameLine struct {
		Type   string `json:"type"`
		File   int64  `json:"file"`
		Offset int64  `json:"offset"`
		Same   string `json:"same"`
	}
	fileLine struct { // sum, done, skipped, failed
		Type   string `json:"type"`
		File   int64  `json:"file"`
		SHA256 string `json:"sha256,omitempty"`
		Error  string `json:"error,omitempty"`
	}
	endLine struct { // end, error
		Type    string `json:"type"`
		Failed  int    `json:"failed,omitempty"`
		Skipped int    `json:"skipped,omitempty"`
		Error   string `json:"error,omitempty"`
		Code    string `json:"code,omitempty"`
	}
)

const (
	codeDeclined = "declined"
	codeDiskFull = "disk-full"
	codeStopped  = "stopped"
)

// hash64 writes and reads SHA-256 in lines.
var hash64 = base64.RawURLEncoding.Strict()

// lineReader reads the lines of a stream. It holds one line at most.
type lineReader struct{ r *bufio.Reader }

func newLineReader(r io.Reader) lineReader { return lineReader{bufio.NewReaderSize(r, maxLine)} }

// raw returns the next line without its newline, until the next call.
func (l lineReader) raw() ([]byte, error) {
	line, err := l.r.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, violation("a line has more than %d bytes", maxLine)
	case err != nil:
		return nil, broken(err)
	}
	return line[:len(line)-1], nil
}

// next reads a line.
func (l lineReader) next() (*message, error) {
	line, err := l.raw()
	if err != nil {
		return nil, err
	}
	return parseLine(line)
}

func parseLine(line []byte) (*message, error) {
	if !utf8.Valid(line) {
		return nil, violation("a line is not UTF-8")
	}
	var m message
	if err := json.Unmarshal(line, &m); err != nil {
		return nil, violation("a line is not as it must be: %s", oneLine(err.Error()))
	}
	for _, n := range []int64{m.Version, m.Entries, m.Bytes, m.Offset, m.Piece, m.Failed, m.Skipped} {
		if n < 0 || n > maxSize {
			return nil, violation("a number in a line %q is out of range", oneLine(m.Type))
		}
	}
	if m.Size != nil && (*m.Size < 0 || *m.Size > maxSize) {
		return nil, violation("the size of %q is out of range", oneLine(m.Path))
	}
	return &m, nil
}

// oneLine makes a line for people out of a text of the other side: short, and with nothing that steers a terminal.
func oneLine(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == utf8.RuneError || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) {
			return ' '
		}
		return r
	}, text)
	return cut(strings.TrimSpace(text), maxText)
}

// cut shortens a text to n bytes, and never within a character.
func cut(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n -= len("…"); n > 0 && !utf8.RuneStart(text[n]); n-- {
	}
	return text[:n] + "…"
}

// lineWriter writes lines one after the other. Goroutines that say something wait for a place in its queue, never for a lock.
type lineWriter struct {
	queue  chan []byte
	ending chan struct{} // closed by finish
	done   chan struct{}
	err    error // before done is closed
}

// newLineWriter starts a goroutine that writes until finish is called or the stream ends.
func newLineWriter(w io.Writer) *lineWriter {
	l := &lineWriter{queue: make(chan []byte, 64), ending: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(l.done)
		l.err = l.run(w)
	}()
	return l
}

func (l *lineWriter) run(w io.Writer) error {
	out := bufio.NewWriterSize(w, 16<<10)
	for {
		select {
		case line := <-l.queue:
			if _, err := out.Write(line); err != nil {
				return err
			}
		default:
			if err := out.Flush(); err != nil {
				return err
			}
			select {
			case line := <-l.queue:
				if _, err := out.Write(line); err != nil {
					return err
				}
			case <-l.ending:
				if len(l.queue) == 0 {
					return nil
				}
			}
		}
	}
}

// say queues a line.
func (l *lineWriter) say(ctx context.Context, line any) error {
	text, err := json.Marshal(line)
	if err != nil {
		return err
	}
	return l.raw(ctx, append(text, '\n'))
}

func (l *lineWriter) raw(ctx context.Context, line []byte) error {
	select {
	case l.queue <- line:
		return nil
	case <-l.done:
		if l.err == nil {
			return broken(io.EOF)
		}
		return broken(l.err)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// finish writes what is queued, and waits for that or for an end of the stream. It is called once.
func (l *lineWriter) finish() error {
	close(l.ending)
	<-l.done
	return l.err
}

// leave says a last line within a moment, if there is one, and ends writing.
func (l *lineWriter) leave(stream Stream, last any) {
	_ = stream.SetWriteDeadline(time.Now().Add(lastWords))
	ctx, cancel := context.WithTimeout(context.Background(), lastWords)
	defer cancel()
	if last != nil {
		_ = l.say(ctx, last)
	}
	_ = l.finish()
}

// lastWords is how long the end of a transfer may take to say.
const lastWords = 3 * time.Second

// errorLine is what the other side is told of an error that ends the transfer.
func errorLine(err error) endLine {
	l := endLine{Type: "error", Error: oneLine(err.Error())}
	switch {
	case errors.Is(err, ErrDeclined):
		l.Code = codeDeclined
	case isDiskFull(err):
		l.Code = codeDiskFull
	case errors.Is(err, context.Canceled):
		l.Code, l.Error = codeStopped, "it was stopped"
	}
	return l
}

// remoteError is an error line of the other side.
func (m *message) remoteError() error {
	if m.Code == codeDeclined {
		return ErrDeclined
	}
	return &RemoteError{Code: oneLine(m.Code), Text: oneLine(m.Error)}
}

// isDiskFull reports whether a file could not be written because there is no room.
func isDiskFull(err error) bool {
	const windowsDiskFull = syscall.Errno(112)
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || runtime.GOOS == "windows" && errors.Is(err, windowsDiskFull)
}
