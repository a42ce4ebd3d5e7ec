package iscsi

import (
	"fmt"
	"strings"
	"testing"
)

func TestParseTargets(t *testing.T) {
	const name = "iqn.2026-01.org.example:storage.disk1"
	for text, want := range map[string]Target{
		"nas::::" + name:               {Server: "nas", Port: 3260, Name: name},
		"192.168.1.2:6:3261:5:" + name: {Server: "192.168.1.2", Port: 3261, LUN: 5, Name: name},
		"[fe80::1]:::0x10:" + name:     {Server: "fe80::1", Port: 3260, LUN: 16, Name: name},
		"me:word@nas::::" + name:       {Server: "nas", Port: 3260, Name: name, Out: Secret{"me", "word"}},
		"me:a%2Cb%3A%40@nas::::" + name: {
			Server: "nas", Port: 3260, Name: name, Out: Secret{"me", "a,b:@"},
		},
		"me:word:it:other@nas::::" + name: {
			Server: "nas", Port: 3260, Name: name, Out: Secret{"me", "word"}, In: Secret{"it", "other"},
		},
	} {
		if got, err := ParseTargets(text); err != nil || len(got) != 1 || got[0] != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	both, err := ParseTargets("a::::" + name + ",b:::1:" + name)
	if err != nil || len(both) != 2 || both[1].String() != "iscsi://b:3260/"+name+"/1" {
		t.Errorf("%v, %v", both, err)
	}
}

func TestParseTargetsRefuses(t *testing.T) {
	const name = "iqn.2026-01.org.example:disk"
	for text, says := range map[string]string{
		"":                                 "names no server",
		"nas":                              "write [USER",
		"nas:::" + name:                    "is no LUN",
		"nas:17:::" + name:                 "there is only 6",
		"nas::70000::" + name:              "is no port",
		"nas:::16384:" + name:              "is no LUN",
		"nas::::disk":                      "no iSCSI name",
		"nas::::iqn.2026-01.org/x":         "no iSCSI name",
		"[nas]::::" + name:                 "no IPv6 address",
		"me@nas::::" + name:                "not shown",
		"hunter2:@nas::::" + name:          "not shown",
		"me:hunter2%zz@nas::::" + name:     "not shown",
		"me:hunter2:it@nas::::" + name:     "not shown",
		"a:hunter2:b:hunter2@n::::" + name: "the same",
		"nas::::" + name + ",":             "target 2 of 2",
	} {
		_, err := ParseTargets(text)
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", text, err, says)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v shows a password", err)
		}
	}
}

func TestSecretsAreNotShown(t *testing.T) {
	targets, err := ParseTargets("me:hunter2:it:other@nas::::iqn.2026-01.org.example:disk")
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		text := fmt.Sprintf(format, targets[0].Out) + fmt.Sprintf(format, targets)
		if strings.Contains(text, "hunter2") {
			t.Errorf("%s shows %s", format, text)
		}
	}
}

func FuzzParseTargets(f *testing.F) {
	f.Add("me:word:it:other@[fe80::1]:6:3261:5:iqn.2026-01.org.example:disk")
	f.Add("nas::::iqn.2026-01.org.example:disk,b:::1:eui.0123456789abcdef")
	f.Fuzz(func(t *testing.T, text string) {
		targets, err := ParseTargets(text)
		if err != nil {
			return
		}
		for _, target := range targets {
			if target.Server == "" || target.Port < 1 || target.Port > 65535 || target.LUN > 16383 ||
				CheckName(target.Name) != nil || target.In.isSet() && !target.Out.isSet() {
				t.Errorf("%q: %+v", text, target)
			}
		}
	})
}
