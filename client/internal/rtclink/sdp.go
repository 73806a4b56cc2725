package rtclink

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pion/sdp/v3"
)

// Bounds of a description. The server forwards messages of at most 64 KiB.
const (
	maxSDP      = 64 << 10
	maxSections = 64
)

// transportKeys are the attributes of a section that say how to reach it.
var transportKeys = [...]string{"ice-ufrag", "ice-pwd", sdp.AttrKeyICEOptions, "fingerprint", sdp.AttrKeyConnectionSetup}

var errNoData = errors.New("the description has no section for data channels")

// layout is the sections of a negotiated description, in their order. A browser's have audio and video; pion hears of the
// data channels alone, so that it starts nothing for media. Towards the browser, audio and video are there and inactive:
// rejected ones would stop its transceivers for good.
type layout struct {
	sections []section
	// bundle has the mids of the one transport, the first of them for its candidates.
	bundle []string
}

// section is one m-line of a description.
type section struct {
	kind, mid string
	protos    []string
	format    string
	// codec is the rtpmap and fmtp of the format.
	codec []sdp.Attribute
	// data marks the section that pion negotiates; taken those that are part of the transport.
	data, taken bool
}

// tag returns the mid and the place of the section whose candidates count.
func (l *layout) tag() (string, int) {
	for i, s := range l.sections {
		if len(l.bundle) > 0 && s.mid == l.bundle[0] {
			return s.mid, i
		}
	}
	return "0", 0
}

// reduce returns what pion must hear of a description of the other side: the section for data channels, on the transport
// that it shares with the others.
func reduce(text string) (string, layout, error) {
	if len(text) > maxSDP {
		return "", layout{}, fmt.Errorf("the description has %d bytes, and may have %d", len(text), maxSDP)
	}
	var d sdp.SessionDescription
	if err := d.UnmarshalString(text); err != nil {
		return "", layout{}, fmt.Errorf("parse the description: %w", err)
	}
	l, err := layoutOf(&d)
	if err != nil {
		return "", layout{}, err
	}
	_, at := l.tag()
	data := slices.IndexFunc(l.sections, func(s section) bool { return s.data })
	reduced, err := dataAlone(&d, d.MediaDescriptions[at], d.MediaDescriptions[data]).Marshal()
	for _, key := range transportKeys {
		if key != sdp.AttrKeyICEOptions && attributeIn(string(reduced), key) == "" {
			return "", layout{}, fmt.Errorf("the description has no %s", key)
		}
	}
	return string(reduced), l, err
}

func layoutOf(d *sdp.SessionDescription) (layout, error) {
	if len(d.MediaDescriptions) > maxSections {
		return layout{}, fmt.Errorf("the description has %d sections, and may have %d", len(d.MediaDescriptions), maxSections)
	}
	data := slices.IndexFunc(d.MediaDescriptions, isData)
	if data < 0 {
		return layout{}, errNoData
	}
	dataMid, _ := d.MediaDescriptions[data].Attribute(sdp.AttrKeyMID)
	group := bundleWith(d, dataMid)
	l := layout{}
	for i, m := range d.MediaDescriptions {
		mid, _ := m.Attribute(sdp.AttrKeyMID)
		s := section{kind: m.MediaName.Media, mid: mid, protos: m.MediaName.Protos, data: i == data}
		s.taken = s.data || isMedia(m) && slices.Contains(group, mid)
		s.format, s.codec = firstCodec(m)
		if mid == "" || slices.ContainsFunc(l.sections, func(other section) bool { return other.mid == mid }) {
			return layout{}, fmt.Errorf("section %d of the description has no mid of its own: %q", i, mid)
		}
		l.sections = append(l.sections, s)
	}
	for _, mid := range group {
		if slices.ContainsFunc(l.sections, func(s section) bool { return s.taken && s.mid == mid }) && !slices.Contains(l.bundle, mid) {
			l.bundle = append(l.bundle, mid)
		}
	}
	return l, nil
}

// isOffered reports whether a section is not rejected. One that is only there as part of a bundle has the port 0, too.
func isOffered(m *sdp.MediaDescription) bool {
	_, bundleOnly := m.Attribute("bundle-only")
	return m.MediaName.Port.Value != 0 || bundleOnly
}

func isData(m *sdp.MediaDescription) bool {
	mid, _ := m.Attribute(sdp.AttrKeyMID)
	return m.MediaName.Media == "application" && slices.Contains(m.MediaName.Protos, "SCTP") && isOffered(m) && mid != ""
}

func isMedia(m *sdp.MediaDescription) bool {
	kind := m.MediaName.Media
	return (kind == "audio" || kind == "video") && slices.Contains(m.MediaName.Protos, "RTP") && isOffered(m)
}

// bundleWith returns the mids of the group that a section is in, or its own alone.
func bundleWith(d *sdp.SessionDescription, mid string) []string {
	for _, a := range d.Attributes {
		group, ok := strings.CutPrefix(a.Value, "BUNDLE ")
		if mids := strings.Fields(group); a.Key == sdp.AttrKeyGroup && ok && slices.Contains(mids, mid) {
			return mids
		}
	}
	return []string{mid}
}

// firstCodec returns the first format of a section, with what describes it.
func firstCodec(m *sdp.MediaDescription) (string, []sdp.Attribute) {
	if len(m.MediaName.Formats) == 0 {
		return "0", nil
	}
	format := m.MediaName.Formats[0]
	var codec []sdp.Attribute
	for _, a := range m.Attributes {
		if (a.Key == "rtpmap" || a.Key == "fmtp") && strings.HasPrefix(a.Value, format+" ") {
			codec = append(codec, a)
		}
	}
	return format, codec
}

