package spake2

import (
	"fmt"
	"io"
	"log/slog"
)

const redacted = "[redacted]"

// Format covers all verbs of fmt.
func (Password) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue hides the password from slog.
func (Password) LogValue() slog.Value { return slog.StringValue(redacted) }

// Format covers all verbs of fmt.
func (*Exchange) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue hides the run from slog.
func (*Exchange) LogValue() slog.Value { return slog.StringValue(redacted) }

// Format covers all verbs of fmt.
func (*Confirmer) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue hides the confirmations from slog.
func (*Confirmer) LogValue() slog.Value { return slog.StringValue(redacted) }
