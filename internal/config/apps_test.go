package config

import (
	"strings"
	"testing"
)

func TestApps(t *testing.T) {
	const secret, other = "0123456789abcdef", "fedcba9876543210"
	cfg, err := parsed(t, "[[turn.apps]]\nname = \"galene\"\nsecret = \""+secret+"\"\nallocations = 900\n"+
		"[[turn.apps]]\nname = \"chat\"\nsecret = \""+other+"\"\n")
	if err != nil {
		t.Fatal(err)
	}
	apps := cfg.TURN.Apps
	if len(apps) != 2 || apps[0].Name != "galene" || string(apps[0].Secret.Bytes()) != secret || apps[0].Allocations != 900 || apps[1].Allocations != 0 {
		t.Errorf("got %+v", apps)
	}
	shown := appList{&apps}.String()
	if strings.Contains(shown, secret) || !strings.Contains(shown, "allocations = 900") || strings.Count(shown, "allocations") != 1 {
		t.Errorf("printed as %s", shown)
	}
	for text, want := range map[string]string{
		`[[turn.apps]]
		secret = "0123456789abcdef"`: "turn.apps[0].name: is missing",
		`[[turn.apps]]
		name = "galene"`: "turn.apps[0].secret: is missing",
		`[[turn.apps]]
		name = "galene"
		secret = "short"`: "turn.apps[0].secret: the secret is shorter",
		`[[turn.apps]]
		name = "galene"
		secret = 1234567890123456`: "turn.apps[0].secret: is not a string",
		`[[turn.apps]]
		name = "galene"
		allocation = 900`: "turn.apps[0].allocation: there is no such key; there are allocations, name, secret",
		`turn.apps = [{ name = "a", secret = "0123456789abcdef" }, { name = "a", secret = "fedcba9876543210" }]`: `turn.apps[1].name: "a" is the name of another app`,
		`turn.apps = [{ name = "a", secret = "0123456789abcdef" }, { name = "b", secret = "0123456789abcdef" }]`: "turn.apps[1].secret: is another app's",
		`turn.apps = [{ name = "a", secret = "0123456789abcdef" }]
		turn.shared_secrets = ["0123456789abcdef"]`: "turn.apps[0].secret: is among turn.shared_secrets",
		`turn.apps = "galene"`: "turn.apps: is not a list of tables",
	} {
		if _, err := parsed(t, text); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), secret) {
			t.Errorf("%s\ngives %v\nwant %s", text, err, want)
		}
	}
}
