package wire

import (
	"bytes"
	"testing"

	"github.com/pion/stun/v3"
)

// FuzzPasswordAlgorithm: the values that were offered are accepted, and no others.
func FuzzPasswordAlgorithm(f *testing.F) {
	f.Add([]byte(OfferedAlgorithms), []byte(AlgorithmMD5), true, true)
	f.Add([]byte(OfferedAlgorithms), []byte(AlgorithmSHA256), true, true)
	f.Add([]byte(AlgorithmMD5), []byte(AlgorithmMD5), true, true)
	f.Add([]byte(nil), []byte("\x00\x01\xff\xff"), true, true)
	f.Add([]byte(nil), []byte(nil), false, false)
	f.Fuzz(func(t *testing.T, list, choice []byte, withList, withChoice bool) {
		if len(list) > MaxRequest || len(choice) > MaxRequest {
			return
		}
		m := stun.MustBuild(stun.BindingRequest)
		if withList {
			m.Add(stun.AttrPasswordAlgorithms, list)
		}
		if withChoice {
			m.Add(stun.AttrPasswordAlgorithm, choice)
		}
		p, ok := ReadPasswordAlgorithm(m)
		isMD5, isSHA256 := bytes.Equal(choice, []byte{0, 1, 0, 0}), bytes.Equal(choice, []byte{0, 2, 0, 0})
		good := withList && withChoice && bytes.Equal(list, []byte{0, 2, 0, 0, 0, 1, 0, 0}) && (isMD5 || isSHA256)
		old := !withList && !withChoice
		if ok != (good || old) || ok && (p.chosen == old || p.SHA256 != (good && isSHA256)) {
			t.Errorf("% x of % x: %+v, %v", choice, list, p, ok)
		}
	})
}
