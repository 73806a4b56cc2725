package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/term"
	"golang.org/x/text/width"

	"example.org/turnpike/internal/filetransfer"
)

// progressBar is a line on a terminal that show overwrites. Its zero value shows nothing.
type progressBar struct{ w io.Writer }

// progress returns a bar on stderr if that is a terminal, so that no log has one.
func (p *program) progress() progressBar {
	if f, ok := p.stderr.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return progressBar{f}
	}
	return progressBar{}
}

func (b progressBar) show(fraction float64, text string) {
	const width = 30
	if b.w != nil {
		done := min(width, int(fraction*width))
		fmt.Fprintf(b.w, "\r\x1b[K[%s%s] %3.0f %%  %s", strings.Repeat("=", done), strings.Repeat(" ", width-done), 100*fraction, text)
	}
}

// say shows a text without a bar.
func (b progressBar) say(text string) {
	if b.w != nil {
		fmt.Fprint(b.w, "\r\x1b[K"+text)
	}
}

func (b progressBar) clear() {
	if b.w != nil {
		fmt.Fprint(b.w, "\r\x1b[K")
	}
}

const (
	boardPause = 200 * time.Millisecond // between two looks on a terminal
	logPause   = 5 * time.Second        // between two lines elsewhere
	speedOver  = 3 * time.Second        // that a speed is smoothed over
)

// transferBoard shows on stderr how transfers get on, a line each. On a terminal the lines stay where they are; elsewhere each comes
// again every few seconds. What else goes to stderr meanwhile must be written to the board, whole lines at a time.
type transferBoard struct {
	// Static after construction.
	w        io.Writer
	terminal bool
	quiet    bool
	columns  func() int

	mu    sync.Mutex
	rows  []*transferRow
	shown int // lines on the terminal that the next ones overwrite
	rests bool
	held  []byte // what was to be printed meanwhile
}

// board returns a board on stderr. A quiet one shows no transfers.
func (p *program) board(quiet bool) *transferBoard {
	b := &transferBoard{w: p.stderr, quiet: quiet, columns: func() int { return 80 }}
	if f, ok := p.stderr.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		b.terminal = true
		b.columns = func() int {
			if columns, _, err := term.GetSize(int(f.Fd())); err == nil && columns > 0 {
				return columns
			}
			return 80
		}
	}
	return b
}

// run shows the transfers until ctx ends, and leaves none on the terminal.
func (b *transferBoard) run(ctx context.Context) {
	if b.quiet {
		return
	}
	pause := logPause
	if b.terminal {
		pause = boardPause
	}
	ticks := time.NewTicker(pause)
	defer ticks.Stop()
	for {
		select {
		case now := <-ticks.C:
			b.show(now)
		case <-ctx.Done():
			b.mu.Lock()
			b.clear()
			b.mu.Unlock()
			return
		}
	}
}

// show looks how far the transfers are, and shows it.
func (b *transferBoard) show(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.rows {
		r.speed.look(r.progress.Verified.Load(), now)
	}
	if b.rests {
		return
	}
	if b.terminal {
		b.clear()
		b.draw()
		return
	}
	for _, r := range b.rows {
		if text := r.text(); text != r.said { // nothing new is not worth a line in a log
			r.said = text
			_ = writeLine(b.w, text)
		}
	}
}

// rest leaves the terminal to somebody else. What must be printed waits until goOn.
func (b *transferBoard) rest() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clear()
	b.rests = true
}

func (b *transferBoard) goOn() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rests = false
	_, _ = b.w.Write(b.held)
	b.held = nil
}

// maxHeld bounds what waits while a question is open: a peer may come and go while nobody is there to answer.
const maxHeld = 64 << 10

// Write prints whole lines above the transfers.
func (b *transferBoard) Write(lines []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rests {
		if len(b.held)+len(lines) <= maxHeld {
			b.held = append(b.held, lines...)
		}
		return len(lines), nil
	}
	b.clear()
	n, err := b.w.Write(lines)
	if b.terminal {
		b.draw()
	}
	return n, err
}

// clear takes the transfers off the terminal. The caller holds mu.
func (b *transferBoard) clear() {
	if b.shown > 0 {
		fmt.Fprintf(b.w, "\x1b[%dA\r\x1b[J", b.shown)
		b.shown = 0
	}
}

