package wire

import "testing"

// FuzzFrameSize walks a stream as the server does: every step goes ahead, by no more than a buffer holds, and more bytes
// change no verdict.
func FuzzFrameSize(f *testing.F) {
	f.Add([]byte{0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x40, 0, 0, 1, 9, 0, 0, 0})
	f.Add([]byte{0x40, 0, 0xFF, 0xFC})
	f.Add([]byte{0, 1, 0xFF, 0xEC})
	f.Add([]byte{0, 0x16, 0xFF, 0xFC, 0x21, 0x12, 0xA4, 0x42})
	f.Add([]byte("GET / HTTP/1.1\r\n"))
	f.Fuzz(checkFrames)
}

func checkFrames(t *testing.T, stream []byte) {
	for len(stream) > 0 {
		size, ok := FrameSize(stream)
		switch {
		case !ok:
			return
		case size == 0:
			if len(stream) >= 8 {
				t.Fatalf("eight bytes do not tell a frame: % x", stream[:8])
			}
			return
		case size < ChannelHeaderSize || size > MaxMessage || size%4 != 0:
			t.Fatalf("a frame of %d bytes", size)
		}
		for n := range min(8, len(stream)) {
			if early, earlyOK := FrameSize(stream[:n]); !earlyOK || early != 0 && early != size {
				t.Fatalf("%d bytes tell %d, %v, all of them %d", n, early, earlyOK, size)
			}
		}
		if size > len(stream) {
			return
		}
		stream = stream[size:]
	}
}
