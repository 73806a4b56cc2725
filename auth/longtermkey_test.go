package auth

import (
	"encoding/hex"
	"testing"
)

// TestLongTermKeys compares with the example of RFC 8489 §9.2.2, and with "sha256sum" of the same text.
func TestLongTermKeys(t *testing.T) {
	keys := longTermKeys([]byte("user:realm:pass"))
	if got := hex.EncodeToString(keys.MD5[:]); got != "8493fbc53ba582fb4c044c456bdc40eb" {
		t.Errorf("MD5: %s", got)
	}
	if got := hex.EncodeToString(keys.SHA256[:]); got != "07e934117abd40836e7c6329b54731b2b2d2a5f9a71f544922d75e0730d8251b" {
		t.Errorf("SHA-256: %s", got)
	}
}

func TestKeysEqual(t *testing.T) {
	keys := longTermKeys([]byte("user:realm:pass"))
	same, md5, sha256 := keys, keys, keys
	md5.MD5[15] ^= 1
	sha256.SHA256[31] ^= 1
	if !keys.Equal(&same) || keys.Equal(&md5) || keys.Equal(&sha256) {
		t.Error("keys are equal if all of their bytes are, and only then")
	}
}
