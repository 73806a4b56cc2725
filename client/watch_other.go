//go:build !linux

package client

import "context"

// networkNews has nobody to ask here.
func networkNews(context.Context) (news <-chan struct{}, stop func()) { return nil, func() {} }
