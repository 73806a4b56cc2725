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

func (Host) looksFree(string, string) error { return errors.ErrUnsupported }

func mayWrite(string) error { return errors.ErrUnsupported }

func freeSpace(string) (uint64, error) { return 0, errors.ErrUnsupported }