// draw shows each transfer in a line of the terminal. The caller holds mu.
func (b *transferBoard) draw() {
	if b.quiet {
		return
	}
	columns := b.columns() - 1 // a full line would wrap on some terminals
	var text strings.Builder
	for _, r := range b.rows {
		text.WriteString(cutToColumns(r.text(), columns) + "\n")
	}
	_, _ = io.WriteString(b.w, text.String())
	b.shown = len(b.rows)
}

// cutToColumns returns as much of a line as so many columns of a terminal hold. Most letters of East Asia take two.
func cutToColumns(line string, columns int) string {
	for i, r := range line {
		columns--
		if kind := width.LookupRune(r).Kind(); kind == width.EastAsianWide || kind == width.EastAsianFullwidth {
			columns--
		}
		if columns < 0 {
			return line[:i]
		}
	}
	return line
}

// transferRow is a transfer on a board.
type transferRow struct {
	// Static after construction.
	board    *transferBoard
	name     string
	progress *filetransfer.Progress

	waits atomic.Bool // for the other side

	// Guarded by transferBoard.mu.
	speed speedometer
	said  string
}

// add puts a transfer onto the board. It must be removed.
func (b *transferBoard) add(name string, progress *filetransfer.Progress) *transferRow {
	r := &transferRow{board: b, name: harmless(name), progress: progress}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rows = append(b.rows, r)
	return r
}

// remove takes a transfer off the board.
func (r *transferRow) remove() {
	b := r.board
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clear()
	b.rows = slices.DeleteFunc(b.rows, func(row *transferRow) bool { return row == r })
	if b.terminal && !b.rests {
		b.draw()
	}
}

// text is such as "laptop: 45 % of 1.2 GB, 12.3 MB/s, 1m5s left". The caller holds the board's mu.
func (r *transferRow) text() string {
	done, total := r.progress.Verified.Load(), r.progress.Total.Load()
	known := total > 0 && done <= total // of standard input nobody knows the size
	text := r.name + ": " + byteSize(done)
	if known {
		text = fmt.Sprintf("%s: %d %% of %s", r.name, percent(done, total), byteSize(total))
	}
	switch {
	case r.waits.Load():
		return text + ", waits for the other side"
	case r.speed.rate <= 0:
		return text
	}
	text += ", " + byteSize(int64(r.speed.rate)) + "/s"
	if known {
		text += ", " + timeLeft(total-done, r.speed.rate) + " left"
	}
	return text
}

// percent is 100 only when all is done.
func percent(done, total int64) int {
	if total <= 0 || done >= total {
		return 100
	}
	return int(100 * (float64(max(done, 0)) / float64(total)))
}

// speedometer smooths the speed of something that counts bytes. A look tells it the count.
type speedometer struct {
	rate   float64 // bytes a second; zero before the second look
	sum    float64 // of the speeds, those of long ago weighing less
	weight float64 // of all in sum
	done   int64
	at     time.Time
}

func (s *speedometer) look(done int64, now time.Time) {
	passed := now.Sub(s.at)
	if s.at.IsZero() || done < s.done { // the first look; or a transfer that begins again further back
		s.done, s.at = done, now
		return
	}
	if passed <= 0 {
		return
	}
	keep := math.Exp(-passed.Seconds() / speedOver.Seconds())
	s.sum = keep*s.sum + (1-keep)*float64(done-s.done)/passed.Seconds()
	s.weight = keep*s.weight + (1 - keep)
	s.rate = s.sum / s.weight
	s.done, s.at = done, now
}

// timeLeft says how long so many bytes take. The rate is not zero.
func timeLeft(bytes int64, rate float64) string {
	seconds := float64(max(bytes, 0)) / rate
	switch {
	case seconds >= 100*3600:
		return "days"
	case seconds >= 3600:
		return fmt.Sprintf("%dh%02dm", int(seconds)/3600, int(seconds)%3600/60)
	case seconds >= 60:
		return fmt.Sprintf("%dm%02ds", int(seconds)/60, int(seconds)%60)
	}
	return fmt.Sprintf("%ds", int(math.Ceil(seconds)))
}

// byteSize is such as "12.3 MB": in powers of a thousand, as disks and networks count.
func byteSize(n int64) string {
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	value, unit := float64(n)/1000, 0
	for ; value >= 999.95 && unit < 4; unit++ {
		value /= 1000
	}
	return fmt.Sprintf("%.1f %cB", value, "kMGTP"[unit])
}
