package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
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