// dataAlone is the description with the section data alone. Its transport is that of the section tag, RFC 9143 §7.
func dataAlone(d *sdp.SessionDescription, tag, data *sdp.MediaDescription) *sdp.SessionDescription {
	mid, _ := data.Attribute(sdp.AttrKeyMID)
	m := &sdp.MediaDescription{
		MediaName: sdp.MediaName{
			Media: "application", Port: sdp.RangedPort{Value: 9}, Protos: []string{"UDP", "DTLS", "SCTP"}, Formats: []string{"webrtc-datachannel"},
		},
		ConnectionInformation: nowhere(),
		Attributes:            []sdp.Attribute{{Key: sdp.AttrKeyMID, Value: mid}},
	}
	for _, key := range transportKeys {
		for _, attribute := range []func(string) (string, bool){tag.Attribute, data.Attribute, d.Attribute} {
			if value, ok := attribute(key); ok {
				m.Attributes = append(m.Attributes, sdp.Attribute{Key: key, Value: value})
				break
			}
		}
	}
	for _, key := range []string{"sctp-port", "max-message-size"} {
		if value, ok := data.Attribute(key); ok {
			m.Attributes = append(m.Attributes, sdp.Attribute{Key: key, Value: value})
		}
	}
	m.Attributes = append(m.Attributes, candidatesIn(tag)...)
	if data != tag {
		m.Attributes = append(m.Attributes, candidatesIn(data)...)
	}
	if len(m.Attributes) > maxCandidates {
		m.Attributes = m.Attributes[:maxCandidates]
	}
	alone := &sdp.SessionDescription{
		Version: d.Version, Origin: d.Origin, SessionName: "-", TimeDescriptions: []sdp.TimeDescription{{}},
		Attributes:        []sdp.Attribute{{Key: sdp.AttrKeyGroup, Value: "BUNDLE " + mid}},
		MediaDescriptions: []*sdp.MediaDescription{m},
	}
	if _, lite := d.Attribute(sdp.AttrKeyICELite); lite {
		alone.Attributes = append(alone.Attributes, sdp.Attribute{Key: sdp.AttrKeyICELite})
	}
	return alone
}

func candidatesIn(m *sdp.MediaDescription) []sdp.Attribute {
	return slices.DeleteFunc(slices.Clone(m.Attributes), func(a sdp.Attribute) bool { return a.Key != sdp.AttrKeyCandidate })
}

func nowhere() *sdp.ConnectionInformation {
	return &sdp.ConnectionInformation{NetworkType: "IN", AddressType: "IP4", Address: &sdp.Address{Address: "0.0.0.0"}}
}

// expand returns a description of pion's, whose only section is that for data channels, with the sections that the other
// side expects around it. An empty layout gets that section. Candidates are left out: they follow one by one.
func (l *layout) expand(text string) (string, error) {
	var d sdp.SessionDescription
	if err := d.UnmarshalString(text); err != nil {
		return "", fmt.Errorf("parse our own description: %w", err)
	}
	if len(d.MediaDescriptions) != 1 {
		return "", fmt.Errorf("our own description has %d sections, not one", len(d.MediaDescriptions))
	}
	data := d.MediaDescriptions[0]
	data.Attributes = slices.DeleteFunc(data.Attributes, func(a sdp.Attribute) bool {
		return a.Key == sdp.AttrKeyCandidate || a.Key == sdp.AttrKeyEndOfCandidates
	})
	if mid, _ := data.Attribute(sdp.AttrKeyMID); len(l.sections) == 0 {
		*l = layout{sections: []section{{kind: "application", mid: mid, data: true, taken: true}}, bundle: []string{mid}}
	}
	d.MediaDescriptions = nil
	for _, s := range l.sections {
		if s.data {
			d.MediaDescriptions = append(d.MediaDescriptions, data)
			continue
		}
		d.MediaDescriptions = append(d.MediaDescriptions, s.inactive(data))
	}
	d.Attributes = slices.DeleteFunc(d.Attributes, func(a sdp.Attribute) bool { return a.Key == sdp.AttrKeyGroup })
	d.Attributes = append(d.Attributes, sdp.Attribute{Key: sdp.AttrKeyGroup, Value: "BUNDLE " + strings.Join(l.bundle, " ")})
	expanded, err := d.Marshal()
	return string(expanded), err
}

// inactive is a section that carries nothing, on the transport of the section data, or a rejected one.
func (s *section) inactive(data *sdp.MediaDescription) *sdp.MediaDescription {
	m := &sdp.MediaDescription{
		MediaName:             sdp.MediaName{Media: s.kind, Protos: s.protos, Formats: []string{s.format}},
		ConnectionInformation: nowhere(),
		Attributes:            []sdp.Attribute{{Key: sdp.AttrKeyMID, Value: s.mid}, {Key: sdp.AttrKeyInactive}},
	}
	if !s.taken {
		return m
	}
	m.MediaName.Port.Value = 9
	m.Attributes = append(m.Attributes, sdp.Attribute{Key: sdp.AttrKeyRTCPMux})
	m.Attributes = append(m.Attributes, s.codec...)
	for _, a := range data.Attributes {
		if slices.Contains(transportKeys[:], a.Key) {
			m.Attributes = append(m.Attributes, a)
		}
	}
	return m
}

// attributeIn returns the value of the first attribute of that name.
func attributeIn(text, key string) string {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, "a="+key+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// asAnswer returns a reduced description as an answer of a side with that role in DTLS.
func asAnswer(reduced, role string) string {
	setup := "a=setup:"
	return strings.Replace(reduced, setup+attributeIn(reduced, "setup"), setup+role, 1)
}
