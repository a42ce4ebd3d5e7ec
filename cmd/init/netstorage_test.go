package main

import (
	"strings"
	"testing"

	"github.com/zerodisc/zerodisc/internal/iscsi"
)

func TestParseStores(t *testing.T) {
	sum := strings.Repeat("0", 64)
	got, err := parseStores("http://a/,nfs://nas/guests,http://b/", ",,"+sum)
	if err != nil || len(got.web) != 2 || len(got.exports) != 1 || got.web[0].Pin != nil || got.web[1].Pin == nil {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := parseStores("nfs://nas/guests", ""); err != nil || len(got.web) != 0 || len(got.exports) != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	for _, test := range []struct{ urls, pins, says string }{
		{"nfs://nas/guests", sum, "no list"},
		{"http://a/,nfs://nas/guests", sum, "1 sums"},
		{"nfs://me:hunter2@nas/guests,http://a/", "", "no password"},
		{"", "", "not the URL"},
		{"ftp://nas/guests", "", "not the URL"},
	} {
		_, err := parseStores(test.urls, test.pins)
		if err == nil || !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s %s: %v, want %q", test.urls, test.pins, err, test.says)
		}
	}
}

func TestInitiatorName(t *testing.T) {
	one, other := initiatorName("one machine"), initiatorName("another")
	if one == other || one != initiatorName("one machine") || len(one) != maxInitiator {
		t.Errorf("%s, %s", one, other)
	}
	if err := iscsi.CheckName(one); err != nil {
		t.Error(err)
	}
}
