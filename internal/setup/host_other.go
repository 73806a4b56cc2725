//go:build !linux

package setup

import (
	"context"
	"errors"
)

// DefaultRoutes implements Machine.
func (Host) DefaultRoutes() []string { return nil }

// Holder implements Machine.
func (Host) Holder(context.Context, string, string) string { return "" }

// looksFree and mayWrite cannot tell here, and so find nothing wrong.
func (Host) looksFree(string, string) error { return nil }

func mayWrite(string) error { return nil }

func freeSpace(string) (uint64, error) { return 0, errors.ErrUnsupported }
