package wire

import "strconv"

// transports reads a list of words.
func transports(raw []byte) (list []string, err *FieldError) {
	l := lister{data: raw}
	for l.next() {
		name, err := text("transports", l.value, MaxTransport)
		if err != nil {
			return nil, err
		}
		if !ValidTransport(name) {
			return nil, &FieldError{Field: "transports", Problem: "must be words of lower-case letters a-z, digits and hyphens"}
		}
		if list = append(list, name); len(list) > MaxTransports {
			break
		}
	}
	if l.err || len(list) == 0 || len(list) > MaxTransports {
		return nil, &FieldError{Field: "transports", Problem: "must be a list of 1 to " + strconv.Itoa(MaxTransports)}
	}
	return list, nil
}

// ValidTransport reports whether a client may name a transport so: 1 to 16 of a-z, 0-9 and -.
func ValidTransport(name string) bool {
	if name == "" || len(name) > MaxTransport {
		return false
	}
	for i := range len(name) {
		if c := name[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}
