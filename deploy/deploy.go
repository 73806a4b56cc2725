// Package deploy has the files that a service needs, so that `turnpike setup` can install them.
package deploy

import _ "embed"

// Unit is the systemd unit. It starts /usr/bin/turnpike with /etc/turnpike/turnpike.toml.
//
//go:embed turnpike.service
var Unit string

// Sample is the annotated configuration, which the package installs: it sets nothing but state_dir.
//
//go:embed turnpike.toml
var Sample string
