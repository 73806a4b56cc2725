package path

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/pion/logging"
)

// pionLogs gives what pion's libraries say to the Link's logger. Their warnings are of single packets, so that all of it
// is for debugging. What they say for debugging has ICE's passwords in it, and goes nowhere.
type pionLogs struct{ to *slog.Logger }

// NewLogger makes the logger of one library.
func (p pionLogs) NewLogger(scope string) logging.LeveledLogger {
	if p.to == nil {
		return pionLog{}
	}
	return pionLog{p.to.With("library", scope)}
}

type pionLog struct{ to *slog.Logger }

func (l pionLog) say(s string) {
	if l.to != nil {
		l.to.Debug(s)
	}
}

func (l pionLog) sayf(format string, args ...any) {
	if l.to != nil && l.to.Enabled(context.Background(), slog.LevelDebug) {
		l.to.Debug(fmt.Sprintf(format, args...))
	}
}

func (l pionLog) Trace(string)                      {}
func (l pionLog) Tracef(string, ...any)             {}
func (l pionLog) Debug(string)                      {}
func (l pionLog) Debugf(string, ...any)             {}
func (l pionLog) Info(s string)                     { l.say(s) }
func (l pionLog) Infof(format string, args ...any)  { l.sayf(format, args...) }
func (l pionLog) Warn(s string)                     { l.say(s) }
func (l pionLog) Warnf(format string, args ...any)  { l.sayf(format, args...) }
func (l pionLog) Error(s string)                    { l.say(s) }
func (l pionLog) Errorf(format string, args ...any) { l.sayf(format, args...) }
